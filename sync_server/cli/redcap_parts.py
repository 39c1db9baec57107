"""What the commands of `sync-server redcap` share: the settings, the key, and one event loop a command.

With `--data-dir` database and key are the running system's; how REDCap is asked (`SITE_CONFIGS`,
`REDCAP_…`, `ENVIRONMENT`) is of the environment, as the system itself was started with.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import sqlalchemy.exc

from reporting.audit import AuditEntry
from reporting.engine import async_engine
from sync_server.cli.target import fail, target
from sync_server.cli.transaction import why_unusable
from sync_server.key_file import ReadableByOthers
from sync_server.redcap.study_connections import Redcaps
from sync_server.sealing import UnusableKey, load_sealer
from sync_server.settings import Settings, SettingsError, read_settings

ACTOR: Final = "sync-server redcap"

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
study_option = click.option("--study", required=True, help="Code of the study.")


def settings_of(data_dir: Path | None) -> Settings:
    """Of the system to talk to. Ends the command with a sentence when there is none."""
    where = target(data_dir)
    given = {**os.environ, "DATABASE_URL": where.database_url, "DATA_DIR": str(where.data_dir)}
    if data_dir is not None:
        given["REDIS_URL"] = "redis://unused"
    try:
        return read_settings(given)
    except SettingsError as error:
        fail(str(error))


def run(data_dir: Path | None, work: Callable[[Redcaps], Awaitable[T]]) -> T:
    """Do it, with what asking a REDCap takes; failures that a person can mend end in a sentence."""
    settings = settings_of(data_dir)

    async def go() -> T:
        sealer = await asyncio.to_thread(load_sealer, settings.data_encryption_keys, settings.data_dir)
        engine = async_engine(settings.database_url, application_name="metricis-redcap")
        try:
            return await work(Redcaps(settings, engine, sealer))
        finally:
            await engine.dispose()

    try:
        return asyncio.run(go())
    except (UnusableKey, ReadableByOthers) as error:
        fail(str(error))
    except sqlalchemy.exc.DBAPIError as error:
        reason = why_unusable(error)
        if reason is None:
            raise
        fail(reason)


def act(action: str, study: str, **about: Any) -> AuditEntry:
    """The entry of what a command does to a study."""
    return AuditEntry(
        actor=ACTOR,
        actor_kind="process",
        action=action,
        entity="redcap_mapping",
        entity_id=study,
        study=study,
        **about,
    )
