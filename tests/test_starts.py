"""A process imports what it runs: what only others need would cost each of them a good part of its start.

Followed in the source: imports at the top of modules of ours, and the packages they name.
"""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("replication", "reporting", "sync_server", "migrations")

NEEDLESS = {
    "sync_server.serving": {"alembic", "migrations", "sync_server.embedded.system"},
    "sync_server.projecting": {"alembic", "rq", "redis", "sync_server.app", "sync_server.embedded.system"},
    "sync_server.relaying": {"alembic", "migrations", "sync_server.app", "sync_server.embedded.system"},
    "sync_server.jobs.worker": {"alembic", "migrations", "sync_server.app", "sync_server.embedded.system"},
    "sync_server.cli.services": {"alembic", "sqlalchemy", "redis"},
    "sync_server.cli.system": {"rq", "sync_server.app", "sync_server.lifespan", "sync_server.jobs.registry"},
}
"""Module that a process starts with → what it does without."""


def file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.is_file()), None)


@functools.cache
def imports(module: str) -> frozenset[str]:
    """The modules, and names in modules, that it imports when it is imported, and the packages it is in."""
    parts = module.split(".")
    found = {".".join(parts[:length]) for length in range(1, len(parts))}
    path = file_of(module)
    for node in ast.parse(path.read_bytes()).body if path else ():
        match node:
            case ast.Import():
                found |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(name)):
                found |= {name, *(f"{name}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def reached(module: str) -> set[str]:
    """All that it imports, directly or through modules of ours."""
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        seen |= (now := waiting)
        ours = {each for each in now if each.split(".")[0] in OURS}
        waiting = {inner for each in ours for inner in imports(each)} - seen
    return seen


@pytest.mark.parametrize("module", NEEDLESS)
def test_a_process_imports_nothing_that_only_others_need(module: str) -> None:
    found = reached(module)
    packages = {name.split(".")[0] for name in found}
    assert NEEDLESS[module] & (found | packages) == set()


def test_what_is_imported_is_followed() -> None:
    assert {"sync_server.lifespan", "sync_server.api.routes", "aiohttp"} <= reached("sync_server.app")
    assert {"alembic", "migrations.upgrade"} <= reached("sync_server.cli.system")
