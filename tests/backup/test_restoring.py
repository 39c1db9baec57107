"""A set into an empty deployment, where something is in the way: erasures, kills, keys, what is there."""

import asyncio
import shutil
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
import psycopg
import pytest
from click.testing import CliRunner

from replication.dump.lines import Counts, DumpDamaged, Written
from reporting.engine import connect
from sync_server.backup.keys import WrongKeys
from sync_server.backup.manifest import (
    DatabaseFile,
    File,
    Manifest,
    PostgresDump,
    Run,
    UnusableSet,
    read_manifest,
    write_manifest,
)
from sync_server.backup.postgres import PostgresFailed, find_program
from sync_server.backup.restoring import InUse, NotEmpty, plan_restore, restore_set
from sync_server.cli import main
from sync_server.keys import SETTINGS
from tests.administration.test_erasure import Clinic, clinic, session
from tests.backup.conftest import Backups, Fresh, silent

__all__ = ["clinic"]


async def test_what_was_erased_after_the_base_stays_erased_and_is_counted(
    clinic: Clinic, backups: Backups, fresh: Fresh
) -> None:
    await backups.run(keys=True)
    await clinic.run(await clinic.confirmed())
    await backups.run(incremental=True, keys=True)
    # The last run knows of no erasure by itself; the one before it does.
    manifest = await backups.run(incremental=True, keys=True, postgres=False)
    (restored,) = await fresh.restore(backups, manifest)
    assert restored.is_whole
    # Of p-1 both, of n-conflict theirs, p-broken, p-surrogate, p-c, and the published participant.
    assert restored.left_out == 7
    page = await fresh.target.place.client.changes("site-lima", "0", limit=100)
    assert sorted(change.id for change in page.changes) == await clinic.neighbours()
    assert fresh.rows("SELECT count(*) FROM erased_documents") != [(0,)]
    (privileges,) = fresh.rows(
        "SELECT has_table_privilege('metricis_app', 'sessions', 'INSERT'),"
        " has_table_privilege('metricis_app', 'alembic_version', 'UPDATE')"
    )
    assert privileges == (True, False)
    # Policies are for roles that the cluster may not have: they are made anew, as the views are.
    fenced = "SELECT polrelid::regclass::text, obj_description(oid, 'pg_policy') FROM pg_policy ORDER BY 1"
    assert fresh.rows(fenced) == backups.office.rows(fenced)
    assert len(fresh.rows(fenced)) == 3
    assert fresh.rows("SELECT count(*) FROM pg_views WHERE schemaname = 'research'") == [(7,)]


async def test_one_that_died_half_way_goes_on_and_others_are_refused_meanwhile(
    clinic: Clinic, backups: Backups, fresh: Fresh, tmp_path: Path
) -> None:
    manifest = await backups.run(keys=True)
    plan = plan_restore(backups.directory, manifest, ())

    def die(part: str, done: int | None, total: int | None, size: int) -> None:
        if part == "Site databases":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await restore_set(plan, fresh.target, die)
    later = await backups.run(incremental=True, keys=True)
    with pytest.raises(NotEmpty, match="beginning of a restore of run 1"):
        await fresh.restore(backups, later)
    (restored,) = await fresh.restore(backups, manifest)
    assert (restored.is_whole, restored.comparison.further) == (True, 0)
    # It is complete: what was restored is in the way of another one.
    with pytest.raises(NotEmpty, match=r"documents in site-lima, rows in"):
        await fresh.restore(backups, later)


async def test_a_service_at_work_and_tables_of_another_application_are_in_the_way_and_stay(
    clinic: Clinic, backups: Backups, fresh: Fresh
) -> None:
    manifest = await backups.run(keys=True)
    with (
        connect(fresh.target.owner_url, application_name="metricis-sync"),
        pytest.raises(InUse, match=r"metricis-sync \(1 connections\)\. Stop every process"),
    ):
        await fresh.restore(backups, manifest)
    assert list(fresh.target.data_dir.iterdir()) == [fresh.target.data_dir / "store"]
    with psycopg.connect(fresh.target.owner_url) as connection:
        connection.execute("CREATE TABLE of_others (n int)")
    with pytest.raises(NotEmpty, match="the table of_others"):
        await fresh.restore(backups, manifest)
    assert fresh.rows("SELECT count(*) FROM of_others") == [(0,)]


