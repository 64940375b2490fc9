-- +goose Up
-- Settings of the log: origin, key, inception.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;

-- One row for each leaf, in order. The record is sealed under the key of its expiry month and emptied when that is destroyed.
CREATE TABLE entries (
  idx      INTEGER PRIMARY KEY,
  leaf     BLOB NOT NULL,
  at       INTEGER NOT NULL, -- milliseconds since 1970
  exchange BLOB,             -- 16 bytes
  tag      BLOB,             -- 16 bytes
  expires  INTEGER,          -- year * 12 + month - 1
  record   BLOB
);
CREATE INDEX entries_exchange ON entries (exchange) WHERE exchange IS NOT NULL;
CREATE INDEX entries_tag ON entries (tag) WHERE tag IS NOT NULL;

-- Exchange ids that were seen: the replay store.
CREATE TABLE reservations (
  exchange BLOB PRIMARY KEY,
  until    INTEGER NOT NULL,
  consumer TEXT NOT NULL
) WITHOUT ROWID;

-- A consumer's intents that no entry has closed yet.
CREATE TABLE intents (
  exchange BLOB PRIMARY KEY,
  at       INTEGER NOT NULL,
  sealed   BLOB NOT NULL
) WITHOUT ROWID;

-- Uses counted against budgets and mandates; member is empty where uses are counted, a pseudonym where distinct ones are.
CREATE TABLE budgets (
  key     BLOB NOT NULL,
  period  INTEGER NOT NULL, -- milliseconds; 0 for ever
  member  BLOB NOT NULL,
  step    INTEGER NOT NULL,
  uses    INTEGER NOT NULL,
  until   INTEGER NOT NULL, -- milliseconds since 1970: may be forgotten from then on
  PRIMARY KEY (key, period, member, step)
) WITHOUT ROWID;

-- Full tiles, derived from entries.
CREATE TABLE tiles (
  id     INTEGER PRIMARY KEY, -- level << 48 | number
  hashes BLOB NOT NULL
);

CREATE TABLE checkpoints (
  kind INTEGER NOT NULL,
  size INTEGER NOT NULL,
  at   INTEGER NOT NULL,
  note BLOB NOT NULL,
  PRIMARY KEY (kind, size)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE checkpoints;
DROP TABLE tiles;
DROP TABLE budgets;
DROP TABLE intents;
DROP TABLE reservations;
DROP TABLE entries;
DROP TABLE meta;
