"""`check_directory` finds what was broken, and nothing in what was not."""

import contextlib
import gzip
import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from replication.edits import Attachment
from replication.store.check import MOST_PROBLEMS, FileReport, check_directory
from replication.store.registry import DirectoryInUse, Registry
from replication.wire.attachments import digest_of
from sync_server.cli import main
from tests.replication.stored import push, replicated

FILE = Attachment("text/plain", digest_of(b"hi"), 2, data=b"hi")


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """A closed store with one database: conflicts, a deletion, an attachment."""
    registry = Registry(tmp_path / "store")
    database = await registry.create("site")
    await push(
        database,
        replicated("a", "2-b", "1-a", x="é", attachments={"f": FILE}),
        replicated("a", "2-c", "1-a"),
        replicated("b", "1-a", deleted=True),
        replicated("c", "1-a"),
        replicated("c", "2-b", "1-a"),
    )
    await registry.close()
    return tmp_path / "store"


def file_of(directory: Path) -> Path:
    return directory / f"{b'site'.hex()}.sqlite"


def broken(directory: Path, statement: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(file_of(directory))) as connection:
        connection.execute(statement)
        connection.commit()
    (report,) = check_directory(directory)
    return report.problems


def test_a_sound_store_has_no_problems(directory: Path) -> None:
    before = sorted(directory.iterdir())
    assert check_directory(directory) == [
        FileReport(file_of(directory).name, "site", documents=3, leaves=4, attachments=1)
    ]
    assert sorted(directory.iterdir()) == before


async def test_a_packed_attachment_is_checked_as_it_is_kept(directory: Path) -> None:
    packed = gzip.compress(b"packed " * 100)
    file = Attachment("text/plain", digest_of(packed), 700, data=packed, encoding="gzip")
    registry = Registry(directory)
    await push(await registry.open("site"), replicated("d", "1-a", attachments={"f": file}))
    await registry.close()
    assert check_directory(directory)[0].problems == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM bodies WHERE body = 1", "content of 2-b is missing"),
        ("UPDATE bodies SET json = '{' WHERE body = 1", "is not JSON"),
        ("DELETE FROM attachments", "attachment 'f' of 2-b is missing"),
        ("UPDATE attachments SET data = x'6869ff'", "has 3 bytes instead of 2"),
        ("UPDATE attachments SET data = x'6868'", "another digest"),
        ("UPDATE docs SET tree = x'c1' WHERE id = 'a'", "cannot be decoded"),
        ("UPDATE docs SET tree = x'90' WHERE id = 'a'", "no revision is a leaf"),
        ("UPDATE docs SET rev = '2-b' WHERE id = 'a'", "does not show the winner 2-c"),
        ("UPDATE docs SET seq = 99 WHERE id = 'a'", "update_seq is 5"),
        ("UPDATE meta SET value = 7 WHERE name = 'doc_count'", "doc_count is 7, and there are 2"),
        ("UPDATE meta SET value = 7 WHERE name = 'data_size'", "data_size is 7"),
        ("DELETE FROM meta WHERE name = 'update_seq'", "meta: update_seq is None"),
        ("DELETE FROM meta WHERE name = 'uuid'", "meta: uuid is None"),
        ("UPDATE meta SET value = 'x' WHERE name = 'purge_seq'", "meta: purge_seq is 'x'"),
        ("UPDATE docs SET tree = '[]' WHERE id = 'a'", "cannot be understood"),
        ("UPDATE bodies SET attachments = x'ff' WHERE body = 1", "is not JSON"),
        ("PRAGMA user_version = 99", "schema 99 is unknown"),
    ],
)
def test_what_is_broken_is_told(directory: Path, statement: str, told: str) -> None:
    problems = broken(directory, statement)
    assert any(told in problem for problem in problems), problems


async def test_what_nothing_refers_to_is_counted_and_no_problem(directory: Path) -> None:
    registry = Registry(directory)
    database = await registry.open("site")
    await database.transact(lambda c: c.execute("UPDATE bodies SET attachments = NULL"))
    await registry.close()
    (report,) = check_directory(directory)
    assert (report.problems, report.unused) == ([], 1)


def test_a_file_of_garbage_is_told_and_the_others_are_checked(directory: Path) -> None:
    (directory / f"{b'rubbish'.hex()}.sqlite").write_bytes(b"no database" * 1000)
    reports = {report.database: report for report in check_directory(directory)}
    assert reports["site"].problems == []
    assert any("SQLite cannot read it" in problem for problem in reports["rubbish"].problems)


def test_a_page_of_zeros_is_found(directory: Path) -> None:
    with file_of(directory).open("r+b") as file:
        file.seek(3 * 8192)
        file.write(bytes(8192))
    (report,) = check_directory(directory)
    assert report.problems


async def test_a_broken_database_ends_the_list_somewhere(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "store")
    database = await registry.create("site")
    await push(database, *(replicated(f"d{number}", "1-a") for number in range(2 * MOST_PROBLEMS)))
    await registry.close()
    problems = broken(tmp_path / "store", "DELETE FROM bodies")
    assert (len(problems), problems[-1]) == (MOST_PROBLEMS + 1, "… and maybe more")


async def test_a_store_that_is_served_is_left_alone(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "store")
    with pytest.raises(DirectoryInUse):
        check_directory(tmp_path / "store")
    outcome = CliRunner().invoke(main, ["store", "check", "--data-dir", str(tmp_path)])
    assert outcome.exit_code == 1
    assert "served by another process" in outcome.output
    await registry.close()


def test_the_command_prints_a_table_or_json(directory: Path) -> None:
    arguments = ["store", "check", "--data-dir", str(directory.parent)]
    sound = CliRunner().invoke(main, arguments)
    assert sound.exit_code == 0
    assert sound.output.splitlines()[1].split() == ["site", "3", "4", "1", "0", "none"]
    broken(directory, "DELETE FROM attachments")
    wrong = CliRunner().invoke(main, [*arguments, "--json"])
    told = json.loads(wrong.output)
    assert (wrong.exit_code, told["sound"]) == (3, False)
    assert any("is missing" in problem for problem in told["databases"][0]["problems"])
    assert "attachment 'f' of 2-b is missing" in CliRunner().invoke(main, arguments).output


def test_the_command_says_that_there_is_no_store(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(main, ["store", "check", "--data-dir", str(tmp_path)])
    assert outcome.exit_code == 1
    assert "there is no store here" in outcome.output
