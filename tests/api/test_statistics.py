"""Statistics of a study's own sample, asked for by route."""

import msgspec
import pytest
from sqlalchemy import Engine, text

from sync_server.settings import Settings
from tests.api.calls import Api

PATH = "/api/research/statistics"
SIMON = f"{PATH}/simon_simon_rt"

STUDY = """
INSERT INTO studies (code) VALUES ('SRO'), ('other');
INSERT INTO sites (code) VALUES ('lima'), ('quito'), ('cusco');
INSERT INTO study_sites (study, site) VALUES ('SRO', 'lima'), ('SRO', 'quito'), ('other', 'cusco');
INSERT INTO research_policies (study, secret) VALUES ('SRO', decode(repeat('ab', 32), 'hex'));
INSERT INTO visit_definitions (study, code, anchor, position) VALUES
    ('SRO', 'retest', 'baseline', 2), ('SRO', 'baseline', 'enrolment', 1);
INSERT INTO sessions (site, id, study, participant, visit, status, started_at, rev)
SELECT CASE WHEN n % 2 = 0 THEN 'lima' ELSE 'quito' END, visit || '-' || n, 'SRO', 's' || n, visit,
       'completed', '2016-07-22 12:00Z', '1-a'
FROM generate_series(1, 24) AS n, unnest('{baseline,retest}'::text[]) AS visit;
INSERT INTO scores (site, session_id, task, run, name, value, scoring_version)
SELECT site, id, 'simon', run, 'simon_rt',
       CASE WHEN run = 2 THEN 9999 WHEN visit = 'baseline' THEN 100 + n ELSE 90 + n + 2 * (n % 3) END, 1
FROM sessions, CAST(substr(participant, 2) AS int) AS n, generate_series(1, 2) AS run;
INSERT INTO sessions (site, id, study, participant, visit, status, started_at, started_at_corrected, rev,
                      source_missing_at)
VALUES ('lima', 'again', 'SRO', 's2', 'baseline', 'completed', '2016-07-20Z', '2016-07-23Z', '1-a', NULL),
       ('lima', 'stopped', 'SRO', 's2', 'baseline', 'abandoned', '2016-07-20Z', NULL, '1-a', NULL),
       ('lima', 'flagged', 'SRO', 's2', 'baseline', 'completed', '2016-07-20Z', NULL, '1-a', NULL),
       ('lima', 'minor', 'SRO', 's99', 'extra', 'completed', '2016-07-20Z', NULL, '1-a', NULL),
       ('lima', 'gone', 'SRO', 's2', 'baseline', 'completed', '2016-07-20Z', NULL, '1-a', now()),
       ('lima', 'stroop', 'SRO', 's2', 'baseline', 'completed', '2016-07-20Z', NULL, '1-a', NULL),
       ('lima', 'foreign', 'other', 's2', 'baseline', 'completed', '2016-07-20Z', NULL, '1-a', NULL);
INSERT INTO scores (site, session_id, task, run, name, value, scoring_version)
SELECT site, id, CASE id WHEN 'stroop' THEN id ELSE 'simon' END, 1, 'simon_rt', 5000, 1
FROM sessions WHERE id !~ '-';
INSERT INTO quality_flags (site, session_id, task, run, code, detail)
VALUES ('lima', 'flagged', 'simon', 1, 'repeated_key', '{}'), ('lima', 'minor', NULL, NULL, 'merged', '{}'),
       ('lima', 'baseline-4', 'stroop', 1, 'repeated_key', '{}'),
       ('lima', 'retest-4', 'simon', 2, 'repeated_key', '{}');
"""


@pytest.fixture
def statement_seconds() -> int:
    """How long a statement may take."""
    return 20


@pytest.fixture
def settings(settings: Settings, statement_seconds: int) -> Settings:
    """With that limit."""
    return msgspec.structs.replace(settings, research_statement_seconds=statement_seconds)


