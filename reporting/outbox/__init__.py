"""The outbox: what has to happen outside Postgres, exactly as often as it was caused.

Written in the transaction of its cause (`entry`), carried by a relay and workers (`relay`). The row is the
truth; Redis only carries its id.
"""
