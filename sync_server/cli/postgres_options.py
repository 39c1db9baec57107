"""How Postgres is reached by commands that call PostgreSQL's own programs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def owner_url_option(role: str) -> Callable[[F], F]:
    """`--owner-url`; `role` says what the role does, and what is taken without the option."""
    return click.option(
        "--owner-url",
        envvar="OWNER_DATABASE_URL",
        show_envvar=True,
        help=f"Postgres as the role that {role}",
    )


def program_option(name: Literal["pg_dump", "pg_restore"]) -> Callable[[F], F]:
    """`--pg-dump` or `--pg-restore`."""
    return click.option(
        f"--{name.replace('_', '-')}",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar=name.upper(),
        show_envvar=True,
        help=f"The {name} to use; without it, that of the PATH or of the embedded server.",
    )
