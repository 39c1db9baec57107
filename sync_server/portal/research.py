"""Research: a study's scores with plots, practice effect and retest, quality; the dictionary; the policy.

| what happens | what is shown |
|---|---|
| nobody was measured yet | that, and where the data would come from |
| fewer than two visits with the score | the distribution, and that there is no change to show |
| a score, a site, a visit that there is not | the API's sentence, with its status |
| several scoring versions in one sample | that, above the numbers |
| more than `AT_ONCE` sessions | the page without numbers, at once; its script asks for them, or a link does |
| … and they take too long, or many are asked for | that, and "try again" |
"""

import math
from typing import Any, Final

import msgspec

from sync_server.api.parameters import Text
from sync_server.api.research_answers import ResearchPage
from sync_server.errors import InvalidRequest, NotFound
from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.forms import Field, Form
from sync_server.portal.pages import Look, Page, Paged, Values
from sync_server.portal.plots import CELLS, bar, histogram, scatter
from sync_server.portal.study_pages import STUDY

STUDIES = api("GET", "/api/studies")
DICTIONARY = api("GET", "/api/research")
DATASET = api("GET", "/api/research/{dataset}")
SCORES = api("GET", "/api/research/statistics")
DESCRIPTIONS = api("GET", "/api/research/statistics/{score}")
RETEST = api("GET", "/api/research/statistics/{score}/retest")
POLICY = api("GET", "/api/studies/{study}/research-policy")

BELOW: Final = f"{PATH}/research/{{study}}"
AT_ONCE: Final = 20_000
"""Sessions: the numbers of more come after the page."""
_FEWEST_BINS: Final = 6
_MOST_BINS: Final = 24

CHANGE_POLICY = Form(
    name="change_policy",
    calls=api("PUT", "/api/studies/{study}/research-policy"),
    fields=(
        Field("participants", "choice", choices=("pseudonym", "code"), hint=True),
        Field("dates", "choice", choices=("shifted", "days", "actual"), hint=True),
        Field("shift_days", "number", minimum=1, maximum=3650, hint=True),
        Field("new_pseudonyms", "check", required=False, hint=True),
    ),
    versioned=True,
    danger=True,
    shows="research/policy.html",
)


class ScoreFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which score, of which sessions, and between which visits; without: the first that there are."""

    score: Text | None = None
    site: Text | None = None
    flagged: Text | None = None
    first: Text | None = None
    second: Text | None = None


class CodebookFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which dataset, and what a column is to be about."""

    dataset: Text = "sessions_wide"
    q: Text | None = None


async def studies(look: Look) -> Values:
    """Studies whose results somebody may read."""
    return {"listed": await look.ask(STUDIES, page=look.filters.page)}


async def scores(look: Look) -> Values:
    """One score: its distribution, what changes between visits, quality."""
    wanted: ScoreFilters = look.filters
    row = await look.ask(STUDY)
    of: dict[str, Any] = {"study": row.code, "sites": wanted.site}
    listed = await look.ask(SCORES, most_sessions=None if look.may_take_long else AT_ONCE, **of)
    everywhere = listed
    if wanted.site is not None:
        everywhere = await look.ask(SCORES, study=row.code, most_sessions=0)
    measured = [each for each in listed.scores if each.participants]
    name = wanted.score or (measured[0].name if measured else None)
    if name is not None and all(name != each.name for each in listed.scores):
        raise NotFound(f"There is no score {name[:80]}.")
    labels = await _labels(look)
    values: dict[str, Any] = {
        "row": row,
        "listed": listed,
        "measured": measured,
        "score": name,
        "labels": labels,
        "sites": [(each.site, each.site) for each in everywhere.sites],
        "described": None,
        "retest": None,
        "plots": [],
        "dots": None,
        "quality": [],
    }
    if not listed.counted:
        return values
    values["quality"] = await _quality(look, row.code, wanted.site)
    if name is None:
        return values
    of["include_flagged"] = True if wanted.flagged else None
    described = await look.ask(DESCRIPTIONS, path={"score": name}, bins=_bins(listed, name), **of)
    highest = max((count for visit in described.visits for count in visit.bins), default=0)
    plots = [
        (
            visit,
            histogram(
                described.edges,
                visit.bins,
                highest,
                (visit.lower_quartile, visit.median, visit.upper_quartile),
            ),
        )
        for visit in described.visits
        if visit.n
    ]
    retest = await _retest(look, name, of, described)
    grid = None if retest is None else retest.grid
    dots = None if grid is None else scatter(grid.low, grid.high, grid.cells)
    return {**values, "described": described, "retest": retest, "plots": plots, "dots": dots}