@pytest.fixture
def study(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in STUDY.split(";\n"):
            connection.execute(text(statement.replace(":", r"\:").replace(r"\:\:", "::")))


@pytest.mark.usefixtures("study")
async def test_scores_are_listed_with_those_who_have_a_value_by_visit(api: Api) -> None:
    answer = await api.get(PATH, study="SRO")
    assert answer.status == 200
    assert answer.body["visits"] == ["baseline", "retest", "extra"]
    found = {score["name"]: score for score in answer.body["scores"]}
    assert found["simon_simon_rt"] == {
        "name": "simon_simon_rt",
        "task": "simon",
        "score": "simon_rt",
        "label": "Simon: incongruent minus congruent RT",
        "unit": "ms",
        "participants": {"baseline": 24, "retest": 24, "extra": 1},
    }
    assert found["digit_span_forward_span"]["participants"] == {}
    sessions = 24 * 2 + 5
    assert (await api.get(PATH, study="SRO", most_sessions=str(sessions))).body == answer.body
    large = (await api.get(PATH, study="SRO", most_sessions=str(sessions - 1))).body
    assert (answer.body["counted"], large["counted"], large["visits"]) == (True, False, ["baseline", "retest"])
    assert all(not score["participants"] for score in large["scores"])
    assert large["sites"] == answer.body["sites"]


@pytest.mark.usefixtures("study")
async def test_a_visit_is_described_by_one_session_a_participant_and_the_rest_is_counted(
    api: Api, engine: Engine
) -> None:
    answer = await api.get(SIMON, study="SRO")
    assert answer.status == 200, answer.body
    sample = answer.body["sample"]
    assert sample["left_out"] == {"not_completed": 1, "without_visit": 0, "flagged": 1, "repeated": 1}
    assert (sample["scoring_versions"], sample["smallest_sample"]) == ([1], 20)
    assert [(each["site"], each["complete_through"]) for each in sample["sites"]] == [
        ("lima", None),
        ("quito", None),
    ]
    baseline, retest, extra = answer.body["visits"]
    assert (baseline["visit"], baseline["n"], baseline["missing"]) == ("baseline", 24, 0)
    assert (baseline["mean"], baseline["median"]) == (112.5, 112.5)
    assert baseline["sd"] == pytest.approx(50**0.5)
    assert retest["mean"] == 104.5
    assert (extra["n"], extra["sd"]) == (1, None)

    flagged = await api.get(SIMON, study="SRO", include_flagged="true")
    assert flagged.body["sample"]["left_out"]["repeated"] == 2
    assert flagged.body["visits"][0]["upper_quartile"] != baseline["upper_quartile"]
    assert flagged.body["visits"][0]["mean"] == pytest.approx(112.5 + (5000 - 102) / 24)

    # A flag on the session is one on each of its tasks.
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO quality_flags (site, session_id, code, detail) "
                "VALUES ('lima', 'baseline-6', 'duplicate_session', '{}')"
            )
        )
    without = await api.get(SIMON, study="SRO")
    assert without.body["sample"]["left_out"]["flagged"] == 2
    assert [each["n"] for each in without.body["visits"]] == [23, 24, 1]


@pytest.mark.usefixtures("study")
async def test_a_retest_says_how_people_changed_and_how_reliable_the_score_is(api: Api) -> None:
    answer = await api.get(f"{SIMON}/retest", study="SRO", pairs="true")
    assert answer.status == 200, answer.body
    body = answer.body
    assert (body["first"], body["second"], len(body["pairs"])) == ("baseline", "retest", 24)
    assert body["pairs"][0] == [101, 93]
    assert body["practice_effect"]["mean_change"] == -8
    assert body["practice_effect"]["verdict"] == "fall"
    assert body["practice_effect"]["n"] == body["pearson"]["n"] == body["icc"]["n"] == 24
    low, high = body["pearson"]["interval"]
    assert low < body["pearson"]["value"] < high < 1
    assert body["icc"]["value"] < body["pearson"]["value"]

    # The same pairs on a grid, thinned by Postgres.
    thinned = await api.get(f"{SIMON}/retest", study="SRO", cells="7")
    low, high = min(map(min, body["pairs"])), max(map(max, body["pairs"]))
    places = {tuple(round((each - low) / (high - low) * 7) for each in pair) for pair in body["pairs"]}
    assert thinned.body["grid"] == {"low": low, "high": high, "cells": sorted(map(list, places))}

    turned = await api.get(f"{SIMON}/retest", study="SRO", first="retest", second="baseline")
    assert turned.body["practice_effect"]["mean_change"] == 8
    assert turned.body["pairs"] is None
    nobody = await api.get(f"{SIMON}/retest", study="SRO", first="retest", second="never")
    assert (nobody.status, nobody.body["icc"]) == (200, {"n": 0, "value": None, "interval": None})


