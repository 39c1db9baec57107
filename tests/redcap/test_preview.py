"""What a push would do, by the route and by the command; and the commands of `sync-server redcap`."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sync_server.settings import Settings
from tests.administration.office import Office
from tests.gateway.processes import Ended, invoke
from tests.redcap.redcap_office import GIVEN, MAPPING, Connected, connected, roster_project
from tests.redcap_double.double import Double

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[")
PREVIEW = "/api/redcap/SRO/preview"


@pytest.fixture
async def team(office: Office) -> AsyncIterator[Connected]:
    """Connected and mapped; s1 is record 15."""
    async with connected(office, Double([roster_project()], requests_per_minute=None)) as made:
        await made.connect()
        await made.map()
        made.office.rows(
            "INSERT INTO participants (study, code, site, redcap_id) VALUES ('SRO', 's1', 'lima', '15'),"
            " ('SRO', 's2', 'quito', NULL)"
        )
        made.person("15", ppt_code="s1")
        yield made


def write(team: Connected, session: str, srt: float, *, site: str = "lima", participant: str = "s1") -> None:
    """A session's rows, with its request."""
    team.office.rows(
        "INSERT INTO sessions (site, id, study, participant, visit, status, started_at, rev)"
        " VALUES (%s, %s, 'SRO', %s, 'baseline', 'completed', '2026-03-01', '1-a')",
        *(site, session, participant),
    )
    team.office.rows(
        "INSERT INTO task_runs (site, session_id, task, run, status, n_trials)"
        " VALUES (%s, %s, 'simple_reaction_time', 1, 'completed', 20)",
        *(site, session),
    )
    team.office.rows(
        "INSERT INTO scores VALUES (%s, %s, 'simple_reaction_time', 1, 'avg_rt', %s, 1)",
        *(site, session, srt),
    )


def change(team: Connected, session: str, srt: float) -> None:
    team.office.rows("UPDATE scores SET value = %s WHERE session_id = %s", srt, session)


def kinds(body: dict[str, Any]) -> dict[str, str]:
    return {row["session"]: row["kind"] for row in body["rows"]}


async def push(team: Connected) -> None:
    assert (await team.admin.post("/api/redcap/SRO/push", {})).status == 202
    await team.desk.drain()


async def test_preview_tells_cell_by_cell_what_the_push_then_does_and_changes_nothing(
    team: Connected,
) -> None:
    for name in ("same", "mine", "theirs"):
        write(team, name, 300.0)
    await push(team)
    write(team, "fresh", 250.0)
    write(team, "waits", 1.0, site="quito", participant="s2")
    change(team, "mine", 310.0)
    change(team, "theirs", 320.0)
    ((instance,),) = team.office.rows("SELECT instance FROM redcap_ledger WHERE session_id = 'theirs'")
    team.double.person_writes("15", {"cog_srt": "999.0"}, event="base_arm_1", form="cog", instance=instance)
    requests = team.double.requests.count()
    before = team.office.rows("SELECT id, state, payload, fence FROM redcap_ledger ORDER BY id")
    told = (await team.admin.post(PREVIEW, {})).body
    assert kinds(told) == {"fresh": "create", "mine": "update", "theirs": "edited", "same": "unchanged"}
    assert told["summary"] == {
        "create": 1,
        "update": 1,
        "unchanged": 1,
        "edited": 1,
        "blocked": 0,
        "cells": 4,
    }
    cells = {(row["session"], cell["column"]): cell for row in told["rows"] for cell in row["cells"]}
    mine, theirs = cells["mine", "cog_srt"], cells["theirs", "cog_srt"]
    assert (mine["last"], mine["before"], mine["after"]) == ("300.0", "300.0", "310.0")
    assert (theirs["last"], theirs["before"], theirs["after"]) == ("300.0", "999.0", "320.0")
    assert (told["total"], sum(told["not_wanted"].values()), told["unreachable"]) == (5, 1, [])
    assert team.double.requests.count() == requests + 1
    assert team.office.rows("SELECT id, state, payload, fence FROM redcap_ledger ORDER BY id") == before
    first = (await team.admin.post(PREVIEW, {"per_page": 2})).body
    rest = (await team.admin.post(PREVIEW, {"per_page": 2, "page": 2})).body
    assert kinds(first) | kinds(rest) == kinds(told)
    await push(team)
    after = (await team.admin.post(PREVIEW, {})).body
    assert after["summary"]["unchanged"] == 4
    at_quito = team.office.as_("coordinator", study="SRO", site="quito")
    assert (await at_quito.post(PREVIEW, {})).body["total"] == 1


