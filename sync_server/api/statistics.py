"""`/api/research/statistics`: what a study's own sample says of a score, and of one participant in it.

Computed from the rows at the moment of the question; nothing is kept. Which session counts for a visit is the
rule of `reporting.research.measurements`, and every answer says what that left out.

| what happens | answer |
|---|---|
| a score that no definition has | 404; `GET /api/research/statistics` lists them |
| no visits are named, and the study has not two with the score | 422 |
| a visit that nobody was measured at | n is 0, what cannot be said is null |
| few participants | the numbers with their n; percentiles and changes only from `smallest_sample` on |
| scores are being computed again | `sample.scoring_versions` has more than one |
| the participant was not measured | 404 |
| it takes longer than `RESEARCH_STATEMENT_SECONDS` | 422 `too_expensive` |
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reporting.audit import record_entry
from reporting.research.audience import Audience, Wanted
from reporting.research.correlations import Correlation
from reporting.research.measurements import (
    SCORES,
    LeftOut,
    Measurement,
    Sample,
    choose,
    in_order,
    select_counts,
    select_has_no_more,
    select_measurements,
    select_participant,
    select_planned_visits,
)
from reporting.research.retest import (
    Change,
    PairMoments,
    Standing,
    change_of,
    retest_of_moments,
    standing_of,
)
from reporting.research.standing import SiteStanding, select_standing
from reporting.research.statistics import SMALLEST_SAMPLE, Description, PracticeEffect
from reporting.research.summaries import (
    select_descriptions,
    select_moments,
    select_pairs,
    select_visits,
)
from reporting.research.variables import Variable
from sync_server.api.acts import audited
from sync_server.api.call import Call, Nothing
from sync_server.api.names import StudyCode
from sync_server.api.parameters import Text
from sync_server.api.research_files import reached_sites, require_all
from sync_server.api.route import Route, get
from sync_server.api.statement_limit import limited
from sync_server.api.study_rows import require_study
from sync_server.errors import InvalidRequest, NotFound
from sync_server.keys import ENGINE

_ADVICE = "Ask for fewer sites."


class StudyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`sites`: comma-separated; all that the caller may see, without."""

    study: StudyCode
    sites: Text | None = None


class ScoresQuery(StudyQuery, frozen=True, kw_only=True):
    """`most_sessions`: of more sessions than so many nothing is counted; `counted` says so."""

    most_sessions: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None


class SampleQuery(StudyQuery, frozen=True, kw_only=True):
    """`include_flagged`: also sessions with a serious quality flag on themselves or on the task."""

    include_flagged: bool = False


class DescriptionsQuery(SampleQuery, frozen=True, kw_only=True):
    """`bins`: also how the values are distributed, in so many bins of equal width."""

    bins: Annotated[int, Meta(ge=0, le=100)] = 0


class VisitsQuery(SampleQuery, frozen=True, kw_only=True):
    """`first` and `second`: visits; without, the study's first two that have the score."""

    first: Text | None = None
    second: Text | None = None


class RetestQuery(VisitsQuery, frozen=True, kw_only=True):
    """`pairs`: also the values themselves, of nobody in particular; `cells`: only where they lie, on a grid of
    so many by so many.
    """

    pairs: bool = False
    cells: Annotated[int, Meta(ge=0, le=200)] = 0


class ParticipantQuery(VisitsQuery, frozen=True, kw_only=True):
    """`identified`: the participant is named by their code, not by their pseudonym."""

    identified: bool = False


class ScoreTold(msgspec.Struct, frozen=True):
    """A score. `name` is its column in `sessions_wide`; `participants` have a value, by visit."""

    name: str
    task: str
    score: str
    label: str
    unit: str | None
    participants: dict[str, int]


class Scores(msgspec.Struct, frozen=True):
    """All that a study has statistics of; `visits` in the order of its schedule.

    Where it is not `counted`, participants are of no visit, and `visits` are those that are planned.
    """

    study: str
    sites: list[SiteStanding]
    visits: list[str]
    scores: list[ScoreTold]
    counted: bool


