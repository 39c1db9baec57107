"""`/api/exports`: asked for, made by a job, downloaded, taken away."""

import json
from datetime import timedelta
from typing import Any

import pytest

from reporting.engine import sync_engine
from reporting.outbox.duties import run_if_due
from sync_server.jobs.duties import duties
from sync_server.keys import SETTINGS
from tests.administration.desk import at_desk
from tests.administration.exporting import PATH, ask, download, made, table, unzipped, with_data
from tests.administration.office import Office


async def test_an_export_is_asked_for_made_by_a_job_and_downloaded_with_codebook_and_manifest(
    office: Office,
) -> None:
    with_data(office)
    researcher = office.as_("researcher", study="SRO")
    async with at_desk(office) as desk:
        asked = await ask(researcher, "trials", "sessions_wide", headers={"Idempotency_Key": "once"})
        again = await ask(researcher, "trials", "sessions_wide", headers={"Idempotency_Key": "once"})
        assert (asked.status, asked.body["state"], asked.body["progress"]) == (202, "queued", None)
        assert asked.headers["Location"] == again.headers["Location"] == f"{PATH}/{asked.body['id']}"
        assert (await researcher.get(f"{asked.headers['Location']}/download")).error == (409, "not_possible")
        await desk.drain()
        told = (await researcher.get(asked.headers["Location"])).body
        assert (told["state"], told["rows_done"], told["progress"]) == ("done", 16, 1.0)
        assert told["watermark"].keys() == {"lima", "quito"}
        files = await unzipped(researcher, told)
    data = {"sessions_wide.csv", "trials.csv"}
    assert files.keys() == data | {"codebook.csv", "codebook.json", "codebook.pdf", "manifest.json"}
    trials = table(files["trials.csv"])
    assert len(trials) == 12
    first = trials[0]
    assert (first["site"], first["correct"], first["rt_ms"], first["extra"]) == ("lima", "true", "401.5", "")
    assert first["response"] == '"=a,\\"b\\""'
    assert first["participant"].startswith("P-")
    described = {(row["file"], row["name"]) for row in table(files["codebook.csv"])}
    assert described == {(name, column) for name in data for column in table(files[name])[0]}
    manifest = json.loads(files["manifest.json"])
    assert {each["name"]: each["rows"] for each in manifest["files"]} == {
        "sessions_wide.csv": 4,
        "trials.csv": 12,
    }
    assert manifest["data"]["policy"]["row_version"] == 1
    acts = office.rows("SELECT action FROM audit_log WHERE entity = 'research_file' ORDER BY id")
    assert [action for (action,) in acts] == ["export.ask", "export.download"]


async def test_the_same_request_on_the_same_data_is_one_file_and_other_data_are_another(
    office: Office,
) -> None:
    with_data(office)
    one, other = office.as_("coordinator", study="SRO"), office.as_("researcher", study="SRO")
    async with at_desk(office) as desk:
        first = await made(desk, one, "trials", "quality")
        second = await made(desk, other, "quality", "trials", "trials")
        folder = desk.resources.settings.files_folder
        assert first["sha256"] == second["sha256"]
        assert len(list(folder.glob("*.zip"))) == 1
        # One of them goes, the file stays for the other.
        assert (await one.delete(f"{PATH}/{first['id']}")).status == 204
        await desk.drain()
        assert (await download(other, second))[0] == 200
        office.rows("UPDATE sessions SET rev = '2-b' WHERE site = 'lima' AND id = 's1'")
        third = await made(desk, other, "trials", "quality")
        office.rows("UPDATE research_policies SET participants = 'code', row_version = row_version + 1")
        fourth = await made(desk, other, "trials", "quality")
        assert len({second["sha256"], third["sha256"], fourth["sha256"]}) >= 2
        assert len(list(folder.glob("*.zip"))) == 3
        trials = table((await unzipped(other, fourth))["trials.csv"])
        assert {row["participant"] for row in trials} == {"p-lima", "p-quito"}
        assert list((folder / ".making").iterdir()) == []


