"""A tablet with a backlog beyond its budget: slower, and without an error."""

import msgspec
import pytest

from sync_server.gateway import pace
from sync_server.keys import PACES
from sync_server.settings import Settings
from tests.administration.office import Office
from tests.interop.pouchdb import node, run_tablet

DOCUMENTS = 150


@pytest.fixture
def office_settings(office_settings: Settings) -> Settings:
    """A megabyte a second, and little saved up."""
    return msgspec.structs.replace(office_settings, device_megabytes_per_minute=60)


async def test_backlog_beyond_the_budget_is_drained_without_an_error(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "BURST_MINUTES", 0.01)
    executable = node()
    database = await office.gateway.open_site("lima")
    token = await office.gateway.enrol("lima", "tab-1")
    host, port = office.gateway.address
    docs = [{"_id": f"session:{n}", "type": "session", "note": "x" * 10_000} for n in range(DOCUMENTS)]
    url = f"http://tab-1:{token}@{host}:{port}/db/{database}"
    tablet = await run_tablet(executable, {"url": url, "docs": docs, "attempts": 1})
    assert tablet["denied"] == []
    assert [(step["written"], step["attempts"]) for step in tablet["steps"]] == [(DOCUMENTS, 1)]
    assert len(await office.gateway.stored(database)) == DOCUMENTS
    (slowed,) = office.gateway.app[PACES].known
    assert slowed.delayed_s > 0
