"""The command line: a REDCap to play with, which tells what arrives.

Two kinds of lines go to standard output: one when it listens, with the URL and the token, and one for each
row that an import wrote; as text, or with `--json` as objects.
"""

import asyncio
import contextlib
import json
import secrets
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tests.redcap_double.building import build_project, study_project
from tests.redcap_double.catalogue import make_fault, names
from tests.redcap_double.dictionary_file import BadFile, read_dictionary
from tests.redcap_double.double import REQUESTS_PER_MINUTE, Double
from tests.redcap_double.faults import parse_fault
from tests.redcap_double.importing import Write
from tests.redcap_double.odm_file import read_project
from tests.redcap_double.project import Project, User
from tests.redcap_double.running import LOOPBACK, Address, running

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


@click.command(
    epilog=f"Faults: {', '.join(names())}. Written name[@nth][xtimes][:content[/action]]: html@3 befalls the "
    "third request, drop-after:record/import the next import, 503xall every request."
)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default="a free one", help="Port to listen on.")
@click.option("--dictionary", type=_FILE, help="Data dictionary to start with (REDCap's CSV file).")
@click.option("--odm", type=_FILE, help="Project to start with (REDCap's XML file, without its records).")
@click.option(
    "--event", "events", multiple=True, metavar="NAME", help="With --dictionary: an event, as baseline_arm_1."
)
@click.option(
    "--repeat", "repeats", multiple=True, metavar="FORM", help="With --dictionary: a form that repeats."
)
@click.option("--token", help="Token of the user, 32 hexadecimal digits; one is made up without it.")
@click.option(
    "--fault", "faults", multiple=True, metavar="FAULT", help="What goes wrong (see below); may be repeated."
)
@click.option(
    "--requests-per-minute",
    default=REQUESTS_PER_MINUTE,
    show_default=True,
    help="More of them from one address, and it is banned; 0 for no limit.",
)
@click.option("--json", "as_json", is_flag=True, help="Tell what arrives as JSON, an object a line.")
@click.option("--control", is_flag=True, help="Let programs of this machine steer it at /control/.")
def main(
    *,
    host: str,
    port: int,
    dictionary: Path | None,
    odm: Path | None,
    events: tuple[str, ...],
    repeats: tuple[str, ...],
    token: str | None,
    faults: tuple[str, ...],
    requests_per_minute: int,
    as_json: bool,
    control: bool,
) -> None:
    """Run a double of REDCap's API, with an example project unless a file describes another.

    It keeps all in memory and forgets it when it ends. It is for tests and for trying a connection out; never
    send it data of real people from another machine.
    """
    project = _project(dictionary, odm, events, repeats)
    project.users = [User("sync", _token(token))]
    double = Double(
        [project], requests_per_minute=requests_per_minute or None, on_write=_teller(as_json=as_json)
    )
    for text in faults:
        try:
            arguments = parse_fault(text)
            make_fault(arguments["fault"])
        except ValueError as wrong:
            raise click.BadParameter(str(wrong), param_hint="--fault") from None
        double.faults.add(**arguments)

    def tell_where(address: Address) -> None:
        where = {"url": address.url, "port": address.port, "token": double.token, "project": project.title}
        text = f"{project.title}: {address.url} token {double.token} (Ctrl-C ends it)"
        click.echo(json.dumps(where) if as_json else text)

    try:
        asyncio.run(_serve(double, host, port, control=control, tell_where=tell_where))
    except OSError as wrong:
        raise click.ClickException(f"cannot listen on {host} port {port}: {wrong.strerror}") from None


async def _serve(
    double: Double, host: str, port: int, *, control: bool, tell_where: Callable[[Address], None]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with running(double, host=host, port=port, control=control) as address:
        tell_where(address)
        await stop.wait()


def _project(
    dictionary: Path | None, odm: Path | None, events: tuple[str, ...], repeats: tuple[str, ...]
) -> Project:
    if dictionary and odm:
        raise click.UsageError("--dictionary and --odm are two ways to describe a project; give one of them")
    if (events or repeats) and not dictionary:
        raise click.UsageError("--event and --repeat go with --dictionary")
    try:
        if odm:
            return read_project(odm)
        if not dictionary:
            return study_project()
        found = read_dictionary(dictionary)
        built = build_project(
            found.fields,
            events={name: list(found.forms) for name in events},
            repeating=dict.fromkeys(events, repeats) if events and repeats else repeats,
            title=dictionary.stem,
        )
        return replace(built, dictionary=found)
    except (BadFile, UnicodeDecodeError) as wrong:
        raise click.ClickException(f"{dictionary or odm}: {wrong}") from None
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from None


def _token(given: str | None) -> str:
    token = given or secrets.token_hex(16).upper()
    if len(token) != 32 or not _HEX_DIGITS.issuperset(token):
        raise click.BadParameter("a token has 32 hexadecimal digits", param_hint="--token")
    return token


def _teller(*, as_json: bool) -> Callable[[Project, Write], None]:
    def tell(project: Project, write: Write) -> None:
        place = write.place
        where: dict[str, Any] = {"record": place.record}
        if project.is_longitudinal:
            where["event"] = place.event
        if place.instance:
            where |= {"form": place.instrument, "instance": place.instance}
        if as_json:
            click.echo(json.dumps({**where, "values": write.values}))
        else:
            named = " ".join(f"{name} {value}" for name, value in where.items() if value != "")
            click.echo(f"{named}: {' '.join(f'{name}={value!r}' for name, value in write.values.items())}")

    return tell
