"""PostgreSQL and Valkey as child processes: everything that one machine needs, without Docker, apt or root.

`system` ties it together; read on from there. Nothing is imported here: `launch` must start in milliseconds.
"""