async def test_without_the_keys_it_is_refused_before_anything_is_written(
    clinic: Clinic, backups: Backups, fresh: Fresh
) -> None:
    manifest = await backups.run()
    with pytest.raises(WrongKeys, match=r"device-signing\.pem"):
        await fresh.restore(backups, manifest)
    keys = fresh.target.data_dir / "keys"
    assert (keys.exists(), await fresh.target.place.client.all_dbs()) == (False, [])
    shutil.copytree(backups.data_dir / "keys", keys)
    (keys / "data-encryption.key").unlink()
    shutil.copyfile(backups.directory / "manifest.json", keys / "data-encryption.key")
    (keys / "data-encryption.key").chmod(0o600)
    with pytest.raises(ValueError, match="DATA_ENCRYPTION_KEYS"):
        await fresh.restore(backups, manifest)
    (keys / "data-encryption.key").unlink()
    (restored,) = await fresh.restore(backups, manifest, new_keys=True)
    assert restored.is_whole


async def test_a_database_that_was_recreated_is_taken_whole_and_one_that_is_gone_is_not_restored(
    clinic: Clinic, backups: Backups, fresh: Fresh
) -> None:
    gateway = clinic.office.gateway
    await gateway.open_site("cusco")
    await backups.run(postgres=False, keys=True)
    (unchanged,) = [
        file
        for file in (await backups.run(postgres=False, incremental=True)).runs[-1].databases
        if file.database == "site-lima"
    ]
    assert (unchanged.base, unchanged.documents) == (False, 0)
    for site in ("lima", "cusco"):
        answer = await gateway.call("DELETE", f"/site-{site}", token=gateway.service)
        assert answer.status == 200
    await gateway.open_site("lima")
    await clinic.push(session("p-1"))
    manifest = await backups.run(postgres=False, incremental=True, keys=True)
    (file,) = manifest.runs[-1].databases
    assert (file.base, file.documents, manifest.runs[-1].gone) == (True, 1, ["site-cusco"])
    assert "recreated or put back" in file.why
    (restored,) = await fresh.restore(backups, manifest)
    assert (restored.database, restored.stored, restored.comparison.documents) == ("site-lima", 1, 1)


async def test_a_set_is_added_to_only_where_that_was_asked_for_and_a_run_cut_short_is_none(
    clinic: Clinic, backups: Backups
) -> None:
    backups.directory.mkdir()
    (backups.directory / "0001").mkdir()
    (backups.directory / "0001" / "site-lima.jsonl.gz").write_bytes(b"half")
    manifest = await backups.run(postgres=False)
    (run,) = read_manifest(backups.directory).runs
    assert run.databases[0].written == manifest.runs[0].databases[0].written
    with pytest.raises(UnusableSet, match="--incremental"):
        await backups.run(postgres=False)
    file = backups.directory / "0001" / "site-lima.jsonl.gz"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DumpDamaged, match="site-lima"):
        plan_restore(backups.directory, manifest, ())


