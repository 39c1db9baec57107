"""One file made by a job, whatever happens in the middle: makers here write a line, and let things happen."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from reporting.engine import sync_engine
from reporting.research import files
from reporting.research.data_state import data_state
from reporting.research.files import FileRow, NewFile, file_row
from sync_server.research_files import folder
from sync_server.research_files.making import CannotMake, Made, Maker, Task
from sync_server.research_files.running import AgainLater, Busy, NothingToMake, make_file
from sync_server.research_files.sweeping import Swept, sweep

KEEP = timedelta(days=7)
Happens = Callable[[Task], Any]


def nothing(_: Task) -> None:
    return


class Desk:
    """The database, the folder, and the file that is asked for."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.made = 0

    def execute(self, statement: Any) -> list[Any]:
        with self.engine.begin() as connection:
            result = connection.execute(text(statement) if isinstance(statement, str) else statement)
            return list(result) if result.returns_rows else []

    def ask(self, **request: Any) -> int:
        new = NewFile(
            kind="line",
            study="SRO",
            sites=None,
            identified=False,
            request=request,
            person=1,
            asked_by="ada@example.org",
        )
        return int(file_row(self.execute(files.ask_for(new))[0]).id)

    def row(self, number: int) -> FileRow:
        return file_row(self.execute(files.select_file(number))[0])

    def make(self, number: int, happens: Happens = nothing, *, last: bool = False) -> FileRow:
        def make(task: Task) -> Made:
            self.made += 1
            happens(task)
            path = task.folder / "line.txt"
            path.write_text("a line\n")
            task.tell(1, 1, "lines")
            return Made(path, "text/plain", 1)

        maker = Maker(make, lambda _: {"layout": 1}, lambda _: "line")
        make_file(self.engine, self.folder, number, makers=lambda _: maker, keep=KEEP, last=last)
        return self.row(number)

    def finished(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.txt"))

    def leftovers(self) -> list[Path]:
        return list((self.folder / ".making").glob("*"))


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    engine = sync_engine(database_url)
    made = Desk(engine, tmp_path / "files")
    made.execute("INSERT INTO studies (code) VALUES ('SRO'), ('other')")
    yield made
    engine.dispose()


def test_what_happens_to_a_file_while_it_is_made_decides_what_becomes_of_it(desk: Desk) -> None:
    def failing(error: Exception) -> Happens:
        def fail(_: Task) -> None:
            raise error

        return fail

    # A person removes it; what was written is thrown away.
    number = desk.ask(a=1)
    with pytest.raises(NothingToMake):
        desk.make(number, lambda _: desk.execute(files.remove(number, "not wanted")))
    assert desk.row(number).state == "removed"
    # A participant is erased: nothing made of an older snapshot stays, whatever it holds.
    number, other = desk.ask(a=2), desk.ask(participant="p1")
    by_pseudonym = desk.ask(where=["from=2016-07-01", "participant.in=P-1,P-2"])
    by_task = desk.ask(where=["task=participant=p1"])
    with pytest.raises(NothingToMake):
        desk.make(number, lambda _: desk.execute(files.remove_of_study("SRO", "erased")))
    desk.execute(files.forget_requests("SRO", "p1", "erased"))
    for each in (other, by_pseudonym):
        assert (desk.row(each).state, desk.row(each).request) == ("removed", {})
    assert desk.row(by_task).state == "queued"
    with pytest.raises(NothingToMake):
        desk.make(other)
    # It cannot be made; it may be made later; no attempt is left.
    number = desk.ask(a=3)
    with pytest.raises(AgainLater):
        desk.make(number, failing(RuntimeError("p1 said")))
    assert (desk.row(number).state, desk.row(number).error) == (
        "queued",
        "It came to nothing (RuntimeError).",
    )
    # A defect of the maker too, whose words may be a code.
    with pytest.raises(AgainLater):
        desk.make(number, failing(KeyError("p1")))
    assert desk.row(number).error == "It came to nothing (KeyError)."
    with pytest.raises(AgainLater):
        desk.make(number, failing(RuntimeError("p1 said")), last=True)
    assert desk.row(number).state == "failed"
    with pytest.raises(CannotMake, match="too long"):
        desk.make(number, failing(CannotMake("Row 3 is too long.")))
    assert (desk.finished(), desk.leftovers()) == ([], [])
    # A person has it retried.
    assert desk.make(number).state == "done"
    with pytest.raises(NothingToMake):
        desk.make(number)
    assert len(desk.finished()) == 1


def test_what_is_not_wanted_any_more_when_it_is_in_its_place_is_taken_away_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = desk.ask()
    real = folder.put

    def put(made: Path, place: Path) -> None:
        real(made, place)
        desk.execute(files.remove_of_study("SRO", "erased"))

    monkeypatch.setattr("sync_server.research_files.running.put", put)
    with pytest.raises(NothingToMake):
        desk.make(number)
    assert (desk.row(number).state, desk.finished(), desk.leftovers()) == ("removed", [], [])


def test_a_worker_that_was_paused_until_another_took_over_changes_nothing(desk: Desk) -> None:
    number = desk.ask()

    def overtaken(_: Task) -> None:
        # The other finds the content's lock held, and leaves the file for later.
        with pytest.raises(Busy):
            desk.make(number)

    with pytest.raises(NothingToMake):
        desk.make(number, overtaken)
    assert (desk.row(number).state, desk.row(number).attempt) == ("queued", 2)
    assert (desk.finished(), desk.leftovers()) == ([], [])
    assert desk.make(number).state == "done"


def test_two_that_ask_for_the_same_get_one_file_that_is_made_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = desk.ask(), desk.ask(), desk.ask(other=True)

    def meanwhile(_: Task) -> None:
        with pytest.raises(Busy):
            desk.make(second)

    assert desk.make(first, meanwhile).state == "done"
    made = desk.made
    assert desk.make(second).sha256 == desk.row(first).sha256
    assert desk.made == made
    assert desk.make(third).content_key != desk.row(first).content_key
    # Another release may read or de-identify otherwise.
    with monkeypatch.context() as patched:
        patched.setattr("sync_server.research_files.running.version", lambda _: "another")
        released = desk.ask()
        assert desk.make(released).content_key != desk.row(first).content_key
    # Half of it is there, as after a disk's failure: it is made anew.
    place = desk.folder / f"{desk.row(first).content_key}.txt"
    place.write_text("a")
    fourth = desk.ask()
    assert desk.make(fourth).state == "done"
    assert place.read_text() == "a line\n"


def test_a_sweep_takes_what_no_row_needs_and_leaves_what_is_being_made(desk: Desk) -> None:
    kept, gone, lost = (desk.ask(n=n) for n in range(3))
    for number in (kept, gone, lost):
        desk.make(number)
    desk.execute(files.remove(gone, "not wanted"))
    (desk.folder / f"{desk.row(lost).content_key}.txt").unlink()
    (desk.folder / "README").write_text("somebody's")
    killed = desk.folder / ".making" / f"{gone}-1"
    killed.mkdir(parents=True)
    made = desk.ask(n=4)

    def swept(task: Task) -> None:
        assert sweep(desk.engine, desk.folder) == Swept(1, 1, 1)
        assert task.folder.is_dir()

    desk.make(made, swept)
    assert desk.row(lost).state == "removed"
    keys = sorted(f"{desk.row(number).content_key}.txt" for number in (kept, made))
    assert desk.finished() == keys
    assert sweep(desk.engine, desk.folder) == Swept(0, 0, 0)
    assert (desk.folder / "README").exists()


def test_a_file_that_is_made_anew_while_a_sweep_looks_is_not_told_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = desk.ask()
    desk.make(number)
    monkeypatch.setattr("sync_server.research_files.sweeping.keyed_files", lambda _: {})
    assert sweep(desk.engine, desk.folder) == Swept(0, 0, 0)
    assert desk.row(number).state == "done"


CHANGES = (
    "UPDATE sessions SET rev = '2-b'",
    "UPDATE sessions SET projected_at = now() + interval '1 minute'",
    "UPDATE scores SET scoring_version = 2",
    "INSERT INTO quality_flags (site, session_id, code, detail) VALUES ('lima', 's1', 'late', '{}')",
    "INSERT INTO conflicts (site, session_id, path, winner_rev, other_rev)"
    " VALUES ('lima', 's1', '$', '1-a', '1-b')",
    "INSERT INTO losing_revisions (site, doc_id, rev, winner_rev)"
    " VALUES ('lima', 'session:s1', '1-b', '1-a')",
    "UPDATE participants SET status = 'withdrawn'",
    "INSERT INTO visits (study, participant, code, site) VALUES ('SRO', 'p1', 'v', 'lima')",
    "UPDATE research_policies SET dates = 'actual'",
)
ELSEWHERE = (
    "UPDATE sessions SET rev = '2-b' WHERE false",
    "INSERT INTO participants (study, code) VALUES ('other', 'p1')",
    "INSERT INTO sessions (site, id, study, participant, status, started_at, rev)"
    " VALUES ('lima', 's2', 'other', 'p1', 'completed', '2026-01-01', '1-a')",
    # Made anew as it was, elsewhere on the disk.
    "WITH gone AS (DELETE FROM scores RETURNING *) INSERT INTO scores SELECT * FROM gone",
)


def test_whatever_changes_what_a_study_s_files_hold_is_another_state(desk: Desk) -> None:
    for statement in (
        "INSERT INTO sites (code) VALUES ('lima')",
        "INSERT INTO participants (study, code, site) VALUES ('SRO', 'p1', 'lima')",
        "INSERT INTO research_policies (study, secret) VALUES ('SRO', sha256('x'))"
        " ON CONFLICT (study) DO UPDATE SET secret = excluded.secret",
        "INSERT INTO sessions (site, id, study, participant, status, started_at, rev)"
        " VALUES ('lima', 's1', 'SRO', 'p1', 'completed', '2026-01-01', '1-a')",
        "INSERT INTO scores VALUES ('lima', 's1', 'simon', 1, 'effect', 30, 1)",
    ):
        desk.execute(statement)

    def state(connection: Connection) -> str:
        return str(data_state(connection, "SRO", ("lima",)))

    with desk.engine.connect() as connection:
        seen = [state(connection)]
        for statement in CHANGES:
            connection.execute(text(statement))
            seen.append(state(connection))
        assert len(set(seen)) == len(CHANGES) + 1
        for statement in ELSEWHERE:
            connection.execute(text(statement))
            assert state(connection) == seen[-1], statement
        connection.rollback()
