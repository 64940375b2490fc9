-- +goose Up
-- People who want notices. The name is a PRF of who they are; the terms are sealed under a key of their own.
CREATE TABLE people (
  id     BLOB PRIMARY KEY, -- 16 bytes
  sealed BLOB NOT NULL
) WITHOUT ROWID;

-- The outbox: one message of each slot of a person.
CREATE TABLE messages (
  id       BLOB PRIMARY KEY, -- 16 bytes
  person   BLOB NOT NULL REFERENCES people (id) ON DELETE CASCADE,
  slot     TEXT NOT NULL,
  due      INTEGER NOT NULL, -- milliseconds since 1970
  born     INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  sealed   BLOB NOT NULL,
  UNIQUE (person, slot)
);
CREATE INDEX messages_due ON messages (due);

-- +goose Down
DROP TABLE messages;
DROP TABLE people;