async def test_who_asks_gets_their_sites_and_others_get_nothing(office: Office) -> None:
    with_data(office)
    here = office.as_("researcher", study="SRO", site="lima")
    async with at_desk(office) as desk:
        told = await made(desk, here)
        assert told["sites"] == ["lima"]
        rows = table((await unzipped(here, told))["trials.csv"])
        assert {row["site"] for row in rows} == {"lima"}
        assert (await ask(here, sites=["quito"])).error == (403, "not_allowed")
        assert (await ask(here, identified=True)).error == (403, "not_allowed")
        assert (await ask(office.as_("read-only", study="SRO"))).error == (403, "not_allowed")
        # A colleague does not see it; an admin does; who lost the right does not get it any more.
        colleague = office.as_("coordinator", study="SRO")
        assert (await colleague.get(f"{PATH}/{told['id']}")).error == (404, "not_found")
        assert (await colleague.get(f"{PATH}/{told['id']}/download")).error == (404, "not_found")
        admin = office.as_("admin", study="SRO")
        listed = (await admin.get(PATH, study="SRO", state="done")).body["data"]
        assert [row["id"] for row in listed] == [told["id"]]
        assert (await download(admin, told))[0] == 200
        office.rows("UPDATE memberships SET role = 'read-only' WHERE site = 'lima'")
        assert (await here.get(f"{PATH}/{told['id']}/download")).error == (403, "not_allowed")
        identified = await made(desk, colleague, identified=True)
        trials = table((await unzipped(colleague, identified))["trials.csv"])
        assert {row["participant"] for row in trials} == {"p-lima", "p-quito"}
        assert identified["file_name"] == "SRO-csv-identified.zip"
        # An admin of two sites lists what is of both, and not what is of the study.
        of_both = (await ask(colleague, sites=["quito", "lima"])).body["id"]
        admin = office.as_("admin", study="SRO", site="lima")
        assert {row["id"] for row in (await admin.get(PATH)).body["data"]} == {told["id"]}
        office.rows(
            "INSERT INTO memberships (person, study, site, role)"
            " SELECT person, study, 'quito', role FROM memberships WHERE role = 'admin' AND site = 'lima'"
        )
        assert {row["id"] for row in (await admin.get(PATH)).body["data"]} == {told["id"], of_both}


async def test_what_does_not_go_together_is_refused_at_once(office: Office) -> None:
    with_data(office)
    wrongs: tuple[dict[str, Any], ...] = (
        {"format": "redcap"},
        {"format": "bids", "datasets": ["sessions_wide"]},
        {"format": "parquet", "guard": True},
        {"datasets": []},
        {"datasets": ["everything"]},
        {"sites": []},
        {"sites": ["lima", "limma"]},
        {"filter": "x"},
        {"columns": {"everything": ["task"]}},
        {"columns": {"trials": "task"}},
        {"where": "task=simon"},
        {"where": [""]},
    )
    for wrong in wrongs:
        body = {"study": "SRO", "datasets": ["trials"], **wrong}
        answer = await office.as_("admin").post(PATH, body)
        assert answer.error == (422, "invalid_request"), wrong
    # What queries refuse is refused with the same words.
    admin = office.as_("admin")
    for condition in ("rt.gte=1", "rt_ms.gte=fast", "task.gte=a", "correct=perhaps", "to=soon"):
        parameter, _, value = condition.partition("=")
        asked = await admin.post(PATH, {"study": "SRO", "datasets": ["trials"], "where": [condition]})
        queried = await admin.get("/api/research/trials", study="SRO", **{parameter: value})
        assert asked.status == queried.status == 422
        # And say which member of the body it is.
        assert asked.body["error"]["details"].pop("path") == "$.where"
        assert asked.body["error"] == queried.body["error"]
    both = {"study": "SRO", "datasets": ["trials", "visits"], "where": ["rt_ms.gte=1"]}
    assert "visits has no column rt_ms" in (await admin.post(PATH, both)).body["error"]["message"]
    office.rows("UPDATE research_policies SET dates = 'days'")
    dated = {"study": "SRO", "datasets": ["trials"], "where": ["from=2026-01-01"]}
    assert "does not show started_at" in (await admin.post(PATH, dated)).body["error"]["message"]
    assert (await admin.post(PATH, {**dated, "identified": True})).status == 202


async def test_what_is_asked_of_a_participant_is_on_record_without_the_participant(office: Office) -> None:
    with_data(office)
    member = office.as_("coordinator", study="SRO")
    async with at_desk(office) as desk:
        told = await made(
            desk,
            member,
            identified=True,
            columns={"trials": ["rt_ms", "task"]},
            where=["participant=p-lima", "rt_ms.gt=402"],
        )
        assert told["rows_done"] == 4
        assert table((await unzipped(member, told))["trials.csv"])[0] == {"rt_ms": "402.5", "task": "simon"}
    recorded = office.rows("SELECT after->'request'->'where' FROM audit_log WHERE action = 'export.ask'")
    assert recorded == [(["participant", "rt_ms.gt"],)]


