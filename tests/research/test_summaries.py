"""What Postgres sums up is what the pure functions say of the rows, read one by one."""

import itertools

import msgspec
import pytest
from sqlalchemy import create_engine, text

from reporting.research.audience import Wanted
from reporting.research.distribution import count_in, edges_of
from reporting.research.measurements import SCORES, Measurement, choose, select_measurements
from reporting.research.retest import PairMoments, retest_of, retest_of_moments
from reporting.research.statistics import describe
from reporting.research.summaries import select_descriptions, select_moments, select_pairs

SIMON = SCORES["simon_simon_rt"]
BINS = 7
BETWEEN = [
    ("usual", "usual_again"),
    ("tiny", "usual"),
    ("huge", "tiny"),
    ("same", "usual"),
    ("usual", "never"),
]

ROWS = """
INSERT INTO studies (code) VALUES ('SRO');
INSERT INTO sites (code) VALUES ('lima'), ('quito'), ('Äsch');
SELECT setseed(0.5);
INSERT INTO sessions (site, id, study, participant, visit, status, started_at, rev)
SELECT (ARRAY['lima', 'quito', 'Äsch'])[1 + n % 3], visit || n, 'SRO', 's' || n / 2,
       CASE WHEN n % 17 > 0 THEN visit END, CASE WHEN n % 13 > 0 THEN 'completed' ELSE 'abandoned' END,
       '2016-07-22 12:00Z'::timestamptz + (n % 2 * (n / 2 % 3)) * interval '1 day', '1-a'
FROM generate_series(1, 120) AS n, unnest('{usual,usual_again,huge,tiny,same,near}'::text[]) AS visit;
INSERT INTO scores (site, session_id, task, run, name, value, scoring_version)
SELECT site, id, 'simon', run, 'simon_rt',
       CASE WHEN n % 11 = 0 THEN (ARRAY['NaN', 'Infinity', '-1e101', NULL])[1 + n % 4]::float8
            WHEN visit = 'huge' THEN (random() - 0.5) * 1e100
            WHEN visit = 'tiny' THEN random() * 1e-180
            WHEN visit = 'same' THEN 0.1
            WHEN visit = 'near' THEN 1e15 + n % 2 * 0.125
            ELSE 300 + n + 40 * random() END, 1 + n % 2
FROM sessions, CAST(substr(participant, 2) AS int) AS n, generate_series(-1, 1) AS run
WHERE n % 7 = 0 OR run = 1;
INSERT INTO quality_flags (site, session_id, task, run, code, detail)
SELECT site, id, CASE WHEN id ~ '3' THEN 'simon' END, CASE WHEN id ~ '3' THEN 1 END, 'repeated_key', '{}'
FROM sessions WHERE id ~ '9$';
"""


