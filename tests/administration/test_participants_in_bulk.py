"""Rosters as files: every row's fate told before anything is done; what goes out comes in again."""

import asyncio
import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.participants.table_file import CannotRead, quoted, read_table, unquoted, write_row
from sync_server.keys import SETTINGS
from tests.administration.office import Member, Office
from tests.api.calls import Answer
from tests.gateway.processes import environment, run

FILE = """\ufeffcode;site;status;language;enrolled_on;contact_name;contact_phone
s1;lima;enrolled;es;2026-01-02;'=cmd|x;'+51 1
s2;lima;screened;;;;
s3;quito;enrolled;;;Ada, Lovelace;
"""


async def send(member: Member, text: str | bytes, **query: str) -> Answer:
    sender = member.api.sending(**{**member.api.headers, "Content_Type": "text/csv"})
    data = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return await sender.call("POST", "/api/participants/import", params={"study": "SRO", **query}, data=data)


@pytest.fixture
def team(office: Office) -> Office:
    office.study("SRO", "lima", "quito")
    return office


def roster(office: Office) -> list[tuple[object, ...]]:
    return office.rows("SELECT code, site, status, language, row_version FROM participants ORDER BY code")


async def test_dry_run_tells_row_by_row_what_the_real_run_does(team: Office) -> None:
    admin = team.as_("admin")
    assert (await send(admin, FILE)).body["counts"]["created"] == 3
    mixed = (
        "code,site,status,language,contact_name\n"
        "s1,lima,enrolled,es,\n"
        "s2,lima,enrolled,pt-BR,\n"
        "s3,,screened,,\n"
        "s4,lima,,,New\n"
        "s4,lima,,,Again\n"
        "s5,cusco,,,\n"
        ",lima,,,\n"
        "s6,lima,lost,,\n"
        "s1 x,lima,,,\n"
        "s7,lima,withdrawn,,\n"
    )
    before = roster(team)
    dry = await send(admin, mixed, dry_run="true", on_error="skip")
    assert roster(team) == before
    real = await send(admin, mixed, on_error="skip")
    assert {**real.body, "dry_run": True} == dry.body
    fates = [
        (row["line"], row["code"], row["outcome"], row["column"], row["changes"]) for row in real.body["rows"]
    ]
    assert fates == [
        (2, "s1", "unchanged", None, []),
        (3, "s2", "updated", None, ["status", "language", "enrolled_on"]),
        (4, "s3", "refused", "status", []),
        (5, "s4", "created", None, ["site", "contact_name"]),
        (6, "s4", "duplicate", "code", []),
        (7, "s5", "refused", "site", []),
        (8, "", "refused", "code", []),
        (9, "s6", "refused", "status", []),
        (10, "s1 x", "refused", "code", []),
        (11, "s7", "refused", "status", []),
    ]
    assert roster(team) == [
        ("s1", "lima", "enrolled", "es", 1),
        ("s2", "lima", "enrolled", "pt-BR", 2),
        ("s3", "quito", "enrolled", None, 1),
        ("s4", "lima", "screened", None, 1),
    ]
    again = await send(admin, mixed, dry_run="true", on_error="skip")
    assert (again.body["counts"]["created"], again.body["counts"]["updated"]) == (0, 0)


async def test_import_with_a_bad_row_does_nothing_at_all_unless_told_to_skip(team: Office) -> None:
    admin = team.as_("admin")
    bad = "code,site\ns1,lima\ns2,cusco\n"
    stopped = await send(admin, bad)
    assert (stopped.status, stopped.body["complete"]) == (200, False)
    assert stopped.body["counts"] == {
        "created": 1,
        "updated": 0,
        "unchanged": 0,
        "refused": 1,
        "duplicate": 0,
    }
    assert roster(team) == []
    assert team.rows("SELECT * FROM audit_log") == []
    assert (await send(admin, bad, on_error="skip")).body["complete"] is True
    assert [row[0] for row in roster(team)] == ["s1"]
    acts = team.rows("SELECT action, entity_id, before FROM audit_log ORDER BY id")
    assert acts == [("participant.create", "SRO/s1", None), ("participants.import", "SRO", None)]


async def test_what_was_exported_is_imported_without_a_change(team: Office) -> None:
    admin = team.as_("admin")
    await send(admin, FILE)
    exported = await admin.get("/api/participants/export", study="SRO", contact="true")
    assert exported.headers["Content-Type"].startswith("text/csv")
    assert exported.body.splitlines()[:2] == [
        "code,site,status,language,enrolled_on,redcap_id,contact_name,contact_email,contact_phone,contact_address,"
        "contact_note,contact_timezone",
        "s1,lima,enrolled,es,2026-01-02,,'=cmd|x,,'+51 1,,,",
    ]
    back = await send(admin, exported.body)
    assert back.body["counts"] == {"created": 0, "updated": 0, "unchanged": 3, "refused": 0, "duplicate": 0}
    contact = (await admin.get("/api/participants/SRO/s1", contact="true")).body["contact"]
    assert contact == {"name": "=cmd|x", "phone": "+51 1"}
    lines = (await admin.get("/api/participants/export", study="SRO", format="ndjson")).body.splitlines()
    assert msgspec.json.decode(lines[1]) == {
        "code": "s2",
        "site": "lima",
        "status": "screened",
        "language": None,
        "enrolled_on": None,
        "redcap_id": None,
    }
    told = team.rows("SELECT after FROM audit_log WHERE action = 'participants.export' ORDER BY id")
    assert told == [({"format": "csv", "contact": True},), ({"format": "ndjson", "contact": False},)]