async def test_preview_says_what_is_blocked_and_what_cannot_be_compared(team: Connected) -> None:
    assert (await team.admin.post("/api/redcap/ABC/preview", {})).error == (404, "not_found")
    write(team, "x", 300.0)
    # The site's own project does not answer.
    write(team, "y", 300.0, site="quito")
    await team.connect(site="quito", url=team.url.replace("/api/", "/nothing/api/"))
    told = (await team.admin.post(PREVIEW, {})).body
    assert kinds(told) == {"x": "create"}
    (away,) = told["unreachable"]
    assert (away["project"], away["sessions"]) == ("sro@quito", 1)
    field = {**GIVEN["instruments"][0]["fields"]["cog_srt"], "map": {"1": "1"}, "dp": None, "as": "text"}
    blocking = {**GIVEN, "instruments": [{**GIVEN["instruments"][0], "fields": {"cog_srt": field}}]}
    team.office.rows("UPDATE redcap_mappings SET definition = %s", json.dumps(blocking))
    blocked = (await team.admin.post(PREVIEW, {"site": "lima"})).body
    assert kinds(blocked) == {"x": "blocked"}
    assert blocked["rows"][0]["reason"].startswith("$.instruments[0].fields.cog_srt")
    await push(team)
    told = team.office.rows(
        "SELECT key, payload->'data'->>'session' FROM outbox WHERE payload->>'name' = 'redcap.parked'"
    )
    assert told == [("redcap.parked:lima/session:x/1", "x")]


async def test_commands_check_preview_push_pull_pause_and_tell(
    team: Connected, office_settings: Settings
) -> None:
    env = {
        "DATABASE_URL": office_settings.database_url,
        "REDIS_URL": office_settings.redis_url,
        "DATA_DIR": str(office_settings.data_dir),
        "REDCAP_REQUESTS_PER_MINUTE": "600",
    }

    async def redcap(*arguments: str) -> Ended:
        ended = await asyncio.to_thread(invoke, "redcap", *arguments, env=env)
        # The service is in this process too, and its log goes where the command prints.
        lines = ended.out.splitlines(keepends=True)
        return Ended(ended.code, "".join(line for line in lines if not LOG_LINE.match(line)), ended.err)

    checked = await redcap("check", "--study", "SRO")
    assert (checked.code, checked.out) == (0, "sro: fits (Planted study)\n")
    wrong = office_settings.data_dir / "wrong.yaml"
    text: str = (await team.admin.get(MAPPING)).body["text"]
    wrong.write_text(text.replace("ppt_code", "ppt_cod"))
    misfit = await redcap("check", "--study", "SRO", "--file", str(wrong))
    assert misfit.code == 1
    assert (
        "sro: $.participants.code.from: The project has no field ppt_cod. Did you mean ppt_code?"
        in misfit.out
    )
    write(team, "x", 300.0)
    dry = await redcap("push", "--study", "SRO", "--dry-run", "--json")
    assert (dry.code, json.loads(dry.out)["summary"]["create"]) == (0, 1)
    assert "create" in (await redcap("push", "--study", "SRO", "--dry-run")).out
    pushed = await redcap("push", "--study", "SRO", "--no-wait")
    assert (pushed.code, pushed.out) == (0, "1 pending\n")
    team.person("16", ppt_code="s6")
    team.person("17")
    would = await redcap("pull", "--project", "sro", "--dry-run", "--full")
    assert would.code == 1
    assert "It has no code" in would.out
    assert would.out.endswith("Would be: 1 created, 1 refused, 1 unchanged. Nothing was changed.\n")
    pulled = await redcap("pull", "--project", "sro", "--json")
    assert json.loads(pulled.out)["counts"]["created"] == 1
    (await redcap("pull", "--project", "other")).failed_with("There is no project other.")
    paused = await redcap("pause", "--project", "sro", "--reason", "moving")
    assert (paused.code, paused.out) == (0, "sro is paused.\n")
    status = await redcap("status")
    assert "PAUSED (person): sync-server redcap: moving" in status.out, status.err
    (await redcap("pull", "--project", "sro")).failed_with("paused")
    assert (await redcap("resume", "--project", "sro")).out == "sro goes on.\n"
    told = json.loads((await redcap("status", "--json")).out)
    assert told["projects"][0]["record_problems"] == 1
    assert (await team.admin.get("/api/redcap/projects/sro")).body["sessions"] == {}
    acts = team.office.rows("SELECT action FROM audit_log WHERE actor = 'sync-server redcap' ORDER BY id")
    assert acts == [("redcap_mapping.push",), ("redcap_project.pause",), ("redcap_project.resume",)]
    assert team.double.token not in "".join(each.out + each.err for each in (checked, misfit, dry, pushed))
