"""Questions of datasets: every page of every filter together is what the whole relation holds of it."""

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, text

from reporting.research import pages as pages_of
from reporting.research.aggregates import read_summary, summarise
from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import DATASETS
from reporting.research.exporting import csv_rows
from reporting.research.filters import Filter, Operator, period, read_filters
from reporting.research.keyset import Cursor, Position, decode, encode
from reporting.research.pages import read_page
from reporting.research.query import Question, prepare
from reporting.research.relations import OF_SESSIONS, sort_key
from reporting.research.variables import Type
from reporting.steps import perform
from tests.research.projected import EVERYWHERE, Row, rows

Asked = tuple[str, dict[str, str], str | None, str | None]

COMPARED: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQ: lambda value, wanted: value == wanted[0],
    Operator.NE: lambda value, wanted: value != wanted[0],
    Operator.IN: lambda value, wanted: value in wanted,
    Operator.GTE: lambda value, wanted: value >= wanted[0],
    Operator.GT: lambda value, wanted: value > wanted[0],
    Operator.LTE: lambda value, wanted: value <= wanted[0],
    Operator.LT: lambda value, wanted: value < wanted[0],
}


def lets_through(row: Row, asked: Filter) -> bool:
    """A second reading of what conditions mean."""
    name = asked.variable.name
    value = row["key_shown_at" if name == "started_at" else name]
    if asked.operator is Operator.NULL:
        return (value is None) is asked.values[0]
    return value is not None and COMPARED[asked.operator](value, asked.values)


def pages(service: Connection, question: Question, limit: int) -> Iterator[list[tuple[Any, ...]]]:
    """Page by page, the position handed on as cursors hand it on."""
    prepared = perform(service, prepare(question))
    columns = list(question.dataset.by_name)
    position: Position | None = None
    while True:
        page = perform(service, read_page(prepared, columns, limit, position))
        assert len(page.rows) <= limit
        yield page.rows
        if page.next is None:
            return
        position = decode(encode(Cursor(question.fingerprint, page.next))).position


def shown(name: str, row: Row) -> tuple[Any, ...]:
    """As pages have it: JSON as text, read again."""
    return tuple(row[variable.name] for variable in DATASETS[name].variables)


def read_json(name: str, cells: tuple[Any, ...]) -> tuple[Any, ...]:
    kinds = [variable.type for variable in DATASETS[name].variables]
    return tuple(
        msgspec.json.decode(cell) if kind is Type.JSON and cell is not None else cell
        for kind, cell in zip(kinds, cells, strict=True)
    )


def questions(audience: Audience, first: dict[str, Row]) -> Iterator[Asked]:
    """(dataset, conditions, from, to). `first`: a row of each, as it is shown."""
    for name, row in first.items():
        yield name, {}, None, None
        yield name, {"participant": row["participant"]}, None, None
        if name in OF_SESSIONS:
            yield name, {"session_id": row["session_id"], "site": row["site"]}, None, None
            yield name, {"participant.in": f"{row['participant']},nobody", "visit.null": "false"}, None, None
            yield name, {"session_id.in": "none,of,these"}, None, None
            at = row["key_shown_at"].isoformat()
            yield name, {}, at, at
            yield name, {}, "1990-01-01", at
            yield name, {}, at, None
    wide = first["sessions_wide"]
    yield "sessions_wide", {"stroop_acc.gte": "0.9", "flags_serious": "0"}, None, None
    yield "sessions_wide", {"started_day.gt": str(wide["started_day"]), "ended_at.null": "false"}, None, None
    yield "trials", {"task.in": "stroop,simon", "rt_ms.gte": "700", "correct": "true"}, None, None
    yield "trials", {"task.ne": "stroop", "condition.null": "true", "run": "1"}, None, None
    yield "trials", {"rt_ms.gte": "100000000"}, None, None
    yield "scores_long", {"score": "acc", "value.lt": "0.95", "site": "nairobi"}, None, None
    yield "quality", {"level": "serious"}, None, None
    yield "quality", {"task.null": "true"}, None, None
    yield "provenance", {"device_id.null": "false"}, None, None
    yield "participants", {"sessions.gte": "2"}, None, None
    yield "visits", {"session_id": first["visits"]["session_id"]}, None, None
    if audience is Audience.IDENTIFIED:
        yield "visits", {"in_window": "true"}, "2016-07-01", "2016-07-31"
        yield "participants", {"redcap_id.null": "false"}, "2016-07-01", None


