"""What ran out is taken away by a duty of the relay, and what may still be asked about is not."""

import hashlib

from sqlalchemy import text

from reporting.engine import sync_engine
from sync_server.jobs.duties import duties
from sync_server.jobs.pruning import prune_what_ran_out
from sync_server.keys import SETTINGS
from tests.administration.office import Office
from tests.administration.people import join

LOGIN = (
    "INSERT INTO logins (id, person, method, expires_at, ended_at, end_reason) VALUES "
    "(%s, %s, 'password', now() - %s::interval, now() - %s::interval, %s)"
)


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


async def test_what_ran_out_is_pruned_and_what_did_not_stays(office: Office) -> None:
    person = join(office)
    for name, expired, ended, reason in (
        ("old", "91 days", None, None),
        ("ended-long-ago", "-1 days", "91 days", "logged_out"),
        ("expired", "1 day", None, None),
        ("lasting", "-1 days", None, None),
    ):
        office.rows(LOGIN, name, person, expired, ended, reason)
        office.rows(
            "INSERT INTO refresh_tokens (sha256, login, expires_at) SELECT %s, id, expires_at FROM logins"
            " WHERE id = %s",
            sha(name),
            name,
        )
    for age in ("-1 hour", "1 hour"):
        office.rows(
            "INSERT INTO mail_links (sha256, person, purpose, expires_at)"
            " VALUES (%s, %s, 'magic_link', now() - %s::interval)",
            sha(age),
            person,
            age,
        )
    for age in ("1 hour", "25 hours"):
        office.rows(
            "INSERT INTO attempts (kind, subject, failures, last_at)"
            " VALUES ('account', %s, 1, now() - %s::interval)",
            sha(age),
            age,
        )
        office.rows(
            "INSERT INTO idempotency_keys (person, key, request, body_sha256, created_at)"
            " VALUES (%s, %s, 'POST /', %s, now() - %s::interval)",
            person,
            age,
            sha(age),
            age,
        )
    for age in ("-1 hour", "89 days", "91 days"):
        office.rows(
            "INSERT INTO enrolment_codes (code_sha256, site, device, role, created_by, expires_at)"
            " VALUES (%s, 'lima', %s, 'tablet', 'x', now() - %s::interval)",
            sha(age),
            age,
            age,
        )
        office.rows(
            "INSERT INTO address_changes (person, email_before, email_after, changed_at)"
            " VALUES (%s, %s, 'b', now() - %s::interval)",
            person,
            age,
            age,
        )
    settings = office.gateway.app[SETTINGS]
    assert prune_what_ran_out in [duty.do for duty in duties(settings)]
    engine = sync_engine(settings.database_url)
    for _ in range(2):
        with engine.begin() as connection:
            prune_what_ran_out(connection, connection.execute(text("SELECT now()")).scalar_one())
    engine.dispose()
    left = {
        "SELECT id FROM logins ORDER BY id": ["ended-long-ago", "expired", "lasting"],
        "SELECT login FROM refresh_tokens ORDER BY login": ["ended-long-ago", "lasting"],
        "SELECT count(*) FROM mail_links": [1],
        "SELECT count(*) FROM attempts": [1],
        "SELECT key FROM idempotency_keys": ["1 hour"],
        "SELECT device FROM enrolment_codes ORDER BY device": ["-1 hour", "89 days"],
        "SELECT email_before FROM address_changes ORDER BY 1": ["-1 hour", "89 days"],
    }
    for query, expected in left.items():
        assert [row[0] for row in office.rows(query)] == expected, query