async def test_import_and_export_keep_to_what_the_caller_may(team: Office) -> None:
    await send(team.as_("admin"), FILE)
    at_lima = team.as_("coordinator", study="SRO", site="lima")
    told = await send(at_lima, "code,site\ns8,quito\ns9,lima\ns3,lima\ns10,\n", on_error="skip")
    assert [row["outcome"] for row in told.body["rows"]] == ["refused", "created", "refused", "refused"]
    exported = await at_lima.get("/api/participants/export", study="SRO")
    assert [line.split(",")[0] for line in exported.body.splitlines()] == ["code", "s1", "s2", "s9"]
    researcher = team.as_("researcher", study="SRO")
    assert (await send(researcher, FILE)).error == (403, "not_allowed")
    assert (await researcher.get("/api/participants/export", study="SRO")).status == 200
    contacts = await researcher.get("/api/participants/export", study="SRO", contact="true")
    assert contacts.error == (403, "not_allowed")
    team.study("ABC", "lima")
    stranger = team.as_("coordinator", study="ABC")
    assert (await send(stranger, FILE)).error == (404, "not_found")
    assert (await stranger.get("/api/participants/export", study="SRO")).error == (404, "not_found")


async def test_two_imports_of_the_same_file_at_once_create_everybody_once(team: Office) -> None:
    admin = team.as_("admin")
    answers = await asyncio.gather(*(send(admin, FILE) for _ in range(4)))
    assert {answer.status for answer in answers} <= {200, 409}
    assert sum(a.body["counts"]["created"] for a in answers if a.status == 200) == 3
    assert [row[4] for row in roster(team)] == [1, 1, 1]
    assert team.rows("SELECT count(*) FROM audit_log WHERE action = 'participant.create'") == [(3,)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "header"),
        ("site,status\nlima,enrolled\n", "no column `code`"),
        ("code,shoe\ns1,44\n", "Unknown column: 'shoe'"),
        ("code,code\ns1,s1\n", "twice: code"),
        ("code,site\ns1,lima,more\n", "Line 2 has 3 cells"),
        ('code,site\n"s1,lima\n', "Line 2"),
        ("code\ns1\0\n", "NUL"),
        ("code\n" + "x" * 8_001 + "\n", "Line 2"),
        ("code\n" + "".join(f"s{n}\n" for n in range(20_001)), "more than 20000 rows"),
    ],
)
def test_file_that_is_no_roster_is_refused_with_where_and_why(text: str, said: str) -> None:
    with pytest.raises(CannotRead, match=said):
        read_table(text)


async def test_file_too_large_or_no_csv_is_refused(team: Office) -> None:
    admin = team.as_("admin")
    assert (await send(admin, b"code\n" + b"x" * 11_000_000)).error == (413, "too_large")
    for file, said in ((b"code\ns\xff\n", "UTF-8"), (b"shoe\n44\n", "Unknown column")):
        answer = await send(admin, file)
        assert answer.error == (422, "invalid_request")
        assert said in answer.body["error"]["message"]
    json = await admin.post("/api/participants/import?study=SRO", {})
    assert json.error == (415, "unsupported_media_type")


@given(st.text(alphabet="'=+-@\t\ra,;\"\n", max_size=8))
def test_cell_that_is_written_and_read_is_what_it_was_and_no_formula(cell: str) -> None:
    assert unquoted(quoted(cell)) == cell
    assert quoted(cell)[:1] not in {"=", "+", "-", "@", "\t", "\r"}
    rows = read_table("code,contact_note\r\n" + write_row(["s1", cell]))
    assert rows[0].cells.get("contact_note", "") == (cell if cell.strip() else "")


async def test_commands_import_and_export_as_the_routes_do(team: Office, tmp_path: Path) -> None:
    settings = team.gateway.app[SETTINGS]
    env = environment(
        DATABASE_URL=settings.database_url, REDIS_URL=settings.redis_url, DATA_DIR=str(settings.data_dir)
    )
    file = tmp_path / "roster.csv"
    file.write_text(FILE + "s4;cusco;;;;;\n")

    async def ended(*arguments: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(run, "participants", *arguments, env=env)
        return done.code, done.out, done.err

    code, said, _ = await ended("import", str(file), "--study", "SRO", "--dry-run", "--json")
    assert (code, msgspec.json.decode(said)["counts"]["created"]) == (1, 3)
    code, said, _ = await ended("import", str(file), "--study", "SRO")
    assert code == 1
    assert "does not run at cusco" in said
    assert roster(team) == []
    code, said, _ = await ended("import", str(file), "--study", "SRO", "--skip")
    assert (code, len(roster(team))) == (1, 3)
    code, said, _ = await ended("export", "--study", "SRO", "--contact")
    assert (code, said.splitlines()[1].split(",")[:2]) == (0, ["s1", "lima"])
    assert "'=cmd|x" in said
    code, _, wrong = await ended("import", str(file), "--study", "none")
    assert (code, wrong.strip()) == (1, "There is no study none.")
