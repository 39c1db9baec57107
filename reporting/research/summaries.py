"""Statements that sum up a sample: the rule of `measurements`, and the formulas of `statistics`, in Postgres.

Of a study of a million sessions some rows come to Python, whoever asks. A statement reads the sessions once:
`judged` says of each why it counts or not, `chosen` has one measurement a participant and visit, and all else
is computed of that.

| sample | answer |
|---|---|
| nobody | one row: what was left out |
| values so large or small that their squares are no float64 | divided by the largest deviation first |
| within ±1e-200 | 0: Postgres fails where a product or quotient is too small, instead of saying 0 |
| a square, product or quotient that would be as small | 0, likewise |
| constant | that value as its mean, deviations of 0, whatever rounding says |
| edges of bins that would be the same number | those around a constant, as `distribution.edges_of` |
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    Integer,
    Select,
    and_,
    any_,
    case,
    cast,
    collate,
    distinct,
    func,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, array, distinct_on

from reporting.research.audience import Audience, Wanted
from reporting.research.measurements import select_serious, task_run
from reporting.research.samples import LARGEST
from reporting.research.sources import session_rows
from reporting.research.variables import Variable
from reporting.tables import scores

_NOT_COMPLETED, _WITHOUT_VISIT, _FLAGGED, _COUNTS = range(4)
_QUARTILES: Final = (0.25, 0.5, 0.75)
_SMALLEST: Final = 1e-200


class Chosen(NamedTuple):
    """What all statements here begin with; `told` is one row: left out by reason, and scoring versions."""

    chosen: CTE
    told: CTE


def select_descriptions(
    variable: Variable, wanted: Wanted, *, include_flagged: bool, bins: int
) -> Select[Any]:
    """Statement: a row a visit (one without, where there is none): the fields of LeftOut, scoring versions,
    visit, how many were measured, n, mean, sd, quartiles, edges of bins, and two arrays: numbers of bins
    from 1, and how many values are in each.
    """
    chosen, told = _chosen(variable, wanted, include_flagged=include_flagged)
    visit, value = chosen.c.visit, chosen.c.value
    low, high = func.min(value), func.max(value)
    of_visits = (
        select(
            visit,
            func.count().label("total"),
            func.count(value).label("n"),
            case((low == high, low), else_=func.avg(value)).label("mean"),
            low.label("low"),
            high.label("high"),
            func.percentile_cont(array(_QUARTILES, type_=Double), type_=ARRAY(Double))
            .within_group(value.asc())
            .label("quartiles"),
        )
        .group_by(visit)
        .cte("of_visits")
    )
    v = of_visits.c
    largest = _above_0(func.greatest(v.high - v.mean, v.mean - v.low))
    deviations = (
        select(visit, _sd(value - v.mean, largest).label("sd"))
        .select_from(chosen.join(of_visits, v.visit == visit))
        .group_by(visit)
        .cte("deviations")
    )
    edges = _edges(of_visits, bins)
    bucket = func.least(func.width_bucket(value, cast(edges.c.edges, ARRAY(Double))), bins).label("bucket")
    counted = (
        select(visit, bucket, func.count().label("people"))
        .select_from(chosen.join(edges, true()))
        .where(value.is_not(None), edges.c.edges.is_not(None))
        .group_by(visit, bucket)
        .cte("counted")
    )
    binned = (
        select(
            counted.c.visit,
            func.array_agg(counted.c.bucket).label("buckets"),
            func.array_agg(counted.c.people).label("people"),
        )
        .group_by(counted.c.visit)
        .cte("binned")
    )
    return select(
        told,
        v.visit,
        v.total,
        v.n,
        v.mean,
        case((v.n < 2, None), (v.low == v.high, 0.0), else_=deviations.c.sd).label("sd"),
        v.quartiles,
        edges.c.edges,
        binned.c.buckets,
        binned.c.people,
    ).select_from(
        told.outerjoin(of_visits, true())
        .outerjoin(deviations, deviations.c.visit == v.visit)
        .outerjoin(binned, binned.c.visit == v.visit)
        .outerjoin(edges, true())
    )


def select_moments(
    variable: Variable,
    wanted: Wanted,
    between: tuple[str, str],
    *,
    include_flagged: bool,
    cells: int = 0,
) -> Select[Any]:
    """Statement: one row: the fields of LeftOut, scoring versions, the fields of PairMoments; with `cells`,
    the least and the greatest value, and which cells of a grid of so many by so many hold a pair: numbers,
    first times (cells + 1) plus second.
    """
    chosen, told = _chosen(variable, wanted, include_flagged=include_flagged)
    pairs = _pairs(chosen, between)
    p = pairs.c
    known = and_(p.first.is_not(None), p.second.is_not(None))
    change = p.second - p.first
    bounds = select(
        func.count().label("total"),
        func.count().filter(known).label("n"),
        *(
            each
            for name, number in (("first", p.first), ("second", p.second), ("change", change))
            for each in _centre(name, number, known)
        ),
    ).cte("bounds")
    b = bounds.c
    first, second, changed = p.first - b.first, p.second - b.second, change - b.change
    whole = _above_0(func.greatest(b.first_reach, b.second_reach, func.abs(b.second - b.first)))
    between_visits = _share(b.second - b.first, whole)
    x, y = _share(first, _above_0(b.first_reach)), _share(second, _above_0(b.second_reach))
    rows, error = _share(_share(first + second, whole), 2.0), _share(changed, whole)
    sums = (
        select(
            func.sum(_product(x, y)).label("xy"),
            func.sum(_product(x, x)).label("xx"),
            func.sum(_product(y, y)).label("yy"),
            _sd(changed, _above_0(b.change_reach)).label("sd_change"),
            func.sum(_product(rows, rows)).label("between"),
            func.sum(_product(error, error)).label("within"),
        )
        .select_from(pairs.join(bounds, known))
        .cte("sums")
    )
    s = sums.c
    columns = (
        b.total,
        b.n,
        case((b.n > 0, b.change)).label("mean_change"),
        case((b.n < 2, None), (b.change_reach == 0, 0.0), else_=s.sd_change).label("sd_change"),
        case((s.xx * s.yy > 0, _share(s.xy, func.sqrt(s.xx * s.yy)))).label("pearson"),
        _share(2 * s.between, func.nullif(b.n - 1, 0)).label("participants"),
        _share(b.n * _product(between_visits, between_visits), 2.0).label("occasions"),
        _share(s.within, func.nullif(2 * (b.n - 1), 0)).label("error"),
    )
    joined = told.join(bounds, true()).join(sums, true())
    if not cells:
        return select(told, *columns).select_from(joined)
    low, high = func.least(b.first_low, b.second_low), func.greatest(b.first_high, b.second_high)
    width = _above_0(high - low)
    place = [
        func.coalesce(func.round(_share(each - low, width) * cells), cells // 2)
        for each in (p.first, p.second)
    ]
    cell = cast(place[0] * (cells + 1) + place[1], Integer)
    grid = (
        select(func.array_agg(distinct(cell)).label("cells"))
        .select_from(pairs.join(bounds, known))
        .cte("grid")
    )
    return select(told, *columns, low.label("low"), high.label("high"), grid.c.cells).select_from(
        joined.join(grid, true())
    )


def select_visits(variable: Variable, wanted: Wanted, *, include_flagged: bool) -> Select[Any]:
    """Statement: the visits at which somebody has a value."""
    c = _chosen(variable, wanted, include_flagged=include_flagged).chosen.c
    return select(c.visit).where(c.value.is_not(None)).distinct()


def select_pairs(
    variable: Variable, wanted: Wanted, between: tuple[str, str], *, include_flagged: bool
) -> Select[Any]:
    """Statement: both values of whoever has both, in their order."""
    p = _pairs(_chosen(variable, wanted, include_flagged=include_flagged).chosen, between).c
    known = p.first.is_not(None), p.second.is_not(None)
    return select(p.first, p.second).where(*known).order_by(p.first, p.second)


def _chosen(variable: Variable, wanted: Wanted, *, include_flagged: bool) -> Chosen:
    session, flags = session_rows(Audience.IDENTIFIED, wanted).subquery("s"), select_serious().subquery("f")
    s, c, f, lower = session.c, scores.c, flags.c, scores.alias("lower").c
    is_score = and_(c.task == variable.task, c.name == variable.score)
    earlier = select(lower.run).where(
        lower.site == c.site,
        lower.session_id == c.session_id,
        lower.task == c.task,
        lower.name == c.name,
        lower.run < c.run,
    )
    is_flagged = func.coalesce(or_(f.on_session, task_run(c) == any_(f.on_runs)), False)
    judged = (
        select(
            s.key_participant.label("participant"),
            s.visit,
            s.site,
            s.key_session.label("session"),
            s.key_started_at.label("started_at"),
            case(
                (s.status != "completed", _NOT_COMPLETED),
                (s.visit.is_(None), _WITHOUT_VISIT),
                *([] if include_flagged else [(is_flagged, _FLAGGED)]),
                else_=_COUNTS,
            ).label("reason"),
            # Not a number is more than every number, here.
            case((func.abs(c.value) < _SMALLEST, 0.0), (func.abs(c.value) <= LARGEST, c.value)).label(
                "value"
            ),
            c.scoring_version,
        )
        .select_from(
            session.join(scores, and_(c.site == s.site, c.session_id == s.key_session)).outerjoin(
                flags, and_(f.site == s.site, f.session_id == s.key_session)
            )
        )
        .where(is_score, not_(earlier.exists()))
        .cte("judged")
    )
    return _told(judged)


def _told(judged: CTE) -> Chosen:
    j = judged.c
    key = j.visit, j.participant
    chosen = (
        select(*key, j.value, j.scoring_version)
        .where(j.reason == _COUNTS)
        .ext(distinct_on(*key))
        .order_by(*key, j.started_at, collate(j.site, "C"), collate(j.session, "C"))
        .cte("chosen")
    )
    c = chosen.c
    versions = func.array_agg(aggregate_order_by(distinct(c.scoring_version), c.scoring_version))
    of_chosen = select(func.count().label("n"), versions.label("versions")).select_from(chosen).subquery()
    left_out = (
        select(
            *(
                func.count().filter(j.reason == reason).label(name)
                for reason, name in (
                    (_NOT_COMPLETED, "not_completed"),
                    (_WITHOUT_VISIT, "without_visit"),
                    (_FLAGGED, "flagged"),
                    (_COUNTS, "counts"),
                )
            )
        )
        .select_from(judged)
        .subquery()
    )
    told = (
        select(
            left_out.c.not_completed,
            left_out.c.without_visit,
            left_out.c.flagged,
            (left_out.c.counts - of_chosen.c.n).label("repeated"),
            of_chosen.c.versions,
        )
        .select_from(left_out.join(of_chosen, true()))
        .cte("told")
    )
    return Chosen(chosen, told)


def _pairs(chosen: CTE, between: tuple[str, str]) -> CTE:
    c = chosen.c
    # Not a join of `chosen` with itself: Postgres knows nothing of how many rows that has.
    of = [func.max(c.value).filter(c.visit == visit) for visit in between]
    return (
        select(of[0].label("first"), of[1].label("second"))
        .where(c.visit.in_(between))
        .group_by(c.participant)
        .having(func.count() == len(between))
        .cte("pairs")
    )


def _centre(name: str, number: ColumnElement[Any], known: ColumnElement[bool]) -> Sequence[Any]:
    """Mean, the largest deviation from it, and both ends."""
    low, high = func.min(number).filter(known), func.max(number).filter(known)
    mean = case((low == high, low), else_=func.avg(number).filter(known))
    return (
        mean.label(name),
        func.greatest(high - mean, mean - low).label(f"{name}_reach"),
        low.label(f"{name}_low"),
        high.label(f"{name}_high"),
    )


def _sd(deviation: ColumnElement[Any], largest: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of values less their mean; None where `largest` is, and of one value."""
    share, n = _share(deviation, largest), func.count(deviation)
    return func.max(largest) * func.sqrt(_share(func.sum(_product(share, share)), func.nullif(n - 1, 0)))