@pytest.mark.parametrize("include_flagged", [False, True])
def test_a_sample_is_summed_up_as_its_rows_say(database_url: str, *, include_flagged: bool) -> None:
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    wanted = Wanted("SRO", None)
    with engine.connect() as connection:
        for statement in ROWS.split(";\n"):
            connection.execute(text(statement.replace(":", r"\:").replace(r"\:\:", "::")))
        rows = connection.execute(select_measurements([SIMON], wanted)).all()
        sample = choose((Measurement(*row[2:]) for row in rows), include_flagged=include_flagged)
        assert sample.left_out.repeated > 20
        assert (sample.left_out.flagged > 20) is not include_flagged

        found = connection.execute(
            select_descriptions(SIMON, wanted, include_flagged=include_flagged, bins=BINS)
        ).all()
        assert {row.visit for row in found} == set(sample.values)
        edges = edges_of((each for visit in sample.values for each in sample.of_visit(visit)), BINS)
        for row in found:
            values = sample.of_visit(row.visit)
            told = msgspec.structs.astuple(describe(values))
            of_row = row.n, row.total - row.n, row.mean, row.sd, *(row.quartiles[at] for at in (1, 0, 2))
            assert of_row == pytest.approx(told, rel=1e-12, abs=0), row.visit
            assert row.edges == edges
            bins = dict(zip(row.buckets, row.people, strict=True))
            assert [bins.get(number, 0) for number in range(1, BINS + 1)] == count_in(values, edges)
            assert (row.not_completed, row.without_visit, row.flagged, row.repeated) == (
                msgspec.structs.astuple(sample.left_out)
            )
            assert tuple(row.versions) == sample.scoring_versions

        for between in BETWEEN:
            row = connection.execute(
                select_moments(SIMON, wanted, between, include_flagged=include_flagged, cells=9)
            ).one()
            moments = PairMoments(*(getattr(row, name) for name in PairMoments._fields))
            summed, told_of = retest_of_moments(moments, *between), retest_of(sample, *between)
            for name in ("practice_effect", "pearson", "icc"):
                numbers, words = _flat(getattr(summed, name))
                expected, same_words = _flat(getattr(told_of, name))
                assert numbers == pytest.approx(expected, rel=1e-9, abs=1e-12), (between, name)
                assert words == same_words
            pairs = connection.execute(
                select_pairs(SIMON, wanted, between, include_flagged=include_flagged)
            ).all()
            assert [tuple(pair) for pair in pairs] == sorted(
                pair for pair in sample.pairs(*between) if None not in pair
            )
    engine.dispose()


SMALL = """
INSERT INTO studies (code) VALUES ('SRO');
INSERT INTO sites (code) VALUES ('lima');
INSERT INTO sessions (site, id, study, participant, visit, status, started_at, rev)
SELECT 'lima', visit || n, 'SRO', 's' || n, visit, 'completed', now(), '1-a'
FROM generate_series(1, 9) AS n, unnest('{around,large,small,least}'::text[]) AS visit;
INSERT INTO scores (site, session_id, task, run, name, value, scoring_version)
SELECT site, id, 'simon', 1, 'simon_rt',
       CASE visit WHEN 'around' THEN (ARRAY[-1, 1, 1e-190])[1 + n % 3]
                  WHEN 'large' THEN n % 2 * 1e100
                  WHEN 'small' THEN n * 1e-300
                  ELSE n / 9 * 5e-324::float8 END, 1
FROM sessions, CAST(substr(participant, 2) AS int) AS n;
"""


def test_numbers_too_small_for_their_squares_and_shares_do_not_fail(database_url: str) -> None:
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    wanted = Wanted("SRO", None)
    with engine.connect() as connection:
        for statement in filter(str.strip, SMALL.split(";\n")):
            connection.execute(text(statement.replace("::", r"\:\:")))
        rows = connection.execute(select_measurements([SIMON], wanted)).all()
        sample = choose((Measurement(*row[2:]) for row in rows), include_flagged=False)
        for row in connection.execute(
            select_descriptions(SIMON, wanted, include_flagged=False, bins=BINS)
        ).all():
            told = describe(sample.of_visit(row.visit))
            assert (row.mean, row.sd) == pytest.approx((told.mean, told.sd), rel=1e-12, abs=1e-180)
        for between in itertools.permutations(("around", "large", "small", "least"), 2):
            row = connection.execute(
                select_moments(SIMON, wanted, between, include_flagged=False, cells=9)
            ).one()
            moments = PairMoments(*(getattr(row, name) for name in PairMoments._fields))
            effect = retest_of_moments(moments, *between).practice_effect
            expected = retest_of(sample, *between).practice_effect
            assert (effect.mean_change, effect.sd_change) == pytest.approx(
                (expected.mean_change, expected.sd_change), rel=1e-12, abs=1e-180
            )
    engine.dispose()


def _flat(told: msgspec.Struct) -> tuple[list[float], list[object]]:
    """Members, those of an interval each by itself: numbers, and what is none."""
    members = msgspec.structs.astuple(told)
    every = [each for member in members for each in (member if isinstance(member, tuple) else (member,))]
    numbers = [each for each in every if isinstance(each, int | float)]
    return numbers, [each if isinstance(each, str | None) else "number" for each in every]
