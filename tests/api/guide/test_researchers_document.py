"""What docs/RESEARCHERS.md shows is run as it stands: SQL by a researcher's login, Python with the service.

R cannot run here: its blocks are read as far as that goes (tokens, brackets), and the SQL in them is run.
"""

import asyncio
import contextlib
import io
import re
from pathlib import Path

import numpy as np
import psycopg
import pytest
from aiohttp import web
from pygments.lexers import get_lexer_by_name
from pygments.token import Error, Punctuation
from pytest_aiohttp.plugin import AiohttpServer

from tests.api.calls import Api
from tests.api.guide.examples import Example, examples
from tests.api.guide.field_study import FieldStudy
from tests.gateway.processes import invoke

DOCUMENT = Path(__file__).parents[3] / "docs" / "RESEARCHERS.md"
EXAMPLES = examples(DOCUMENT)
_CLOSING = {")": "(", "]": "[", "}": "{"}
_RAW_STRING = re.compile(r'r"\((.*?)\)"', re.DOTALL)


def of(language: str) -> list[Example]:
    return [each for each in EXAMPLES if each.language == language]


def test_there_are_examples_in_every_language() -> None:
    counted = {language: len(of(language)) for language in ("sql", "python", "r")}
    assert min(counted.values()) >= 3, counted
    assert {each.language for each in EXAMPLES} <= {"sql", "python", "r"}


def test_sql_finds_rows_as_a_researcher_and_on_the_tables_as_the_service(field_study: FieldStudy) -> None:
    with (
        psycopg.connect(field_study.researcher_url, autocommit=True) as researcher,
        psycopg.connect(field_study.database_url, autocommit=True) as service,
    ):
        for each in of("sql"):
            login = service if "tables" in each.marks else researcher
            for statement in filter(str.strip, each.code.split(";\n")):
                found = _rows(login, statement, each)
                assert found or each.marks, f"line {each.line} finds nothing"
        for each in of("r"):
            for statement in _RAW_STRING.findall(each.code):
                assert _rows(researcher, statement, each), f"line {each.line} finds nothing"


async def test_the_sql_that_says_how_measurements_are_chosen_finds_those_of_the_statistics(
    api: Api, field_study: FieldStudy
) -> None:
    (example,) = [each for each in of("sql") if "WITH measured" in each.code]
    with psycopg.connect(field_study.researcher_url) as researcher:
        rows = researcher.execute(example.code.encode()).fetchall()
    pairs = sorted([first, second] for _, first, second in rows if None not in (first, second))
    answer = await api.get("/api/research/statistics/stroop_stroop_rt/retest", study="SRO", pairs="true")
    assert answer.body["pairs"] == pairs
    r = float(np.corrcoef(np.array(pairs).T)[0, 1])
    assert answer.body["pearson"]["value"] == pytest.approx(r)
    assert answer.body["sample"]["left_out"]["flagged"] == 1


def _rows(login: psycopg.Connection, statement: str, where: Example) -> list[tuple[object, ...]]:
    try:
        return login.execute(statement.encode()).fetchall()
    except psycopg.Error as error:
        pytest.fail(f"line {where.line}: {error}")


@pytest.mark.usefixtures("environment")
async def test_python_runs_and_prints_something(
    app: web.Application,
    aiohttp_server: AiohttpServer,
    field_study: FieldStudy,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    server = await aiohttp_server(app)
    monkeypatch.setenv("METRICIS_URL", str(server.make_url("")).rstrip("/"))
    monkeypatch.chdir(tmp_path)
    await asyncio.to_thread(_export, field_study, tmp_path)
    for each in of("python"):
        printed = await asyncio.to_thread(_printed, each)
        assert printed.strip(), f"line {each.line} prints nothing"
        assert "Empty" not in printed, f"line {each.line}"


def _export(study: FieldStudy, folder: Path) -> None:
    """What the document has just shown how to get."""
    environment = {
        "DATABASE_URL": study.database_url,
        "REDIS_URL": "redis://unused",
        "DATA_DIR": str(folder),
    }
    ended = invoke("export", "SRO", "--dataset", "sessions_wide", "--out", "SRO.zip", env=environment)
    assert ended.code == 0, ended.err


def _printed(example: Example) -> str:
    code = compile("\n" * (example.line - 1) + example.code, str(DOCUMENT), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {"__name__": "example"})  # noqa: S102 (that is what is tested)
    return printed.getvalue()


@pytest.mark.parametrize("example", of("r"), ids=lambda each: f"line {each.line}")
def test_r_is_read_to_its_end_though_it_cannot_run_here(example: Example) -> None:
    is_open: list[str] = []
    # A lexer of an older R than that of raw strings: those are plain ones to it.
    code = _RAW_STRING.sub('"sql"', example.code)
    for kind, token in get_lexer_by_name("r").get_tokens(code):
        assert kind not in Error, f"line {example.line}: {token!r}"
        for character in token if kind in Punctuation else "":
            if character in _CLOSING.values():
                is_open.append(character)
            elif character in _CLOSING:
                assert is_open, f"line {example.line}: {character} closes nothing"
                assert is_open.pop() == _CLOSING[character], f"line {example.line}: {character}"
    assert is_open == [], f"line {example.line}: not closed"
    assert '"' not in re.sub(r'"(?:[^"\\]|\\.)*"', "", code), f"line {example.line}: a text is not closed"
