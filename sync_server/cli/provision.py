"""`sync-server provision`: an Apache CouchDB brought to what this system needs.

| what happens | exit code |
|---|---|
| nothing differs, or everything was mended | 0 |
| `--check`, and something differs; what cannot be mended differs; a run that was not confirmed | 1 |
| CouchDB or Postgres cannot be looked at or changed, a setting is missing | 2 |
"""

import os
import sys
from collections.abc import Collection, Sequence
from typing import NoReturn

import click
import msgspec
import sqlalchemy.exc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reporting.engine import sync_engine
from sync_server.cli.target import fail
from sync_server.identity.signing_key_file import UnusableSigningKey, load_or_create_signing_key
from sync_server.provisioning.applying import apply, what_is_left
from sync_server.provisioning.desired import Desired, NoLogin, desired_state
from sync_server.provisioning.looking import check_server, look
from sync_server.provisioning.plan import Difference, Plan, make_plan, too_many_copies
from sync_server.provisioning.server import ProvisioningError, Server
from sync_server.provisioning.site_rows import admitted_credentials
from sync_server.settings import Settings, SettingsError, read_settings

_FAILED = 2


class _Told(msgspec.Struct, frozen=True):
    """The answer of `--json`."""

    differs: bool
    steps: list[Difference]
    obstacles: Sequence[Difference]
    notes: Sequence[str]
    applied: int


@click.command()
@click.option("--site", "sites", multiple=True, help="Only this site's database; may be repeated.")
@click.option("--check", is_flag=True, help="Only look; exit with 1 where something differs.")
@click.option("--yes", is_flag=True, help="Do not ask before the plan is carried out.")
@click.option(
    "--retire-key",
    "retired",
    multiple=True,
    metavar="ID",
    help="Direct mode: admit no token of this key any more; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the plan.")
def provision(
    sites: tuple[str, ...], retired: tuple[str, ...], *, check: bool, yes: bool, as_json: bool
) -> None:
    """Bring the CouchDB of COUCHDB_URL to what this system needs, as the admin of COUCHDB_ADMIN_URL.

    Looks, prints what differs and what it would do, asks, and does it; a second run finds nothing to do.
    """
    settings = _settings()
    desired = _desired(settings, sites, retired)
    server = Server(settings.couchdb_admin_url or "")
    try:
        nodes = check_server(server)
        problem = too_many_copies(desired.design, len(nodes))
        if problem is not None:
            _end(problem)
        plan = make_plan(desired, look(server, nodes, desired))
        if not as_json:
            _print(plan, server, nodes)
        if check or not plan.steps:
            _finish(plan, plan, applied=0, as_json=as_json)
        if not yes:
            _ask(as_json=as_json)
        left = _carry_out(server, nodes, desired, plan)
    except ProvisioningError as error:
        _end(str(error))
    finally:
        server.close()
    _finish(plan, left, applied=len(plan.steps), as_json=as_json)


def _settings() -> Settings:
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        _end(str(error))
    if settings.couchdb_url is None:
        _end("COUCHDB_URL is not set: the embedded store holds the site databases and needs no provisioning.")
    if settings.couchdb_admin_url is None:
        _end(
            "COUCHDB_ADMIN_URL is not set: give the address of CouchDB with the login of a server admin, as "
            "https://admin:password@couch.example:6984."
        )
    return settings


def _desired(settings: Settings, sites: Collection[str], retired: Collection[str]) -> Desired:
    try:
        key = load_or_create_signing_key(settings.data_dir)
    except (UnusableSigningKey, OSError) as error:
        _end(f"The signing key cannot be used: {error}")
    if key.verifier.key_id in retired:
        _end(
            f"{key.verifier.key_id} is the key of this deployment, in force: change the key first "
            '(docs/COUCHDB.md, "Changing the key"), or switch direct mode off.'
        )
    engine = sync_engine(settings.database_url, application_name="metricis-provision")
    try:
        with engine.connect() as connection:
            admitted = admitted_credentials(connection)
    except sqlalchemy.exc.SQLAlchemyError as error:
        _end(f"Postgres failed: {error}")
    finally:
        engine.dispose()
    unknown = sorted(set(sites) - admitted.keys())
    if unknown:
        _end(f"There is no open site {', '.join(unknown)}.")
    meant = {site: ids for site, ids in admitted.items() if not sites or site in sites}
    name = "COUCHDB_URL"
    try:
        desired = desired_state(settings, meant, key.verifier, retired_keys=retired, chosen=bool(sites))
        name = "COUCHDB_ADMIN_URL"
        Server(settings.couchdb_admin_url or "").close()
    except NoLogin:
        _end(f"{name} has no login: it is http(s)://user:password@host:port.")
    return desired


def _print(plan: Plan, server: Server, nodes: Sequence[str]) -> None:
    click.echo(f"CouchDB at {server.shown}, {len(nodes)} node{'s' if len(nodes) > 1 else ''}")
    where = ""
    for difference in [step.difference for step in plan.steps]:
        if difference.where != where:
            where = difference.where
            click.echo(f"\n{where}")
        click.echo(f"  {difference.what}: {difference.found} → {difference.wanted}   ({difference.why})")
    if plan.obstacles:
        click.echo("\nDiffers, and is not changed by this command:")
        for difference in plan.obstacles:
            click.echo(f"  {_sentence(difference)}   ({difference.why})")
    for note in plan.notes:
        click.echo(f"\nNote: {note}")
    steps = len(plan.steps)
    click.echo(f"\n{steps} step{'' if steps == 1 else 's'}." if steps else "\nNothing to do.")


def _sentence(difference: Difference) -> str:
    return f"{difference.where}, {difference.what}: {difference.found}, shall be {difference.wanted}"


def _ask(*, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        _end("Nobody can be asked here: repeat it with --yes to carry the plan out.", code=1)
    if not click.confirm("Carry it out?"):
        _end("Nothing was changed.", code=1)


def _carry_out(server: Server, nodes: list[str], desired: Desired, plan: Plan) -> Plan:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        doing = bar.add_task("Provisioning", total=len(plan.steps))
        apply(server, plan, tell=lambda _: bar.advance(doing))
        bar.update(doing, description="Looking again")
        return what_is_left(server, nodes, desired)


def _finish(plan: Plan, left: Plan, *, applied: int, as_json: bool) -> NoReturn:
    if as_json:
        steps = [step.difference for step in plan.steps]
        told = _Told(left.differs, steps, left.obstacles, left.notes, applied)
        click.echo(msgspec.json.encode(told).decode())
    elif applied:
        click.echo(f"{applied} step{'' if applied == 1 else 's'} done.")
        for step in left.steps:
            click.echo(f"Differs still: {_sentence(step.difference)}. Run this again.")
        for difference in left.obstacles:
            click.echo(f"Differs still: {_sentence(difference)}. {difference.why}.")
    sys.exit(1 if left.differs else 0)


def _end(message: str, *, code: int = _FAILED) -> NoReturn:
    fail(message, code=code)
