-- One site database. Bodies are appended in the order of their arrival, so that a push writes sequentially and
-- a feed reads sequentially; only the small `docs` rows are ever updated.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value NOT NULL
) WITHOUT ROWID;

CREATE TABLE docs (
  doc     INTEGER PRIMARY KEY,
  id      TEXT    NOT NULL UNIQUE,
  seq     INTEGER NOT NULL UNIQUE,  -- of the document's last change
  rev     TEXT    NOT NULL,         -- winner
  body    INTEGER NOT NULL,         -- the winner's content
  deleted INTEGER NOT NULL,         -- whether the winner is a deletion
  leaves  BLOB    NOT NULL,         -- JSON as `_changes` shows it, winner first: [{"rev":"2-b"},{"rev":"2-a"}]
  tree    BLOB    NOT NULL          -- replication.revtree.encode_tree
);

CREATE TABLE bodies (
  body        INTEGER PRIMARY KEY,
  json        BLOB NOT NULL,        -- the object as sent, without the members that begin with an underscore
  attachments BLOB                  -- JSON {name: KeptAttachment}, or NULL
);

CREATE TABLE attachments (
  digest TEXT PRIMARY KEY,
  data   BLOB NOT NULL
);

CREATE TABLE locals (
  id   TEXT PRIMARY KEY,            -- without `_local/`
  rev  INTEGER NOT NULL,
  json BLOB NOT NULL
) WITHOUT ROWID;
