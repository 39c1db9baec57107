"""Enrolling and revoking devices, against Postgres."""

import threading
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import Connection, Engine, select

from reporting.sites import InvalidSiteName
from reporting.tables import devices
from sync_server.identity.device_credentials import SigningKey, token_digest
from sync_server.identity.devices import CREDENTIALS_CHANNEL, Enrolled, InvalidDeviceName, enrol, revoke

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = SigningKey.generate()


def enrol_tablet(connection: Connection, credential_id: str, *, keep: bool = False) -> Enrolled:
    return enrol(
        connection,
        KEY,
        site="lima",
        device="lima-tab-2",
        role="tablet",
        now=NOW,
        credential_id=credential_id,
        keep=keep,
    )


def in_force(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(select(devices.c.credential).where(devices.c.revoked_at.is_(None))))


def test_enrolment_signs_a_credential_and_stores_the_hash_of_its_token_only(engine: Engine) -> None:
    with engine.begin() as connection:
        enrolled = enrol_tablet(connection, "c1")
        row = connection.execute(select(devices)).one()
    assert KEY.verifier.verify(enrolled.token, now=NOW) == enrolled.credential
    assert (row.credential, row.device, row.site, row.role) == ("c1", "lima-tab-2", "lima", "tablet")
    assert row.token_sha256 == token_digest(enrolled.token)
    assert enrolled.token not in str(row)
    assert row.revoked_at is None
    assert enrolled.revoked == 0


def test_enrolling_again_ends_the_earlier_credential(engine: Engine) -> None:
    with engine.begin() as connection:
        enrol_tablet(connection, "c1")
    with engine.begin() as connection:
        assert enrol_tablet(connection, "c2").revoked == 1
    assert in_force(engine) == {"c2"}


def test_enrolling_again_with_keep_leaves_the_earlier_credential_in_force(engine: Engine) -> None:
    with engine.begin() as connection:
        enrol_tablet(connection, "c1")
        assert enrol_tablet(connection, "c2", keep=True).revoked == 0
    assert in_force(engine) == {"c1", "c2"}


def test_same_device_name_at_another_site_is_another_device(engine: Engine) -> None:
    with engine.begin() as connection:
        enrol_tablet(connection, "c1")
        enrol(
            connection,
            KEY,
            site="quito",
            device="lima-tab-2",
            role="hub",
            now=NOW,
            credential_id="c2",
        )
        assert revoke(connection, site="lima", device="lima-tab-2") == 1
    assert in_force(engine) == {"c2"}


def test_two_enrolments_of_one_device_at_once_leave_one_in_force(engine: Engine) -> None:
    with engine.connect() as first, first.begin():
        enrol_tablet(first, "c1")
        second = threading.Thread(target=enrol_in_own_transaction, args=(engine, "c2"))
        second.start()
        with engine.connect() as watcher:
            wait_until_blocked(watcher)
    second.join()
    assert in_force(engine) == {"c2"}


def enrol_in_own_transaction(engine: Engine, credential_id: str) -> None:
    with engine.begin() as connection:
        enrol_tablet(connection, credential_id)


def wait_until_blocked(connection: Connection) -> None:
    """Returns when some transaction waits for an advisory lock of this database."""
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    while not connection.exec_driver_sql(waiting).scalar():
        threading.Event().wait(0.005)


def test_revoking_ends_every_credential_of_the_device_once(engine: Engine) -> None:
    with engine.begin() as connection:
        enrol_tablet(connection, "c1")
        enrol_tablet(connection, "c2", keep=True)
        assert revoke(connection, site="lima", device="lima-tab-2") == 2
        assert revoke(connection, site="lima", device="lima-tab-2") == 0
        assert revoke(connection, site="lima", device="nobody") == 0
    assert in_force(engine) == set()


def test_gateways_are_told_when_the_change_commits(engine: Engine, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CREDENTIALS_CHANNEL}")
        with engine.begin() as connection:
            enrol_tablet(connection, "c1")
            assert list(listener.notifies(timeout=0)) == []
        assert len(list(listener.notifies(timeout=30, stop_after=1))) == 1
        with engine.begin() as connection:
            revoke(connection, site="lima", device="lima-tab-2")
        assert len(list(listener.notifies(timeout=30, stop_after=1))) == 1


@pytest.mark.parametrize("device", ["", "-tab", ".tab", "tab 2", "tab/2", "tab:2", "t" * 65, "tab\n", "täb"])
def test_unusable_device_name_is_refused(engine: Engine, device: str) -> None:
    with engine.begin() as connection, pytest.raises(InvalidDeviceName):
        enrol(connection, KEY, site="lima", device=device, role="tablet", now=NOW, credential_id="c1")
    assert in_force(engine) == set()


def test_unusable_site_name_is_refused(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(InvalidSiteName):
        enrol(connection, KEY, site="Lima; --", device="t", role="tablet", now=NOW, credential_id="c1")