def test_pages_of_a_question_are_together_what_the_relation_holds_of_it(
    service: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One session, seen at two sites under the same id.
    service.execute(
        text(
            "UPDATE sessions SET id = 'same' WHERE (site, id) IN (SELECT site, min(id)"
            " FROM sessions GROUP BY site)"
        )
    )
    for table in ("scores", "trial_rows", "trial_extras", "quality_flags"):
        service.execute(
            text(
                f"UPDATE {table} SET session_id = 'same' WHERE (site, session_id) IN"  # noqa: S608
                f" (SELECT site, min(session_id) FROM {table} GROUP BY site)"
            )
        )
    monkeypatch.setattr(pages_of, "MOST_SESSIONS", dict.fromkeys(OF_SESSIONS, 3))
    monkeypatch.setattr(pages_of, "_FEWEST_AT_ONCE", 2)
    found_something: set[str] = set()
    for audience in (Audience.IDENTIFIED, Audience.DEIDENTIFIED):
        every = {name: rows(service, name, audience) for name in DATASETS}
        first = {name: found[len(found) // 2] for name, found in every.items()}
        for name, given, since, until in questions(audience, first):
            filters = (*read_filters(DATASETS[name], given.items()), *period(DATASETS[name], since, until))
            question = Question(DATASETS[name], audience, EVERYWHERE, filters)
            expected = [
                shown(name, row) for row in every[name] if all(lets_through(row, each) for each in filters)
            ]
            limit = 400 if len(expected) > 50 else 3
            got = [read_json(name, row) for page in pages(service, question, limit) for row in page]
            assert got == expected, (name, audience, given, since, until)
            if expected and given:
                found_something.add(name)
    assert found_something == set(DATASETS)


@pytest.mark.parametrize("name", ["participants", "visits"])
def test_people_come_in_the_order_of_what_they_are_shown_as(service: Connection, name: str) -> None:
    """In the order of codes, the seventh pseudonym would be participant 7."""
    dataset = DATASETS[name]
    at = list(dataset.by_name).index("participant")
    orders = {}
    for audience in (Audience.IDENTIFIED, Audience.DEIDENTIFIED):
        question = Question(dataset, audience, EVERYWHERE)
        paged = [row[at] for page in pages(service, question, 2) for row in page]
        exported = service.execute(csv_rows(dataset, audience, EVERYWHERE, guard=False)).all()
        assert [row[at] for row in exported] == paged == sorted(paged)
        orders[audience] = paged
    codes = [row["key_participant"] for row in rows(service, name, Audience.DEIDENTIFIED)]
    assert len(codes) > 2
    assert set(codes) == set(orders[Audience.IDENTIFIED])
    assert codes != sorted(codes)
    service.execute(text("UPDATE research_policies SET participants = 'code'"))
    question = Question(dataset, Audience.DEIDENTIFIED, EVERYWHERE)
    assert [row[at] for page in pages(service, question, 2) for row in page] == orders[Audience.IDENTIFIED]


def test_a_rare_condition_ends_a_page_early_and_says_where_to_go_on(
    service: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_of, "MOST_SESSIONS", dict.fromkeys(OF_SESSIONS, 2))
    rare = read_filters(DATASETS["trials"], [("rt_ms.gte", "100000000")])
    question = Question(DATASETS["trials"], Audience.IDENTIFIED, EVERYWHERE, rare)
    walked = list(pages(service, question, 10))
    assert len(walked) > 1
    assert all(page == [] for page in walked)


def test_groups_are_what_is_computed_of_their_rows(service: Connection) -> None:
    every = [row for row in rows(service, "trials", Audience.DEIDENTIFIED) if row["stage"] == "test"]
    dataset = DATASETS["trials"]
    summary = read_summary(
        dataset,
        "participant,task",
        "count,count:rt_ms,mean:rt_ms,sd:rt_ms,median:rt_ms,p10:rt_ms,min:rt_ms,max:rt_ms,mean:correct",
    )
    assert summary is not None
    question = Question(
        dataset, Audience.DEIDENTIFIED, EVERYWHERE, read_filters(dataset, [("stage", "test")])
    )
    prepared = perform(service, prepare(question))
    found = service.execute(summarise(prepared, summary)).all()
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in every:
        groups.setdefault((row["participant"], row["task"]), []).append(row)
    assert [(one.participant, one.task) for one in found] == sorted(groups)
    for one in found:
        group = groups[one.participant, one.task]
        times = sorted(each["rt_ms"] for each in group if each["rt_ms"] is not None)
        judged = [each["correct"] for each in group if each["correct"] is not None]
        assert (one._mapping["count"], one.count_rt_ms) == (len(group), len(times))
        assert one.mean_correct == (pytest.approx(sum(judged) / len(judged)) if judged else None)
        if len(times) < 2:
            continue
        assert (one.min_rt_ms, one.max_rt_ms) == (times[0], times[-1])
        assert one.mean_rt_ms == pytest.approx(statistics.fmean(times))
        assert one.sd_rt_ms == pytest.approx(statistics.stdev(times))
        assert one.median_rt_ms == pytest.approx(statistics.median(times))
        assert one.p10_rt_ms == pytest.approx(statistics.quantiles(times, n=10, method="inclusive")[0])


def test_a_position_belongs_to_its_question_and_holds_what_orders_rows() -> None:
    trials = DATASETS["trials"]
    one = Question(
        trials, Audience.IDENTIFIED, EVERYWHERE, read_filters(trials, [("run", "1"), ("task", "x")])
    )
    same = one._replace(filters=tuple(reversed(one.filters)))
    assert one.fingerprint == same.fingerprint
    others = [
        one._replace(filters=()),
        one._replace(audience=Audience.DEIDENTIFIED),
        one._replace(wanted=Wanted("SRO", ("lima",))),
        one._replace(dataset=DATASETS["quality"]),
    ]
    assert len({one.fingerprint, *(each.fingerprint for each in others)}) == 5
    assert sort_key(trials) == ("key_site", "key_session", "key_task", "key_run", "key_trial_index")
