"""Exports and reports when a participant of the study is erased: what was made, is being made, and waits."""

import io
import zipfile
from typing import Any

import pytest

from sync_server.api import file_download
from tests.administration.desk import at_desk
from tests.administration.exporting import PATH as EXPORTS
from tests.administration.exporting import ask, download, made, unzipped
from tests.administration.office import Office
from tests.administration.test_erasure import PLANTED, Clinic, clinic

__all__ = ["clinic"]

REPORTS = "/api/reports"


async def test_an_erasure_takes_files_that_may_hold_the_participant_and_requests_that_name_them(
    clinic: Clinic,
) -> None:
    office = clinic.office
    member = office.as_("coordinator", study="SRO")
    wanted: dict[str, Any] = {"identified": True, "format": "ndjson"}
    async with at_desk(office) as desk:
        there, expired = await made(desk, member, **wanted), await made(desk, member, "visits")
        office.rows("UPDATE research_files SET state = 'expired' WHERE id = %s", expired["id"])
        report = {"study": "SRO", "kind": "participant", "participant": PLANTED, "identified": True}
        named = (await member.post(REPORTS, report, Idempotency_Key="report")).body["id"]
        # BIDS knows no other label for the one than for the other: it fails, and does not say whose.
        twin = PLANTED.upper()
        office.rows("INSERT INTO participants (study, code, site) VALUES ('SRO', %s, 'lima')", twin)
        failed = (await ask(member, "trials", identified=True, format="bids")).body["id"]
        waits = (await ask(member, "sessions_wide", identified=True)).body["id"]
        office.rows("UPDATE outbox SET next_attempt_at = now() + interval '1 day' WHERE key = %s", str(waits))
        await desk.drain()
        assert (await member.get(f"{EXPORTS}/{failed}")).body["state"] == "failed"
        office.rows("DELETE FROM participants WHERE code = %s", twin)
        folder = desk.resources.settings.files_folder
        assert len(list(folder.glob("[0-9a-f]*.*"))) == 3
        assert (await clinic.run(await clinic.confirmed())).state == "done"
        assert PLANTED not in clinic.everything()
        for number in (there["id"], expired["id"]):
            assert (await member.get(f"{EXPORTS}/{number}/download")).error == (410, "gone")
        assert (await member.get(f"{REPORTS}/{named}/download")).error == (410, "gone")
        await desk.drain()
        assert list(folder.glob("[0-9a-f]*.*")) == []
        # What waited is made of what is left.
        office.rows("UPDATE outbox SET next_attempt_at = now() WHERE key = %s", str(waits))
        await desk.drain()
        files = await unzipped(member, (await member.get(f"{EXPORTS}/{waits}")).body)
    assert b"neighbour" in files["sessions_wide.csv"]
    assert PLANTED.encode() not in files["sessions_wide.csv"]


async def test_who_downloads_gets_the_rest_of_what_expires_and_nothing_more_of_what_is_removed(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_download, "PIECE", 100)
    monkeypatch.setattr(file_download, "LOOK_EVERY", 100)
    office.study("SRO", "lima")
    member = office.as_("researcher", study="SRO")
    async with at_desk(office) as desk:
        told = await made(desk, member, "visits")
        for state in ("expired", "removed"):
            office.rows("UPDATE research_files SET state = 'done'")
            opened = file_download._open

            def meanwhile(*given: Any, state: str = state, opened: Any = opened) -> Any:
                file = opened(*given)
                office.rows("UPDATE research_files SET state = %s", state)
                return file

            with monkeypatch.context() as patched:
                patched.setattr(file_download, "_open", meanwhile)
                if state == "expired":
                    status, content, _ = await download(member, told)
                    assert (status, len(content)) == (200, told["size"])
                    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
                else:
                    with pytest.raises(Exception, match=r"(?i)payload|closed|disconnected"):
                        await download(member, told)
