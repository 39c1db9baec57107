"""A study whose sessions are pushed to the double: rows in Postgres, and a worker for its entries."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import psycopg
from cryptography.fernet import Fernet
from psycopg import sql
from psycopg.types.json import Jsonb

from reporting.compiled import execute_in
from reporting.engine import async_engine, sync_engine
from reporting.outbox.claims import claim
from reporting.redcap.requests import KIND, push_changed, resync
from sync_server.jobs.delivery import deliver
from sync_server.jobs.duties import sweep
from sync_server.jobs.resources import Resources
from sync_server.sealing import Sealer
from sync_server.settings import Settings
from tests.redcap_double.building import build_project
from tests.redcap_double.dictionary import Field
from tests.redcap_double.project import Project
from tests.redcap_double.records import Place

KEY = Fernet.generate_key().decode()
FAST = 60_000
"""Requests a minute, for tests that count no time."""

STUDY, SITE, FORM, EVENT = "A", "lima", "cog_session", "baseline_arm_1"

MAPPING: Mapping[str, Any] = {
    "project": {"key": "studyA", "record_id": {"from": "participant.redcap_id"}},
    "instruments": [
        {
            "event": {"by": "visit", "map": {"baseline": EVENT, "retest": "retest_arm_1"}},
            "form": FORM,
            "repeat": {"mode": "instrument", "key_field": "cog_session_uid"},
            "fields": {
                "cog_srt_ms": {"from": "scores.simple_reaction_time.avg_rt", "as": "number", "dp": 1},
                "cog_status": {"from": "status", "as": "choice", "map": {"completed": 1, "abandoned": 2}},
                "cog_flags": {
                    "from": "flags",
                    "as": "checkbox",
                    "codes": {"clock_suspect": 1, "timing_gap": 2},
                },
            },
            "complete": {"from": "status", "map": {"completed": 2}},
        }
    ],
}


def cognition_project() -> Project:
    """A longitudinal project with a form that repeats, and one that does not."""
    return build_project(
        [
            Field("record_id", "demographics", label="Record"),
            Field("cog_session_uid", FORM, label="Session"),
            Field("cog_srt_ms", FORM, validation="number_1dp", label="Simple reaction time"),
            Field("cog_flags", FORM, "checkbox", label="Flags", choices="1, Late | 2, Noisy"),
            Field("cog_withdrawn", FORM, "yesno", label="Withdrawn"),
            Field("cog_person", FORM, label="A person's"),
            Field("cog_status", FORM, "radio", label="Status", choices="1, Completed | 2, Abandoned"),
            Field("one_srt_ms", "single", validation="number_1dp", label="Simple reaction time"),
        ],
        events={EVENT: ["demographics", FORM, "single"], "retest_arm_1": [FORM]},
        repeating={EVENT: [FORM], "retest_arm_1": [FORM]},
    )


class Here(NamedTuple):
    """A session as REDCap has it."""

    record: str
    event: str
    instance: int
    values: Mapping[str, str]


def instances_of(project: Project, session: str, site: str = SITE) -> list[Here]:
    """Every place where the session's uid is."""
    return [
        Here(place.record, place.event, place.instance, dict(values))
        for place, values in sorted(project.records.rows.items())
        if values.get("cog_session_uid") == f"{site}/{session}"
    ]


def row_at(project: Project, record: str, instance: int, event: str = EVENT) -> dict[str, str]:
    """What is at an instance of the form."""
    return dict(project.records.rows.get(Place(record, event, FORM, instance), {}))


def settings_for(database_url: str, data_dir: Path, **more: Any) -> Settings:
    """A worker's."""
    given: dict[str, Any] = {
        "database_url": database_url,
        "redis_url": "redis://unused",
        "data_dir": data_dir,
        "redcap_requests_per_minute": FAST,
    }
    return Settings(**(given | more))