@pytest.mark.usefixtures("study")
async def test_a_visit_whose_trials_define_no_score_is_not_the_first_of_two(api: Api, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE sessions SET visit = 'a-try' WHERE id = 'again'"))
        connection.execute(text("UPDATE scores SET value = NULL WHERE session_id = 'again'"))
        connection.execute(text("UPDATE visit_definitions SET position = position + 1"))
        connection.execute(
            text(
                "INSERT INTO visit_definitions (study, code, anchor, position) "
                "VALUES ('SRO', 'a-try', 'enrolment', 1)"
            )
        )
    described = await api.get(SIMON, study="SRO")
    assert [(each["visit"], each["n"]) for each in described.body["visits"]][:2] == [
        ("a-try", 0),
        ("baseline", 24),
    ]
    answer = await api.get(f"{SIMON}/retest", study="SRO")
    assert (answer.body["first"], answer.body["second"]) == ("baseline", "retest")


@pytest.mark.usefixtures("study")
async def test_a_participant_is_found_by_the_name_that_the_study_shows_and_placed_in_its_sample(
    api: Api, engine: Engine
) -> None:
    # The study shows pseudonyms.
    assert (await api.get(f"{SIMON}/participants/s12", study="SRO")).error == (404, "not_found")
    with engine.begin() as connection:
        connection.execute(text("UPDATE research_policies SET participants = 'code'"))
    answer = await api.get(f"{SIMON}/participants/s12", study="SRO")
    assert answer.status == 200, answer.body
    assert answer.body["visits"][0] == {
        "visit": "baseline",
        "value": 112,
        "n": 24,
        "percentile": pytest.approx(100 * 11.5 / 24),
        "why_not": None,
    }
    change = answer.body["change"]
    assert (change["n"], change["practice"], change["why_not"]) == (24, -8, None)
    assert change["change"]["verdict"] == "within error"

    few = await api.get(f"{SIMON}/participants/s12", study="SRO", sites="lima")
    assert [each["site"] for each in few.body["sample"]["sites"]] == ["lima"]
    assert few.body["visits"][0]["n"] == 12
    assert few.body["visits"][0]["percentile"] is None
    assert few.body["visits"][0]["why_not"] == few.body["change"]["why_not"] == "too few participants"
    assert (await api.get(f"{SIMON}/participants/s13", study="SRO", sites="lima")).status == 404


@pytest.mark.usefixtures("study")
async def test_who_may_asks_for_a_participant_by_their_code_and_that_is_on_record(
    api: Api, engine: Engine
) -> None:
    path = f"{SIMON}/participants/s12"
    assert (await api.get(path, study="SRO", identified="true")).error == (403, "not_allowed")
    with engine.begin() as connection:
        connection.execute(text("UPDATE users SET role = 'coordinator'"))
    answer = await api.get(path, study="SRO", identified="true")
    assert (answer.status, answer.body["participant"]) == (200, "s12")
    recorded = "SELECT entity_id FROM audit_log WHERE action = 'research.read_identified'"
    with engine.begin() as connection:
        assert connection.scalars(text(recorded)).all() == ["SRO/s12"]


@pytest.mark.usefixtures("study")
async def test_what_cannot_be_answered_is_said(api: Api) -> None:
    invalid, missing = (422, "invalid_request"), (404, "not_found")
    asked: list[tuple[str, dict[str, str], tuple[int, str]]] = [
        (SIMON, {}, invalid),
        (SIMON, {"study": "none"}, missing),
        (f"{PATH}/simon_none", {"study": "SRO"}, missing),
        (f"{PATH}/digit_span_forward_span/retest", {"study": "SRO"}, invalid),
        (f"{SIMON}/retest", {"study": "SRO", "first": "baseline"}, invalid),
        (f"{SIMON}/retest", {"study": "SRO", "first": "a", "second": "a"}, invalid),
        (f"{SIMON}/participants/none", {"study": "SRO"}, missing),
    ]
    for path, query, error in asked:
        assert (await api.get(path, **query)).error == error, (path, query)


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("statement_seconds", [1])
async def test_what_takes_too_long_is_given_up_with_a_sentence(api: Api, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE scores IN ACCESS EXCLUSIVE MODE"))
        answer = await api.get(SIMON, study="SRO")
    assert answer.error == (422, "too_expensive")
    assert (await api.get(SIMON, study="SRO")).status == 200
