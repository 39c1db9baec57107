"""Relations of datasets: every variable is delivered, as raw tables have it or as the policy says."""

import hashlib
import re
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from reporting.compiled import without_parameters
from reporting.quality import RULES
from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import DATASETS, KEPT_MEMBERS
from reporting.research.relations import OF_SESSIONS, relation, sort_key
from reporting.research.score_variables import score_names
from reporting.research.sources import ROWS
from reporting.research.variables import Dataset
from reporting.scoring import DEFINITIONS
from tests.research.projected import SECRET, Row, raw, rows

CLOCKS = ("utc_offset_minutes", "clock_offset_s", "received_at")


@pytest.mark.parametrize("audience", Audience)
@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_a_relation_has_the_variables_of_its_dataset_in_order_and_raw_keys_for_the_service_only(
    dataset: Dataset, audience: Audience
) -> None:
    wanted = None if audience is Audience.LOGIN else Wanted("SRO", ("lima",))
    made = relation(dataset, audience, wanted)
    names = [column.name for column in made.selected_columns]
    shown = [variable.name for variable in dataset.variables]
    assert names[: len(shown)] == shown
    keys = names[len(shown) :]
    assert all(name.startswith("key_") for name in keys)
    assert set(sort_key(dataset)) <= set(keys) if wanted else keys == []
    sql = without_parameters(made)
    assert ("research_rows." in sql) == (audience is Audience.LOGIN)
    assert ("sha256" in sql) == (audience is Audience.DEIDENTIFIED)


def test_only_the_inner_layer_asks_for_grants_and_a_study_or_a_grant_is_never_left_out() -> None:
    for make in ROWS.values():
        assert "research_grants" in str(make(Audience.LOGIN))
    with pytest.raises(TypeError, match="asks for a study"):
        relation(DATASETS["trials"], Audience.DEIDENTIFIED)


def test_identified_datasets_are_what_the_tables_hold(service: Connection) -> None:
    there = {
        (row["site"], row["id"]): row
        for row in raw(service, "SELECT * FROM sessions WHERE source_missing_at IS NULL AND study = 'SRO'")
    }
    found = {name: rows(service, name, Audience.IDENTIFIED) for name in DATASETS}
    for name in OF_SESSIONS:
        assert {(row["site"], row["session_id"]) for row in found[name]} <= set(there), name
    _sessions_are_right(service, there, found["sessions_wide"])

    of_there = "JOIN sessions AS s ON s.site = t.site AND s.id = t.session_id AND s.source_missing_at IS NULL"
    trials = (
        "site session_id task run trial_index stage rt_ms correct response condition time_elapsed_ms extra"
    )
    for name, table, columns in (
        ("trials", "trials", trials),
        ("scores_long", "scores", "site session_id task run value scoring_version"),
        ("quality", "quality_flags", "site session_id task run trial_index code rule_version detail"),
    ):
        expected = raw(service, f"SELECT t.* FROM {table} AS t {of_there}")  # noqa: S608 (our own tables)
        kept = columns.split()
        assert sorted(repr([row[column] for column in kept]) for row in found[name]) == sorted(
            repr([row[column] for column in kept]) for row in expected
        ), name
    for row in found["quality"]:
        rule = RULES[row["code"]]
        assert (row["level"], row["subject"]) == (rule.level, rule.subject)
    for row in found["provenance"]:
        session = there[row["site"], row["session_id"]]
        for column in (
            "rev",
            "schema",
            "device_id",
            "device_model",
            "device_os",
            "app_version",
            "received_at",
        ):
            assert row[column] == session[column]
        assert (row["losing_revisions"], row["corrections"]) == (1, 1)
        assert (row["conflicts_open"], row["conflicts_resolved"]) == (2, 1)