class Study:
    """Rows of a study, and what becomes of its sessions."""

    def __init__(self, settings: Settings, url: str, token: str) -> None:
        self.settings = settings
        self.url = url
        self.token = token
        self.rows = psycopg.connect(settings.database_url, autocommit=True)
        self.engine = sync_engine(settings.database_url)

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, *_: object) -> None:
        self.rows.close()
        self.engine.dispose()

    def ask(self, text: str, *parameters: Any) -> list[Any]:
        """Rows of a query."""
        cursor = self.rows.execute(cast(Any, text), parameters)
        return cursor.fetchall() if cursor.description else []

    def found(self, mapping: Mapping[str, Any] = MAPPING) -> None:
        """Make study, site, connection and mapping."""
        self.ask("INSERT INTO studies (code) VALUES (%s)", STUDY)
        self.ask("INSERT INTO sites (code, timezone) VALUES (%s, 'America/Lima')", SITE)
        self.connect(None)
        self.map(mapping)

    def connect(self, site: str | None) -> None:
        """A connection of the study, or of a site of it."""
        sealed = Sealer((KEY,)).seal(self.token)
        self.ask(
            "INSERT INTO redcap_connections (study, site, url, token, created_by)"
            " VALUES (%s, %s, %s, %s, 'x')",
            *(STUDY, site, self.url, sealed),
        )

    def map(self, mapping: Mapping[str, Any]) -> None:
        """Save the mapping, whether or not it fits."""
        self.ask(
            "INSERT INTO redcap_mappings (study, definition, created_by, updated_by)"
            " VALUES (%s, %s, 'x', 'x') ON CONFLICT (study) DO UPDATE SET definition = excluded.definition",
            *(STUDY, Jsonb(mapping)),
        )

    def write(
        self,
        session: str,
        record: str | None = "1",
        *,
        srt: float | None = 300.0,
        visit: str = "baseline",
        status: str = "completed",
        flags: Sequence[str] = (),
    ) -> None:
        """A session's rows, as a projector writes them, and its request."""
        with self.rows.pipeline(), self.rows.transaction():
            self._delete(session)
            code = f"p-{record or session}"
            self._do(
                "INSERT INTO participants (study, code, site, redcap_id) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                *(STUDY, code, SITE, record),
            )
            self._do(
                "INSERT INTO sessions (site, id, study, participant, visit, status, started_at, rev) "
                "VALUES (%s, %s, %s, %s, %s, %s, '2026-03-01 12:00+00', '1-a')",
                *(SITE, session, STUDY, code, visit, status),
            )
            self._do(
                "INSERT INTO task_runs (site, session_id, task, run, status, n_trials) "
                "VALUES (%s, %s, 'simple_reaction_time', 1, 'completed', 20)",
                *(SITE, session),
            )
            self._do(
                "INSERT INTO scores VALUES (%s, %s, 'simple_reaction_time', 1, 'avg_rt', %s, 1)",
                *(SITE, session, srt),
            )
            for code in flags:
                self._do(
                    "INSERT INTO quality_flags (site, session_id, code, detail) VALUES (%s, %s, %s, '{}')",
                    *(SITE, session, code),
                )
            execute_in(self.rows, push_changed(SITE, [session]))

    def remove(self, session: str) -> None:
        """Its rows, as after a quarantine, and its request."""
        with self.rows.transaction():
            self._delete(session)
            execute_in(self.rows, push_changed(SITE, [session]))

    def _do(self, text: str, *parameters: Any) -> None:
        self.rows.execute(cast(Any, text), parameters)

    def _delete(self, session: str) -> None:
        self._do("DELETE FROM sessions WHERE site = %s AND id = %s", SITE, session)
        for table in ("task_runs", "scores", "quality_flags"):
            statement = sql.SQL("DELETE FROM {} WHERE site = %s AND session_id = %s")
            self.rows.execute(statement.format(sql.Identifier(table)), (SITE, session))

    def resync(self) -> None:
        """Enter all."""
        with self.rows.transaction():
            execute_in(self.rows, resync(STUDY))

    def claim(self, limit: int = 100, *, kind: str = KIND) -> list[tuple[int, int]]:
        """What is due, as a relay claims it."""
        with self.engine.begin() as connection:
            claimed = connection.execute(claim(kind, limit=limit, lease=timedelta(seconds=60)))
            return [(row.id, row.lease) for row in claimed]

    def bury(self) -> None:
        """What killed workers have begun is taken back, and everything that waits is due."""
        self.ask("UPDATE outbox SET leased_until = now() - interval '1 second' WHERE state = 'leased'")
        with self.engine.begin() as connection:
            sweep(connection, datetime.now(UTC))
        self.hurry()

    def hurry(self) -> None:
        """Time passes: everything that waits is due, and no breaker is open."""
        self.ask("UPDATE outbox SET next_attempt_at = now() WHERE state = 'pending'")
        self.ask("UPDATE redcap_hosts SET open_until = NULL, failures = 0")

    def states(self) -> dict[str, str]:
        """Of the outbox's entries, by session."""
        return {
            key.rpartition("/")[2]: state
            for key, state in self.ask("SELECT key, state FROM outbox WHERE kind = 'redcap'")
        }

    def errors(self) -> dict[str, str]:
        """Of the outbox's entries, by session."""
        rows = self.ask("SELECT key, error FROM outbox WHERE kind = 'redcap' AND error IS NOT NULL")
        return {key.rpartition("/")[2]: error for key, error in rows}

    def ledger(self) -> list[Any]:
        """(session, state, record, instance), in order."""
        return self.ask("SELECT session_id, state, record, instance FROM redcap_ledger ORDER BY id")


@asynccontextmanager
async def resources_of(settings: Settings, key: str = KEY) -> AsyncIterator[Resources]:
    """What a push works with."""
    engine = async_engine(settings.database_url, pool_size=2)
    nothing: Any = None
    try:
        yield Resources(settings, engine, nothing, nothing, Sealer((key,)))
    finally:
        await engine.dispose()


async def work(study: Study, resources: Resources, *, limit: int = 100) -> int:
    """One job; how many entries were begun."""
    return await deliver(KIND, study.claim(limit), resources)


async def drain(study: Study, resources: Resources, *, rounds: int = 12) -> None:
    """Until nothing waits; time passes between the jobs."""
    for _ in range(rounds):
        if not await work(study, resources):
            break
        study.hurry()


def json_of(value: Any) -> Any:
    """As it is read from JSON."""
    return msgspec.json.decode(msgspec.json.encode(value))
