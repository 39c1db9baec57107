"""`sync-server redcap dictionary`: what it writes, and how it ends."""

import json
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from reporting.redcap.checking import problems
from reporting.redcap.known import Known
from reporting.redcap.mapping_text import read_mapping
from tests.gateway.processes import Ended, invoke
from tests.redcap.test_dictionary_file import read_as_redcap_does

TASKS = [{"task": "stroop"}, {"task": "simon", "repetitions": 2}, {"task": "stroop"}]


@pytest.fixture
def batteries(owner_database_url: str) -> None:
    """Two versions of one battery, one that is known by its id, one with an id that is no name of a file."""
    rows = [
        ("self-regulation", 1, ["stroop"], None),
        ("self-regulation", 2, ["stroop", "simon"], Jsonb({"tasks": TASKS})),
        ("heard-of", 1, None, None),
        ("../up", 1, ["stroop"], None),
    ]
    with psycopg.connect(owner_database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO batteries (id, version, tasks, definition) VALUES (%s, %s, %s, %s)", rows
        )


def test_the_two_files_fit_each_other_and_what_is_there_is_never_written_over(
    batteries: None, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": str(tmp_path)}

    def make(*options: str) -> Ended:
        return invoke("redcap", "dictionary", "--out", str(tmp_path), *options, env=env)

    made = make("--battery", "self-regulation", "--json")
    assert made.code == 0, made.err
    told = json.loads(made.out)
    assert (told["version"], told["form"]) == (2, "cog_session")
    text = Path(told["dictionary"]).read_bytes().decode()
    project = read_as_redcap_does(text, "cog_session")
    assert len(project.fields) == told["fields"] + 1
    mapping = read_mapping(Path(told["mapping"]).read_bytes())
    known = Known(batteries={"self-regulation": frozenset({"stroop", "simon"})})
    assert problems(mapping, project, known=known) == []
    assert "scores.simon[2].acc" in {rule.source for rule in mapping.instruments[0].fields.values()}

    Path(told["dictionary"]).unlink()
    Path(told["mapping"]).write_text("edited")
    make("--battery", "self-regulation").failed_with("is there already and may have been edited")
    assert not Path(told["dictionary"]).exists()
    assert Path(told["mapping"]).read_text() == "edited"

    older = make("--battery", "self-regulation", "--version", "1", "--form", "tests")
    assert older.code == 0, older.err
    assert "self-regulation-1-dictionary.csv" in older.out
    assert make("--battery", "../up").code == 0
    assert (tmp_path / "-up-1-mapping.yaml").exists()

    make("--battery", "self_regulation").failed_with("Did you mean self-regulation?")
    make("--battery", "nothing-like-it").failed_with("GET /api/batteries lists them.")
    make("--battery", "self-regulation", "--version", "7").failed_with("there is 1, 2.")
    make("--battery", "heard-of").failed_with("it is not known here of which tasks")
    for form in ("Cog", "redcap_x", "enrolment", "1st"):
        make("--battery", "self-regulation", "--form", form).failed_with("cannot be the form's name")


def test_a_postgres_that_is_away_ends_with_a_sentence(tmp_path: Path) -> None:
    env = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATA_DIR": str(tmp_path),
    }
    invoke("redcap", "dictionary", "--battery", "x", env=env).failed_with("Postgres cannot be reached")