class SampleTold(msgspec.Struct, frozen=True):
    """What a sample was made of. `sites`: whose sessions, and through when they are complete."""

    study: str
    sites: list[SiteStanding]
    score: str
    label: str
    unit: str | None
    include_flagged: bool
    scoring_versions: list[int]
    left_out: LeftOut
    smallest_sample: int


class VisitTold(Description, frozen=True):
    """A visit's measurements in numbers: one a participant. `bins`: how many are in each."""

    visit: str
    bins: list[int]


class Descriptions(msgspec.Struct, frozen=True):
    """By visit, in the order of the study's schedule. `edges`: of the bins, of all visits the same."""

    sample: SampleTold
    visits: list[VisitTold]
    edges: list[float]


class Grid(msgspec.Struct, frozen=True):
    """Where pairs lie: `cells` counts from 0 (`low`) to what was asked for (`high`), first and second value."""

    low: float
    high: float
    cells: list[tuple[int, int]]


class RetestTold(msgspec.Struct, frozen=True):
    """Changes are second minus first. `pairs`: by first value, and only where they were asked for; likewise
    `grid`, which is null where there are none.
    """

    sample: SampleTold
    first: str
    second: str
    practice_effect: PracticeEffect
    pearson: Correlation
    icc: Correlation
    pairs: list[tuple[float, float]] | None
    grid: Grid | None


class ParticipantTold(msgspec.Struct, frozen=True):
    """Where they stand at every visit at which they were measured, and how they have changed."""

    sample: SampleTold
    participant: str
    visits: list[Standing]
    change: Change | None
    """Null: no visits are named, and the study has not two with the score."""


class _Read(msgspec.Struct, frozen=True):
    wanted: Wanted
    told: SampleTold
    sample: Sample
    visits: list[str]


async def list_scores(call: Call[ScoresQuery, Nothing]) -> Scores:
    """List the scores that there are statistics of, and how many participants have a value, by visit.

    Counted over completed sessions, with or without flags. With `most_sessions`, of a study that has more
    (as far as the caller may see it) nothing is counted: the answer comes at once.
    """
    wanted, most = await wanted_of(call, call.query), call.query.most_sessions
    counts = most is None or await call.connection.scalar(select_has_no_more(wanted, most)) is True
    counted: dict[tuple[str, str], dict[str, int]] = {}
    if counts:
        async with limited(call, _ADVICE) as connection:
            for task, score, visit, n in await connection.execute(select_counts(wanted)):
                counted.setdefault((task, score), {})[visit] = n
        visits = await _ordered(
            call, call.query.study, {visit for found in counted.values() for visit in found}
        )
    else:
        visits = list(await call.connection.scalars(select_planned_visits(call.query.study)))
    scores = []
    for variable in SCORES.values():
        found = counted.get((variable.task or "", variable.score or ""), {})
        by_visit = {visit: found[visit] for visit in visits if visit in found}
        scores.append(
            ScoreTold(
                variable.name,
                variable.task or "",
                variable.score or "",
                variable.label.en,
                _unit(variable),
                by_visit,
            )
        )
    return Scores(call.query.study, await _standing(call, wanted), visits, scores, counts)


async def get_descriptions(call: Call[DescriptionsQuery, Nothing]) -> Descriptions:
    """Describe the sample at each visit: n, mean, standard deviation, quartiles, and with `bins` how its
    values are distributed.
    """
    query, asked = call.query, await _asked(call)
    statement = select_descriptions(*asked, include_flagged=query.include_flagged, bins=query.bins)
    async with limited(call, _ADVICE) as connection:
        rows = (await connection.execute(statement)).all()
    told = {row.visit: _visit(row, query.bins) for row in rows if row.visit is not None}
    visits = [told[visit] for visit in await _ordered(call, query.study, told)]
    return Descriptions(await _told(call, *asked, rows[0]), visits, list(rows[0].edges or ()))