async def test_the_commands_on_the_settings_of_the_environment(
    clinic: Clinic, backups: Backups, fresh: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Postgres of one's own with two roles; the store is this machine's, its service runs or is stopped."""
    settings = clinic.office.gateway.app[SETTINGS]
    set_directory = str(backups.directory)
    for name, value in (
        ("DATABASE_URL", settings.database_url),
        ("REDIS_URL", settings.redis_url),
        ("DATA_DIR", str(settings.data_dir)),
        ("PORT", str(settings.port)),
    ):
        monkeypatch.setenv(name, value)

    async def run(*arguments: str, code: int = 0) -> str:
        outcome = await asyncio.to_thread(CliRunner().invoke, main, arguments)
        assert outcome.exit_code == code, outcome.output
        return outcome.output

    assert "no database site-cusco" in await run("backup", set_directory, "--site", "cusco", code=1)
    told = await run("backup", set_directory, "--site", "lima")
    assert "The set holds no keys" in told
    assert "base: 8 documents, 10 leaves" in await run("backup", set_directory, "--list")
    other = tmp_path / "other"
    app_url = urlsplit(settings.database_url)._replace(path=urlsplit(fresh.target.owner_url).path)
    monkeypatch.setenv("DATABASE_URL", urlunsplit(app_url))
    monkeypatch.setenv("OWNER_DATABASE_URL", fresh.target.owner_url)
    monkeypatch.setenv("DATA_DIR", str(other))
    assert "10 leaves in 1 files" in await run("restore", set_directory, "--dry-run")
    assert not other.exists()
    assert "device-signing.pem" in await run("restore", set_directory, "--yes", code=1)
    shutil.copytree(settings.data_dir / "keys", other / "keys")
    told = await run("restore", set_directory, "--yes")
    assert "8 documents with 10 leaves; 10 written, 0 there already, 0 left out as erased" in told
    with psycopg.connect(urlunsplit(app_url)) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() != (0,)
    assert "not empty" in await run("restore", set_directory, "--yes", code=1)


def test_a_set_that_names_files_outside_of_itself_is_refused(tmp_path: Path) -> None:
    counts = Written(1, "0" * 64, Counts())
    for name in ("../x", "/etc/passwd", "..", "", "a\0b"):
        file = DatabaseFile(
            database="site-lima", file=name, base=True, since="0", until="1", instance="0", documents=0,
            written=counts,
        )  # fmt: skip
        run = Run(number=1, started="", finished="", databases=[file])
        write_manifest(tmp_path, Manifest(format=1, id="x", runs=[run]))
        with pytest.raises(UnusableSet, match="outside"):
            read_manifest(tmp_path)


def a_run(number: int, *, databases: int = 1, security: bytes = b"{}", version: str = "180001") -> Run:
    """A run as a manifest could tell it."""
    file = DatabaseFile(
        database="site-lima", file="f", base=True, since="0", until="1", instance="0", documents=0,
        written=Written(1, "0" * 64, Counts()), security=msgspec.Raw(security),
    )  # fmt: skip
    dump = PostgresDump(File("postgres.dump", 1, "0" * 64), version, "pg_dump", "0015")
    return Run(number=number, started="", finished="", databases=databases * [file], postgres=dump)


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        ([a_run(1), a_run(1)], "run 1 after run 1"),
        ([a_run(2), a_run(1)], "run 1 after run 2"),
        ([a_run(-1)], "run -1 after run 0"),
        ([a_run(0)], "run 0 after run 0"),
        ([a_run(1, databases=2)], "site-lima twice"),
        ([a_run(1, version="18.1 (Debian)")], "'18.1 \\(Debian\\)', which is none"),
        ([a_run(1, version="180001\n")], "which is none"),
        ([a_run(1, security=b"[]")], "_security of site-lima that is none"),
        ([a_run(1, security=b'{"members": {"names": "all"}}')], "_security of site-lima that is none"),
    ],
)
def test_a_manifest_that_a_restore_would_stumble_over_is_refused_when_it_is_read(
    tmp_path: Path, runs: list[Run], why: str
) -> None:
    write_manifest(tmp_path, Manifest(format=1, id="x", runs=runs))
    with pytest.raises(UnusableSet, match=why):
        read_manifest(tmp_path)


def test_a_manifest_that_is_nested_too_deeply_is_refused_in_a_sentence(tmp_path: Path) -> None:
    nested = "[" * 100_000 + "]" * 100_000
    (tmp_path / "manifest.json").write_text(f'{{"format": 1, "id": "x", "runs": {nested}}}')
    with pytest.raises(UnusableSet, match="cannot be read"):
        read_manifest(tmp_path)


def test_runs_may_have_gaps(tmp_path: Path) -> None:
    written = Manifest(format=1, id="x", runs=[a_run(1), a_run(3)])
    write_manifest(tmp_path, written)
    assert [run.number for run in read_manifest(tmp_path).runs] == [1, 3]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "cannot be read"),
        ('{"format": 2}', "format 2"),
        ('{"format": 1, "id": "x", "runs": []}', "no run"),
        (None, "no backup set"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UnusableSet, match=why):
        read_manifest(tmp_path)


async def test_a_program_that_was_killed_is_told_with_the_signal(tmp_path: Path) -> None:
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\nkill -XFSZ $$\n")
    program.chmod(0o700)
    with pytest.raises(PostgresFailed, match="pg_dump was ended by a signal: SIGXFSZ"):
        await find_program("pg_dump", program, 180001)


async def test_a_program_that_is_older_than_the_server_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "pg_dump"
    old.write_text('#!/bin/sh\necho "pg_dump (PostgreSQL) 12.22"\n')
    old.chmod(0o755)
    with pytest.raises(PostgresFailed, match="version 12: an older pg_dump is refused"):
        await find_program("pg_dump", old, 130004)
    assert await find_program("pg_dump", old, 120004) == (old, "pg_dump (PostgreSQL) 12.22")


async def test_a_password_is_on_no_command_line(clinic: Clinic, backups: Backups, tmp_path: Path) -> None:
    spy = tmp_path / "pg_dump"
    spy.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.1" && exit\n'
        f'echo "$@" > {tmp_path}/arguments\necho "$PGPASSWORD" > {tmp_path}/password\nexit 1\n'
    )
    spy.chmod(0o755)
    backups.source = backups.source._replace(pg_dump=spy)
    with pytest.raises(PostgresFailed, match="pg_dump failed"):
        await backups.run()
    password = (tmp_path / "password").read_text().strip()
    assert password
    assert password in str(backups.source.postgres_url)
    assert password not in (tmp_path / "arguments").read_text()
    assert not (backups.directory / "manifest.json").exists()
    silent("", None, None, 0)