async def test_a_download_goes_on_where_it_was_cut(office: Office) -> None:
    with_data(office)
    member = office.as_("researcher", study="SRO")
    async with at_desk(office) as desk:
        told = await made(desk, member)
    _, whole, headers = await download(member, told)
    etag = headers["ETag"]
    assert etag == f'"{told["sha256"]}"'
    assert headers["Content-Disposition"] == 'attachment; filename="SRO-csv.zip"'
    status, rest, headers = await download(member, told, Range="bytes=100-", If_Range=etag)
    assert (status, rest) == (206, whole[100:])
    assert headers["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    assert (await download(member, told, Range="bytes=-7"))[:2] == (206, whole[-7:])
    for given in ({"Range": "bytes=100-", "If_Range": '"another"'}, {"Range": "bytes=0-1,5-6"}):
        assert (await download(member, told, **given))[:2] == (200, whole)
    status, _, headers = await download(member, told, Range=f"bytes={len(whole)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
    assert (await download(member, told, If_None_Match=etag))[:2] == (304, b"")
    assert (await download(member, told, If_Match='"another"'))[0] == 412
    async with member.api.client.head(told["download"], headers=member.api.headers) as response:
        assert (response.status, await response.read()) == (200, b"")
        assert response.headers["Content-Length"] == str(len(whole))


async def test_files_expire_and_are_removed_from_the_folder_and_a_lost_folder_is_told(office: Office) -> None:
    with_data(office)
    member = office.as_("researcher", study="SRO")
    settings = office.gateway.app[SETTINGS]
    engine = sync_engine(settings.database_url)
    look_after = next(duty for duty in duties(settings) if duty.name == "research files")
    async with at_desk(office) as desk:
        told, kept = await made(desk, member), await made(desk, member, "visits")
        folder = desk.resources.settings.files_folder
        office.rows("UPDATE research_files SET expires_at = now() WHERE id = %s", told["id"])
        with engine.begin() as connection:
            assert run_if_due(connection, look_after)
        assert (await member.get(f"{PATH}/{told['id']}/download")).error == (410, "gone")
        await desk.drain()
        assert len(list(folder.glob("*.zip"))) == 1
        # Another machine's folder, or one that was lost.
        for path in folder.glob("*.zip"):
            path.unlink()
        assert (await member.get(f"{PATH}/{kept['id']}/download")).error == (503, "unavailable")
        assert (await member.delete(f"{PATH}/{told['id']}")).status == 204
        sweep = next(duty for duty in duties(settings) if duty.name == "research sweep")
        with engine.begin() as connection:
            assert run_if_due(connection, sweep)
        await desk.drain()
        assert (await member.get(f"{PATH}/{kept['id']}")).body["state"] == "removed"
        again = await made(desk, member, "visits")
        assert again["sha256"] == kept["sha256"]
    engine.dispose()
    assert look_after.every <= timedelta(minutes=1)


async def test_a_job_that_ends_otherwise_says_why(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    with_data(office)
    member = office.as_("researcher", study="SRO")
    async with at_desk(office) as desk:

        async def ended(before: str | None = None, **more: Any) -> dict[str, Any]:
            asked = await ask(member, **more)
            if before is not None:
                office.rows(before)
            await desk.drain()
            return dict((await member.get(f"{PATH}/{asked.body['id']}")).body)

        # Without a policy nobody has a code, and a BIDS folder is named by codes.
        nobody = await ended("DELETE FROM research_policies", format="bids")
        assert nobody["state"] == "failed"
        assert "participant" in nobody["error"]
        # Who asks for a file of a study without a policy gives it one, as who asks by a query does.
        await ask(member, "visits")
        assert office.rows("SELECT participants, dates FROM research_policies") == [("pseudonym", "shifted")]

        def full(*_: Any) -> Any:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("sync_server.research_files.folder.sync_directory", full)
        disk = await ended()
        assert (disk["state"], disk["error"]) == (
            "failed",
            "The disk of the files is full: make room, or ask for less.",
        )
        monkeypatch.setattr("sync_server.research_files.folder.sync_directory", lambda _: 1 / 0)
        waiting = await ended()
        assert (waiting["state"], waiting["error"]) == ("queued", "It came to nothing (ZeroDivisionError).")
        # Given up by a person, and at every attempt by a killed worker: nobody will make it.
        office.rows("UPDATE outbox SET state = 'dead' WHERE state = 'pending'")
        settings = office.gateway.app[SETTINGS]
        engine = sync_engine(settings.database_url)
        with engine.begin() as connection:
            run_if_due(connection, next(each for each in duties(settings) if each.name == "research files"))
        engine.dispose()
        assert (await member.get(f"{PATH}/{waiting['id']}")).body["state"] == "failed"
        # Removed before it was begun.
        asked = await ask(member)
        assert (await member.delete(f"{PATH}/{asked.body['id']}")).status == 204
        await desk.drain()
        assert (await member.get(f"{PATH}/{asked.body['id']}")).body["state"] == "removed"
        for _ in range(20):
            await ask(member)
        assert (await ask(member)).error == (409, "not_possible")