def _sessions_are_right(service: Connection, there: dict[tuple[str, str], Row], found: list[Row]) -> None:
    assert [(row["site"], row["session_id"]) for row in found] == sorted(there)
    scores = {
        (row["site"], row["session_id"], row["task"], row["name"]): row
        for row in raw(
            service,
            "SELECT * FROM scores WHERE (site, session_id, task, run) IN"
            " (SELECT site, session_id, task, min(run) FROM scores GROUP BY 1, 2, 3)",
        )
    }
    flags = raw(service, "SELECT site, session_id, code FROM quality_flags")
    for row in found:
        key = row["site"], row["session_id"]
        session = there[key]
        assert row["participant"] == row["key_participant"] == session["participant"]
        started_at = session["started_at_corrected"] or session["started_at"]
        assert row["started_at"] == started_at
        local = started_at + timedelta(minutes=session["utc_offset_minutes"] or 0)
        assert row["started_day"] == (local.date() - date(2016, 7, 1)).days
        assert row["ended_at"] == (session["ended_at_corrected"] or session["ended_at"])
        for level in ("info", "warning", "serious"):
            own = [each for each in flags if (each["site"], each["session_id"]) == key]
            assert row[f"flags_{level}"] == sum(RULES[each["code"]].level == level for each in own)
        for task, definition in DEFINITIONS.items():
            for score in score_names(definition):
                expected = scores.get((*key, task, score))
                assert row[f"{task}_{score}"] == (expected and expected["value"])
                assert row[f"{task}_scoring_version"] == (expected and expected["scoring_version"])
    assert any(row["stroop_acc"] is not None for row in found)


def test_what_is_de_identified_follows_the_policy_and_is_equal_in_all_datasets(service: Connection) -> None:
    identified = {name: rows(service, name, Audience.IDENTIFIED) for name in DATASETS}
    found = {name: rows(service, name, Audience.DEIDENTIFIED) for name in DATASETS}
    pseudonyms: dict[str, set[str]] = {}
    sessions: dict[str, set[str]] = {}
    shifts: dict[str, set[timedelta]] = {}
    for name, expected in identified.items():
        assert len(expected) == len(found[name])
        for seen, own in zip(_by_raw_key(name, found[name]), _by_raw_key(name, expected), strict=True):
            pseudonyms.setdefault(own["participant"], set()).add(seen["participant"])
            if own.get("session_id") is not None:
                sessions.setdefault(own["session_id"], set()).add(seen["session_id"])
            for column, value in own.items():
                if isinstance(value, date) and not column.startswith("key_") and column not in CLOCKS:
                    shifts.setdefault(own["participant"], set()).add(seen[column] - value)
                if column.endswith("_day"):
                    assert seen[column] == value
    by_value: list[set[Any]] = [*pseudonyms.values(), *sessions.values(), *shifts.values()]
    assert all(len(each) == 1 for each in by_value)
    assert all(re.fullmatch("P-[0-9A-F]{16}", min(each)) for each in pseudonyms.values())
    assert len({*map(min, sessions.values())}) == len(sessions)
    code = min(pseudonyms)
    secret = hashlib.sha256(SECRET + f"code:SRO:{code}".encode() + SECRET).hexdigest()
    assert pseudonyms[code] == {f"P-{secret[:16].upper()}"}
    assert all(shift.seconds == 0 and abs(shift.days) <= 180 for (shift,) in shifts.values())
    _texts_are_withheld(found, identified)
    _other_policies(service, identified)


def _by_raw_key(name: str, found: list[Row]) -> list[Row]:
    keys = [key for key in sort_key(DATASETS[name]) if key != "key_shown_as"]
    assert len({tuple(row[key] for key in keys) for row in found}) == len(found)
    return sorted(found, key=lambda row: [row[key] for key in keys])


