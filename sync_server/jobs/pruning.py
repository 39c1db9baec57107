"""What ran out and says nothing any more is taken away: logins, tokens, links, codes, keys, attempts.

Each statement takes a part at a time and leaves rows that somebody is at; what is left is taken the next
time. What people may still ask about is kept a while after it ran out.

| what | kept after it ran out |
|---|---|
| refresh tokens, links by mail, failed attempts, idempotency keys | not at all |
| logins, codes of devices, changes of addresses | 90 days |
"""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from sync_server.api.idempotency import forget_expired
from sync_server.identity.address_changes import prune_address_changes
from sync_server.identity.attempts import forget_old
from sync_server.identity.enrolment_codes import prune_codes
from sync_server.identity.logins import prune_logins, prune_refresh_tokens
from sync_server.identity.mail_links import prune_links

KEPT: Final = timedelta(days=90)
AT_ONCE: Final = 10_000


def prune_what_ran_out(connection: Connection, now: datetime) -> None:
    """All of it, in the duty's transaction."""
    before = now - KEPT
    connection.execute(prune_refresh_tokens(AT_ONCE))
    connection.execute(prune_logins(over_before=before, limit=AT_ONCE))
    connection.execute(prune_links(AT_ONCE))
    connection.execute(forget_old(AT_ONCE))
    connection.execute(forget_expired(AT_ONCE))
    connection.execute(prune_codes(expired_before=before, limit=AT_ONCE))
    connection.execute(prune_address_changes(changed_before=before, limit=AT_ONCE))