def _bins(listed: Any, score: str) -> int:
    """As many as a sample of this size fills (Rice's rule), of the visit with most people."""
    counts = [n for each in listed.scores if each.name == score for n in each.participants.values()]
    people = max(counts, default=0)
    return min(max(round(2 * math.cbrt(people)), _FEWEST_BINS), _MOST_BINS)


async def _labels(look: Look) -> dict[str, str]:
    """What scores are called, in the reader's language."""
    told = await look.ask(DICTIONARY, language=look.texts.language)
    wide = next(each for each in told.datasets if each.name == "sessions_wide")
    return {each.name: each.label for each in wide.variables}


async def _retest(look: Look, score: str, of: dict[str, Any], described: Any) -> Any:
    """Between two visits; None where there are not two that have the score."""
    wanted: ScoreFilters = look.filters
    first, second = wanted.first, wanted.second
    if first is None and second is None:
        # The API would find them too, by reading all measurements once more.
        visits = [each.visit for each in described.visits if each.n]
        if len(visits) < 2:
            return None
        first, second = visits[:2]
    try:
        return await look.ask(RETEST, path={"score": score}, cells=CELLS, first=first, second=second, **of)
    except InvalidRequest:
        return None


async def _quality(look: Look, study: str, site: str | None) -> list[tuple[dict[str, Any], float]]:
    """Flags by level and rule, with the length of a bar each; the most frequent first."""
    answered = await look.ask(
        DATASET,
        path={"dataset": "quality"},
        study=study,
        site=site,
        group_by="level,code",
        aggregate="count",
    )
    found = msgspec.json.decode(answered.body, type=ResearchPage).data
    rows = sorted(found, key=lambda each: (-each["count"], each["code"]))
    highest = max((each["count"] for each in rows), default=0)
    return [(each, bar(each["count"], highest)) for each in rows]


async def codebook(look: Look) -> Values:
    """What the columns of a dataset are and mean."""
    wanted: CodebookFilters = look.filters
    row = await look.ask(STUDY)
    told = await look.ask(DICTIONARY, language=look.texts.language)
    found = next((each for each in told.datasets if each.name == wanted.dataset), None)
    if found is None:
        raise NotFound(f"There is no dataset {wanted.dataset[:80]}.")
    sought = (wanted.q or "").casefold()
    shown = [each for each in found.variables if sought in f"{each.name} {each.label}".casefold()]
    datasets = [(each.name, each.label) for each in told.datasets]
    return {"row": row, "dataset": found, "variables": shown, "datasets": datasets}


async def policy(look: Look) -> Values:
    """How the study shows participants and dates."""
    row = await look.ask(STUDY)
    try:
        found = await look.ask(POLICY)
    except NotFound:
        found = None
    if found is not None:
        look.fill(
            CHANGE_POLICY,
            found.row_version,
            participants=found.participants,
            dates=found.dates,
            shift_days=found.shift_days,
        )
    else:
        look.fill(CHANGE_POLICY, 0, shift_days=180)
    return {"row": row, "policy": found, "answer": None}


PAGES = [
    Page(
        name="research",
        path=f"{PATH}/research",
        template="research/studies.html",
        view=studies,
        reads=(STUDIES, DICTIONARY),
        filters=Paged,
    ),
    Page(
        name="scores",
        path=BELOW,
        template="research/scores.html",
        view=scores,
        reads=(STUDY, DICTIONARY, DATASET, SCORES, DESCRIPTIONS, RETEST),
        filters=ScoreFilters,
        later=("results",),
        area="research",
    ),
    Page(
        name="codebook",
        path=f"{BELOW}/codebook",
        template="research/codebook.html",
        view=codebook,
        reads=(STUDY, DICTIONARY),
        filters=CodebookFilters,
        area="research",
    ),
    Page(
        name="policy",
        path=f"{BELOW}/policy",
        template="research/policy.html",
        view=policy,
        reads=(STUDY, POLICY),
        forms=(CHANGE_POLICY,),
        area="research",
    ),
]
