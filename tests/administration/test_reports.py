"""`/api/reports`: asked for, made by a job, downloaded; who may have which."""

from typing import Any

from tests.administration.desk import Desk, at_desk
from tests.administration.exporting import with_data
from tests.administration.office import Member, Office
from tests.reports.pdf_files import Pdf

PATH = "/api/reports"


async def made(desk: Desk, member: Member, **wanted: Any) -> tuple[dict[str, Any], Pdf]:
    """A report that is done, and its file."""
    asked = await member.post(PATH, {"study": "SRO", **wanted})
    assert asked.status == 202, asked.body
    assert asked.headers["Location"] == f"{PATH}/{asked.body['id']}"
    await desk.drain()
    told = (await member.get(asked.headers["Location"])).body
    assert told["state"] == "done", told
    async with member.api.client.get(told["download"], headers=member.api.headers) as response:
        assert (response.status, response.content_type) == (200, "application/pdf")
        content = await response.read()
    assert len(content) == told["size"]
    return told, Pdf(content)


async def test_each_kind_of_report_is_made_and_downloaded_and_made_once(office: Office) -> None:
    with_data(office)
    researcher, coordinator = office.as_("researcher", study="SRO"), office.as_("coordinator", study="SRO")
    async with at_desk(office) as desk:
        told, study = await made(desk, researcher, kind="study")
        assert (told["kind"], told["file_name"]) == ("study_report", "SRO-study-report-en.pdf")
        assert "Flow of participants" in study.texts
        again, _ = await made(desk, coordinator, kind="study")
        assert again["sha256"] == told["sha256"]
        told, site = await made(desk, researcher, kind="site", site="lima", language="fr")
        assert told["file_name"] == "SRO-lima-site-report-fr.pdf"
        assert "Rapport de centre" in site.texts
        told, person = await made(
            desk, coordinator, kind="participant", participant="p-lima", identified=True
        )
        assert told["file_name"] == "SRO-participant-report-en-identified.pdf"
        assert "p-lima" in person.text(0)
        folder = desk.resources.settings.files_folder
        assert len(list(folder.glob("*.pdf"))) == 3
        # What only a report shows makes another file too.
        office.rows("UPDATE studies SET title = 'A new title'")
        _, renamed = await made(desk, researcher, kind="study")
        assert "A new title" in renamed.text(0)
    listed = (await researcher.get(PATH)).body["data"]
    assert [row["kind"] for row in listed] == ["study_report", "site_report", "study_report"]
    assert (await researcher.get("/api/exports")).body["data"] == []


async def test_who_sees_pseudonyms_asks_by_them_and_gets_no_code(office: Office) -> None:
    with_data(office)
    member = office.as_("researcher", study="SRO")
    async with at_desk(office) as desk:
        wanted = {"study": "SRO", "kind": "participant"}
        by_code = await member.post(PATH, {**wanted, "participant": "p-lima"})
        assert by_code.error == (404, "not_found")
        assert (await member.post(PATH, {**wanted, "participant": "p-lima", "identified": True})).error == (
            403,
            "not_allowed",
        )
        shown = (await member.get("/api/research/participants", study="SRO")).body["data"]
        pseudonym = next(row["participant"] for row in shown if row["site"] == "lima")
        told, pdf = await made(desk, member, kind="participant", participant=pseudonym)
        assert pseudonym in pdf.text(0)
        assert "p-lima" not in pdf.texts
        assert "p-lima" not in str(told)


async def test_a_report_is_of_the_callers_sites(office: Office) -> None:
    with_data(office)
    here = office.as_("coordinator", study="SRO", site="lima")
    async with at_desk(office) as desk:
        told, pdf = await made(desk, here, kind="study")
        assert told["sites"] == ["lima"]
        assert "quito" not in pdf.texts
        elsewhere = {"study": "SRO", "kind": "participant", "participant": "p-quito", "identified": True}
        assert (await here.post(PATH, elsewhere)).error == (404, "not_found")
        assert (await here.post(PATH, {"study": "SRO", "kind": "site", "site": "quito"})).error == (
            403,
            "not_allowed",
        )
        assert (
            await office.as_("read-only", study="SRO").post(PATH, {"study": "SRO", "kind": "study"})
        ).error == (
            403,
            "not_allowed",
        )


async def test_a_report_that_cannot_be_is_refused_or_fails_with_a_sentence(office: Office) -> None:
    with_data(office)
    admin = office.as_("admin")
    for wrong in (
        {"kind": "participant"},
        {"kind": "site"},
        {"kind": "study", "site": "lima"},
        {"kind": "site", "site": "lima", "participant": "p-lima"},
        {"kind": "study", "language": "de"},
        {"kind": "everything"},
    ):
        answer = await admin.post(PATH, {"study": "SRO", **wrong})
        assert answer.error == (422, "invalid_request"), wrong
    async with at_desk(office) as desk:
        asked = await admin.post(PATH, {"study": "SRO", "kind": "site", "site": "cusco"})
        await desk.drain()
        told = (await admin.get(f"{PATH}/{asked.body['id']}")).body
        assert told["state"] == "failed"
        assert "does not run at 'cusco'" in told["error"]