async def get_retest(call: Call[RetestQuery, Nothing]) -> RetestTold:
    """Say what a score does between two visits: practice effect, Pearson's r and ICC(2,1), with intervals.

    Of those who were measured at both. A group that was treated in between shows both together.
    """
    query, asked, pairs = call.query, await _asked(call), None
    flagged = query.include_flagged
    async with limited(call, _ADVICE) as connection:
        between = _named_visits(query)
        if between is None:
            statement = select_visits(*asked, include_flagged=flagged)
            visits = await _ordered(call, query.study, (await connection.scalars(statement)).all())
            if len(visits) < 2:
                raise InvalidRequest(
                    f"{query.study} has not two visits with this score: say which with first and second.",
                    details={"visits": visits},
                )
            between = visits[0], visits[1]
        moments = select_moments(*asked, between, include_flagged=flagged, cells=query.cells)
        row = (await connection.execute(moments)).one()
        if query.pairs:
            rows = await connection.execute(select_pairs(*asked, between, include_flagged=flagged))
            pairs = [(first, second) for first, second in rows]
    found = retest_of_moments(PairMoments(*(getattr(row, name) for name in PairMoments._fields)), *between)
    return RetestTold(
        await _told(call, *asked, row),
        found.first,
        found.second,
        found.practice_effect,
        found.pearson,
        found.icc,
        pairs,
        _grid(row, query.cells),
    )


async def get_participant(call: Call[ParticipantQuery, Nothing]) -> ParticipantTold:
    """Say where a participant stands in the study's sample, and whether they have changed beyond its error.

    The participant is in the sample. Of fewer than `smallest_sample` participants nothing is said of anybody:
    `why_not` says so.
    """
    query, shown = call.query, call.path("participant")
    read = await _read(call)
    audience = Audience.IDENTIFIED if query.identified else Audience.DEIDENTIFIED
    if query.identified:
        await _put_on_record(call, read.wanted, shown)
    statement = select_participant(shown, audience, read.wanted)
    participant = await call.connection.scalar(statement)
    visits = [visit for visit in read.visits if participant in read.sample.values[visit]]
    if participant is None or not visits:
        raise NotFound(f"No participant {shown} was measured in {query.study}.")
    between = _two_visits(query, read)
    change = None
    if between is not None:
        change = await asyncio.to_thread(change_of, read.sample, participant, *between)
    standings = [standing_of(read.sample, participant, visit) for visit in visits]
    return ParticipantTold(read.told, shown, standings, change)


async def wanted_of(call: Call[Any, Any], query: StudyQuery) -> Wanted:
    """What is asked for, as far as the caller may see it. Raises InvalidRequest, NotFound, NotAllowed."""
    named = None
    if query.sites is not None:
        named = [site.strip() for site in query.sites.split(",") if site.strip()]
        if not named:
            raise InvalidRequest("sites names one site at least.", details={"parameter": "sites"})
    sites = reached_sites(call.caller, "research.read", query.study, named)
    await require_study(call, query.study)
    return Wanted(query.study, sites)


async def _put_on_record(call: Call[ParticipantQuery, Nothing], wanted: Wanted, participant: str) -> None:
    """That somebody was asked for by their code. Raises NotAllowed."""
    study = call.query.study
    require_all(call.caller, "research.identified", study, wanted.sites)
    entry = audited(
        call.request,
        call.caller.person,
        action="research.read_identified",
        entity="participant",
        entity_id=f"{study}/{participant}",
        study=study,
    )
    # Reads have no transaction to write in, and nobody reads what is not on record.
    async with call.request.app[ENGINE].begin() as connection:
        await connection.execute(record_entry(entry))


async def _asked(call: Call[Any, Nothing]) -> tuple[Variable, Wanted]:
    """Which score, and of what. Raises InvalidRequest, NotFound, NotAllowed."""
    name = call.path("score")
    wanted = await wanted_of(call, call.query)
    if name not in SCORES:
        raise NotFound(f"There is no score {name}: GET /api/research/statistics lists them.")
    return SCORES[name], wanted