def _share(of: ColumnElement[Any], whole: Any) -> ColumnElement[Any]:
    """A quotient of float64: `/` would divide by a number of decimals."""
    quotient: ColumnElement[Any] = of.op("/", precedence=8, return_type=Double())(whole)
    # Values from _SMALLEST on differ by more than this, where they differ.
    return case((and_(func.abs(of) < 1e-220, func.abs(whole) > 1e-50), 0.0), else_=quotient)


def _product(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of two shares: beside the largest, which is about 1, such a small one is nothing."""
    return case((or_(func.abs(one) < 1e-150, func.abs(other) < 1e-150), 0.0), else_=one * other)


def _above_0(number: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.nullif(number, 0.0, type_=Double)


def _edges(of_visits: CTE, bins: int) -> CTE:
    """As `distribution.edges_of`, in the same order of operations."""
    bounds = select(func.min(of_visits.c.low).label("low"), func.max(of_visits.c.high).label("high")).cte(
        "ends"
    )
    low, high = bounds.c.low, bounds.c.high
    reach = func.greatest(0.5, func.abs(low, type_=Double) * 1e-6, type_=Double)
    wide = _between(low, high, bins)
    ascends = and_(true(), *(before < after for before, after in pairwise(wide)))
    edges = case(
        (low.is_(None), None),
        (ascends, array(wide, type_=Double)),
        else_=array(_between(low - reach, high + reach, bins), type_=Double),
    )
    return select((edges if bins else null()).label("edges")).select_from(bounds).cte("edges")


def _between(low: ColumnElement[Any], high: ColumnElement[Any], bins: int) -> list[ColumnElement[Any]]:
    if not bins:
        return [high]
    return [*(low + _share((high - low) * float(number), float(bins)) for number in range(bins)), high]
