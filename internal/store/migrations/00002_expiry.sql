-- +goose Up
-- Where the rows stand whose records end in a month, and how far their destruction has come. The row of a month goes when its destruction is
-- on record. An index of entries by month would cost every exchange a page; this costs one statement in a few thousand.
CREATE TABLE months (
  month   INTEGER PRIMARY KEY, -- year * 12 + month - 1
  first   INTEGER NOT NULL,    -- no row of the month stands before this index
  until   INTEGER NOT NULL,    -- and none from this one on
  next    INTEGER NOT NULL DEFAULT 0, -- rows below it are emptied
  emptied INTEGER NOT NULL DEFAULT 0, -- how many they were
  low     INTEGER NOT NULL DEFAULT 0, -- index of the first and of the last of them
  high    INTEGER NOT NULL DEFAULT 0,
  kept    INTEGER NOT NULL DEFAULT 0  -- records that were sealed anew under a later month
);
INSERT INTO months (month, first, until)
  SELECT expires, min(idx), (max(idx) / 4096 + 1) * 4096 FROM entries WHERE expires IS NOT NULL GROUP BY expires;

-- Months whose destruction is on record.
CREATE TABLE destructions (
  month   INTEGER PRIMARY KEY,
  idx     INTEGER NOT NULL, -- of the leaf that records it
  records INTEGER NOT NULL,
  low     INTEGER NOT NULL,
  high    INTEGER NOT NULL,
  kept    INTEGER NOT NULL
);

-- +goose Down
DROP TABLE destructions;
DROP TABLE months;