def _texts_are_withheld(found: dict[str, list[Row]], identified: dict[str, list[Row]]) -> None:
    assert {row["redcap_id"] for row in found["participants"]} == {None}
    assert {row["detail"] for row in found["quality"] if row["detail"]} == set()
    for seen, own in zip(found["trials"], identified["trials"], strict=True):
        is_kept = own["correct"] is not None or isinstance(own["response"], bool | float | int)
        assert seen["response"] == (own["response"] if is_kept else None)
        kept = {
            name: value
            for name, value in (own["extra"] or {}).items()
            if name in KEPT_MEMBERS
            and (
                isinstance(value, float | int)
                or (isinstance(value, str) and re.fullmatch(r"\S{1,20}", value))
            )
        }
        assert (seen["extra"] or {}) == kept
    assert any(row["extra"] for row in found["trials"])


def _other_policies(service: Connection, identified: dict[str, list[Row]]) -> None:
    service.execute(text("UPDATE research_policies SET participants = 'code', dates = 'actual'"))
    for seen, own in zip(
        rows(service, "provenance", Audience.DEIDENTIFIED), identified["provenance"], strict=True
    ):
        assert seen == own
    service.execute(text("UPDATE research_policies SET dates = 'days'"))
    wide = rows(service, "sessions_wide", Audience.DEIDENTIFIED)
    assert {(row["started_at"], row["ended_at"]) for row in wide} == {(None, None)}
    assert all(row["started_day"] is not None for row in wide)
    service.execute(text("DELETE FROM research_policies"))
    (nobody,) = {
        (row["participant"], row["session_id"], row["started_at"], row["started_day"])
        for row in rows(service, "sessions_wide", Audience.DEIDENTIFIED)
    }
    assert set(nobody) == {None}


def test_nothing_that_is_of_one_moment_for_several_participants_tells_their_shifts(
    service: Connection,
) -> None:
    """Two sessions that arrived together have the same second; an open window holds today; a clock that began
    at 1970 is behind by the date; summer time tells the season.
    """
    service.execute(
        text(
            "UPDATE sessions SET received_at = '2016-08-01 10:00:01.25+00', utc_offset_minutes = -300,"
            " clock_offset_s = 1470045601"
        )
    )
    states = ("planned", "due", "missed", "completed", "cancelled")
    for state in states:
        service.execute(
            text("UPDATE visits SET code = :state, state = :state WHERE ctid = (SELECT max(ctid) FROM visits"
                 " WHERE code = 'first')"),
            {"state": state},
        )  # fmt: skip
    for dates in ("shifted", "days", "actual"):
        service.execute(text("UPDATE research_policies SET dates = :dates"), {"dates": dates})
        sessions = rows(service, "provenance", Audience.DEIDENTIFIED)
        is_shown = dates == "actual"
        assert {tuple(row[name] is not None for name in CLOCKS) for row in sessions} == {(is_shown,) * 3}
        told = {row["visit"]: row["state"] for row in rows(service, "visits", Audience.DEIDENTIFIED)}
        assert told["due"] == ("due" if is_shown else "planned")
        assert all(told[state] == state for state in states if state != "due")


def test_a_date_that_a_shift_would_move_out_of_the_calendar_is_missing(service: Connection) -> None:
    service.execute(text("UPDATE sessions SET started_at = '9999-12-31', started_at_corrected = NULL"))
    assert {row["started_at"] for row in rows(service, "sessions_wide", Audience.DEIDENTIFIED)} == {None}
    (shown,) = {row["started_at"] for row in rows(service, "sessions_wide", Audience.IDENTIFIED)}
    assert isinstance(shown, datetime)


def test_a_study_at_some_sites_is_fenced_in_every_dataset(service: Connection) -> None:
    for name in DATASETS:
        all_sites = rows(service, name, Audience.IDENTIFIED)
        lima = rows(service, name, Audience.IDENTIFIED, Wanted("SRO", ("lima",)))
        assert {row["site"] for row in lima} == {"lima"}, name
        assert len(lima) == sum(row["site"] == "lima" for row in all_sites)
        assert rows(service, name, Audience.IDENTIFIED, Wanted("other")) == []
