"""A study with data at two sites, exports of it asked for, and what is in them."""

import csv
import hashlib
import io
import zipfile
from typing import Any

from tests.administration.desk import Desk
from tests.administration.office import Member, Office
from tests.api.calls import Answer

PATH = "/api/exports"
DATA = """
INSERT INTO research_policies (study) VALUES ('SRO') ON CONFLICT DO NOTHING;
INSERT INTO participants (study, code, site, enrolled_on)
SELECT 'SRO', 'p-' || site, site, '2026-01-01' FROM study_sites;
INSERT INTO sessions (site, id, study, participant, status, started_at, rev)
SELECT site, 's' || n, 'SRO', 'p-' || site, 'completed', '2026-01-02 03:04:05Z', '1-a'
FROM study_sites, generate_series(1, 2) n;
INSERT INTO task_runs (site, session_id, task, run, n_trials) SELECT site, id, 'simon', 1, 3 FROM sessions;
INSERT INTO trial_rows (site, session_id, task, run, trial_index, stage, rt_ms, correct, response)
SELECT site, id, 'simon', 1, n, 'test', 400.5 + n, n <> 2, '"=a,\\"b\\""'
FROM sessions, generate_series(1, 3) n
"""


def with_data(office: Office) -> None:
    """SRO at lima and quito: a participant each, with two sessions of three trials."""
    office.study("SRO", "lima", "quito")
    for statement in DATA.split(";\n"):
        office.rows(statement)


async def ask(member: Member, *datasets: str, **more: Any) -> Answer:
    """Ask for an export of SRO."""
    headers = more.pop("headers", {})
    body = {"study": "SRO", "datasets": datasets or ("trials",), **more}
    return await member.post(PATH, body, **headers)


async def made(desk: Desk, member: Member, *datasets: str, **more: Any) -> dict[str, Any]:
    """An export that is done."""
    asked = await ask(member, *datasets, **more)
    assert asked.status == 202, asked.body
    await desk.drain()
    told = (await member.get(f"{PATH}/{asked.body['id']}")).body
    assert told["state"] == "done", told
    return dict(told)


async def download(member: Member, told: dict[str, Any], **headers: str) -> tuple[int, bytes, Any]:
    """Status, bytes and headers."""
    sent = {**member.api.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with member.api.client.get(f"{PATH}/{told['id']}/download", headers=sent) as response:
        return response.status, await response.read(), response.headers


async def unzipped(member: Member, told: dict[str, Any]) -> dict[str, bytes]:
    """The files in it, once it is seen to be what was told."""
    status, content, _ = await download(member, told)
    assert (status, len(content)) == (200, told["size"])
    assert hashlib.sha256(content).hexdigest() == told["sha256"]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def table(content: bytes) -> list[dict[str, str]]:
    """The rows of a CSV."""
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def plant_files(office: Office, participant: str) -> None:
    """A report on the participant that waits, and an export of the study that is being made."""
    office.rows(
        "INSERT INTO research_files (kind, study, identified, request, state, person, asked_by) VALUES"
        " ('report', 'SRO', true, jsonb_build_object('participant', %s::text), 'queued', 0, 'somebody'),"
        " ('export', 'SRO', false, '{}', 'running', 0, 'somebody')",
        participant,
    )


def expect_files_removed(office: Office) -> None:
    """Whoever is in an export cannot be seen in it: each of the study goes."""
    assert office.rows("SELECT DISTINCT state, error FROM research_files") == [
        ("removed", "A participant of the study was erased: ask for it again.")
    ]
    assert office.rows("SELECT state FROM outbox WHERE kind = 'research_sweep'") == [("pending",)]
