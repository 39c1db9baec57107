"""What happens outside Postgres: the relay, the workers, and what they do for each kind of entry.

`relay` claims due entries and puts their ids on queues of Redis; `worker` runs `delivery`, which reads the
entries in Postgres, has `registry`'s handler do what they ask for, and ends them. Redis may be wiped at any
time: what is to be done, and what was, stands in Postgres alone.
"""
