-- From schema 1 to 2: purges, and what freeing space needs. One statement a line end; see connection.py.

CREATE TABLE purges (
  seq  INTEGER PRIMARY KEY,         -- purge_seq
  id   TEXT NOT NULL,
  revs BLOB NOT NULL                -- JSON array of the revisions that were asked for
);

-- Which attachments are referred to is read from this index alone; most bodies are not in it.
CREATE INDEX bodies_attachments ON bodies (attachments) WHERE attachments IS NOT NULL;

INSERT INTO meta VALUES ('purge_seq', 0);

INSERT INTO meta VALUES ('purged_infos_limit', 1000);

-- Bytes of JSON and of attachments. Writing counts what it adds; what is freed is counted below, wherever it is
-- freed. (Triggers on insertion cost a sixth of a push.)
INSERT INTO meta SELECT 'data_size', (SELECT coalesce(sum(length(json)), 0) FROM bodies) + (SELECT coalesce(sum(length(data)), 0) FROM attachments);

CREATE TRIGGER body_freed AFTER DELETE ON bodies BEGIN UPDATE meta SET value = value - length(old.json) WHERE name = 'data_size'; END;

CREATE TRIGGER attachment_freed AFTER DELETE ON attachments BEGIN UPDATE meta SET value = value - length(old.data) WHERE name = 'data_size'; END;
