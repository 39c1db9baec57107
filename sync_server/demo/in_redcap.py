"""The demo's study in REDCap: connected and mapped as a study team does it, and what is there in the end.

The sessions push themselves, once they are projected; here it is only waited for.
"""

import asyncio
import time
from collections import Counter, defaultdict
from typing import Any, Final, NamedTuple

import aiohttp
from rich.console import Console
from rich.table import Table

from reporting.redcap.dictionary_file import RECORD_ID, design, mapping_of
from reporting.redcap.mapping_text import as_yaml
from sync_server.demo.failure import PATIENCE_S, DemoFailed
from sync_server.demo.task_runs import TASKS
from sync_server.demo.team import BATTERY, STUDY, StudyTeam

FORM: Final = "cog_session"
PROJECT: Final = "demo"
_DESIGN: Final = design(BATTERY, dict.fromkeys(TASKS, 1), form=FORM)
_SHOWN: Final = 6
"""Values of the sample, which has its session's first."""
_PER_PAGE: Final = 500


class RedcapProject(NamedTuple):
    """Where a REDCap project is, and the token of a user of it."""

    url: str
    token: str


async def connect(team: StudyTeam, project: RedcapProject, console: Console) -> None:
    """The study with this project, by the mapping of its battery. Raises NotDone and DemoFailed."""
    body = {"study": STUDY, "url": project.url, "token": project.token}
    made = await team.call("POST", "/api/redcap/connections", body)
    tested = await team.call("POST", f"/api/redcap/connections/{made['id']}/test")
    if not tested["works"]:
        raise DemoFailed(f"REDCap at {project.url}: {tested['problem']}")
    mapping = {"mapping": as_yaml(mapping_of(_DESIGN, PROJECT))}
    await team.call("PUT", f"/api/redcap/mappings/{STUDY}", mapping)
    console.print(f"REDCap is connected and mapped: form [bold]{FORM}[/], {len(_DESIGN.drawn)} fields.")


async def pushed(team: StudyTeam, count: int) -> None:
    """Wait until this number of sessions is done or parked. Raises NotDone and DemoFailed."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = await team.call("GET", f"/api/redcap/projects/{PROJECT}")
        if found["paused_reason"] is not None:
            raise DemoFailed(f"REDCap: the project is paused: {found['paused_reason']}")
        ended = found["sessions"].get("done", 0) + found["sessions"].get("parked", 0)
        if ended >= count:
            return
        if time.monotonic() > deadline:
            raise DemoFailed(f"Only {ended} of {count} sessions were pushed in {PATIENCE_S:.0f} s.")
        await asyncio.sleep(0.5)


async def told(team: StudyTeam, http: aiohttp.ClientSession, project: RedcapProject) -> list[Table]:
    """What the ledger says of the sessions, and a few values of one of them as REDCap itself has it.

    Raises NotDone and DemoFailed.
    """
    sessions: Counter[tuple[str, str]] = Counter()
    records: dict[tuple[str, str], set[str]] = defaultdict(set)
    page = 1
    while True:
        path = f"/api/redcap/sessions?study={STUDY}&per_page={_PER_PAGE}&page={page}"
        rows = (await team.call("GET", path))["data"]
        for row in rows:
            state = row["state"] if row["reason"] is None else f"{row['state']}: {row['reason']}"
            sessions[row["form"], state] += 1
            records[row["form"], state].add(row["record"])
        if len(rows) < _PER_PAGE:
            break
        page += 1
    table = Table(title="In REDCap")
    for name in ("form", "state"):
        table.add_column(name, overflow="fold")
    for name in ("sessions", "records"):
        table.add_column(name, justify="right", no_wrap=True)
    for (form, state), number in sorted(sessions.items()):
        table.add_row(form, state, str(number), str(len(records[form, state])))
    return [table, await _sample(http, project)]


async def _sample(http: aiohttp.ClientSession, project: RedcapProject) -> Table:
    """The first session of record 1, asked of REDCap itself."""
    form = {
        "token": project.token,
        "content": "record",
        "action": "export",
        "format": "json",
        "type": "flat",
        "records[0]": "1",
        # With the record's own field, rows say which instance they are.
        "fields[0]": RECORD_ID,
        "forms[0]": FORM,
    }
    async with http.post(project.url, data=form) as response:
        if response.status != 200:
            raise DemoFailed(f"REDCap at {project.url} answers {response.status}.")
        rows: list[dict[str, Any]] = await response.json(content_type=None)
    row = next((row for row in rows if row.get(_DESIGN.key_field)), {})
    names = [each.field.name for each in _DESIGN.drawn]
    scored = [name for name in names[1:] if row.get(name) and "___" not in name]
    table = Table(title=f"Record 1, instance {row.get('redcap_repeat_instance') or '–'}, as REDCap has it")
    table.add_column("field", no_wrap=True)
    table.add_column("value", overflow="fold")
    # The session's own first, and then of its scores.
    for name in [names[0], *scored[: _SHOWN // 2], *scored[-(_SHOWN // 2) :], f"{FORM}_complete"]:
        table.add_row(name, str(row.get(name, "–")))
    return table