def _visit(row: Any, bins: int) -> VisitTold:
    """A row of `select_descriptions`."""
    lower, median, upper = row.quartiles or (None, None, None)
    counts = [0] * (bins if row.edges else 0)
    for bucket, people in zip(row.buckets or (), row.people or (), strict=True):
        counts[bucket - 1] = people
    missing = row.total - row.n
    return VisitTold(
        n=row.n,
        missing=missing,
        mean=row.mean,
        sd=row.sd,
        median=median,
        lower_quartile=lower,
        upper_quartile=upper,
        visit=row.visit,
        bins=counts,
    )


def _grid(row: Any, cells: int) -> Grid | None:
    if not cells or row.cells is None:
        return None
    places = [divmod(cell, cells + 1) for cell in sorted(row.cells)]
    return Grid(row.low, row.high, places)


async def _told(call: Call[Any, Nothing], variable: Variable, wanted: Wanted, row: Any) -> SampleTold:
    """Of a row that begins with the fields of LeftOut, and scoring versions."""
    return await _sample(
        call,
        variable,
        wanted,
        LeftOut(row.not_completed, row.without_visit, row.flagged, row.repeated),
        row.versions or (),
    )


async def _sample(
    call: Call[Any, Nothing], variable: Variable, wanted: Wanted, left_out: LeftOut, versions: Sequence[int]
) -> SampleTold:
    query: SampleQuery = call.query
    return SampleTold(
        study=query.study,
        sites=await _standing(call, wanted),
        score=variable.name,
        label=variable.label.en,
        unit=_unit(variable),
        include_flagged=query.include_flagged,
        scoring_versions=list(versions),
        left_out=left_out,
        smallest_sample=SMALLEST_SAMPLE,
    )


async def _read(call: Call[Any, Nothing]) -> _Read:
    query: SampleQuery = call.query
    variable, wanted = await _asked(call)
    async with limited(call, _ADVICE) as connection:
        rows = (await connection.execute(select_measurements([variable], wanted))).all()
    # Thousands of rows and sums over them: not in the loop that serves everybody.
    sample = await asyncio.to_thread(_chosen, rows, include_flagged=query.include_flagged)
    told = await _sample(call, variable, wanted, sample.left_out, sample.scoring_versions)
    return _Read(wanted, told, sample, await _ordered(call, query.study, sample.values))


def _chosen(rows: Any, *, include_flagged: bool) -> Sample:
    return choose((Measurement(*row[2:]) for row in rows), include_flagged=include_flagged)


async def _standing(call: Call[Any, Any], wanted: Wanted) -> list[SiteStanding]:
    return [SiteStanding(*row) for row in await call.connection.execute(select_standing(wanted))]


async def _ordered(call: Call[Any, Any], study: str, visits: Any) -> list[str]:
    planned = (await call.connection.scalars(select_planned_visits(study))).all()
    return in_order(visits, planned)


def _two_visits(query: VisitsQuery, read: _Read) -> tuple[str, str] | None:
    """Those that are meant; None: there are none to choose from. Raises InvalidRequest."""
    visits = [visit for visit in read.visits if read.sample.has_value(visit)]
    return _named_visits(query) or ((visits[0], visits[1]) if len(visits) > 1 else None)


def _named_visits(query: VisitsQuery) -> tuple[str, str] | None:
    """None: neither is named. Raises InvalidRequest."""
    if query.first is not None and query.second is not None:
        if query.first == query.second:
            raise InvalidRequest("first and second are two visits.", details={"parameter": "second"})
        return query.first, query.second
    if (query.first is None) != (query.second is None):
        missing = "first" if query.first is None else "second"
        raise InvalidRequest("Say both, first and second, or neither.", details={"parameter": missing})
    return None


def _unit(variable: Variable) -> str | None:
    return None if variable.unit is None else variable.unit.value


_ONE = "/api/research/statistics/{score}"

ROUTES: list[Route] = [
    get("/api/research/statistics", list_scores, right="research.read"),
    get(_ONE, get_descriptions, right="research.read"),
    get(f"{_ONE}/retest", get_retest, right="research.read"),
    get(f"{_ONE}/participants/{{participant}}", get_participant, right="research.read"),
]
