"""Documents from one database to another, as CouchDB's replicator moves them.

    definition ──▶ scheduler ──▶ run: _changes ─▶ _revs_diff ─▶ _bulk_get ─▶ _bulk_docs ─▶ checkpoints
    (`definition`)  (`scheduler`,    (`transfer`, `peer`)                                  (`history`)
                     `jobs`, `backoff`)

Both sides are asked over the CouchDB HTTP API, also a database of this very server: a replication passes by
the same rules and records as anybody else's writes, and either side may be an Apache CouchDB.
"""
