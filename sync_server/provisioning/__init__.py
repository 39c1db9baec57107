"""Bringing an Apache CouchDB to what this system needs: look, plan, print, apply.

    settings, open sites, credentials ──▶ desired ─┐
                                                   ├─▶ plan (steps: what is, what shall be, why) ──▶ apply
    CouchDB, as a server admin ──▶ look ───────────┘              ▲                                   │
                                                                  └──────────── look again ◀──────────┘

`desired`, `plan` and `validation` are pure. A step is a difference and the requests that mend it, and every
request may be made twice.

| what happens | outcome |
|---|---|
| the process dies between two requests | run it again: what is done is found done |
| two run at once | the same requests twice; a document written by the other meanwhile is told, run it again |
| somebody changes CouchDB by hand | the next `--check` shows it, the next run undoes it |
| a node is down, or the cluster is not set up | refused with a sentence before anything is changed |
| what cannot be changed (shards of a database that is there) | told every time, with what to do; left alone |
"""
