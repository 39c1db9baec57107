"""`/api/research`: datasets of one study, filtered, a page at a time or summed up.

Everybody with a role in a study may read its datasets, de-identified as the study's policy says; who may see
codes and dates asks for them with `identified=true`, and that is on record. What somebody may read of one
site only is of that site.

| what happens | answer |
|---|---|
| a condition, a column or an aggregate is not understood | 422, what is wrong, and which there are |
| a cursor is of another query, from before a change of the policy, or no cursor | 422 |
| the study has no policy of de-identification yet | it gets the one of who has said nothing else |
| it takes longer than `RESEARCH_STATEMENT_SECONDS` | 422 `too_expensive` |
| a person asks several at once | 429 from the fifth on: each holds a connection of the pool |
| a kind of answer is asked for that there is not | 406 |
| a session is replaced between two pages | a page shows rows of one moment, two pages of two |
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.audit import record_entry
from reporting.queries.snapshot import snapshot
from reporting.research.aggregates import MOST_GROUPS, Summary, read_summary, split, summarise
from reporting.research.audience import Audience, Wanted
from reporting.research.datasets import DATASETS, find_dataset
from reporting.research.filters import NoSuchFilter, chosen_variables, period, read_filters
from reporting.research.keyset import Cursor, decode, encode
from reporting.research.pages import read_page
from reporting.research.policy import make_policy
from reporting.research.query import Dates, Prepared, Question, prepare, select_dates
from reporting.research.standing import SiteStanding, select_standing
from reporting.research.variables import Dataset, Language
from reporting.scope import Scope
from reporting.steps import perform_on
from sync_server.api.acts import audited
from sync_server.api.call import Call, Nothing
from sync_server.api.parameters import Text
from sync_server.api.research_answers import (
    ARROW,
    CSV,
    NDJSON,
    Column,
    Found,
    ResearchPage,
    answer_of,
    kind_wanted,
)
from sync_server.api.research_dictionary import Dictionary, dictionary
from sync_server.api.route import get
from sync_server.api.statement_limit import giving_up
from sync_server.api.study_rows import require_study
from sync_server.errors import InvalidRequest, NotFound
from sync_server.keys import ENGINE, SEALER
from sync_server.policy import Right
from sync_server.sealing import CannotOpen

MOST_ROWS: Final = 10_000
_NARROW: Final = "Narrow it down: by participant, visit, site, or from and to. Whole datasets are exports."
_Names = Annotated[str, Meta(min_length=1, max_length=5000)]


class DictionaryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Language of labels."""

    language: Language = "en"


class ResearchQuery(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """`from` and `to`, both included: when sessions began, visits are due, participants were enrolled: a time
    with its zone, or a whole date (UTC). Every other parameter is a condition on a column.
    """

    study: Text
    from_: Text | None = None
    to: Text | None = None
    columns: Annotated[_Names, Meta(description="names, comma-separated")] | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = 1000
    cursor: Annotated[str, Meta(min_length=1, max_length=5000)] | None = None
    group_by: Annotated[_Names, Meta(description="names, comma-separated")] | None = None
    aggregate: Annotated[_Names, Meta(description="count, mean:rt_ms, p10:rt_ms, …")] | None = None
    identified: bool = False


async def get_dictionary(call: Call[DictionaryQuery, Nothing]) -> Dictionary:
    """Read which datasets there are, and what their columns are and mean."""
    return dictionary(call.query.language)


async def get_dataset(call: Call[ResearchQuery, Nothing]) -> ResearchPage | web.StreamResponse:
    """Read rows of a dataset, or groups of them.

    Conditions are further parameters: `task=stroop`, `task.in=stroop,simon`, `rt_ms.gte=200`,
    `rt_ms.lt=2000`, `visit.null=false`; `GET /api/research` says which columns and operators there are.
    `group_by=task,condition&aggregate=count,mean:rt_ms,sd:rt_ms,p10:rt_ms` answers a row a group.
    Rows come in pages: as long as there is a `next`, ask again with `cursor=<next>`; a page may be short or
    empty and not be the last. By `Accept`: JSON, NDJSON, CSV, Arrow; there, `next` is the header
    `Research-Next`, and how complete the data are stands in `Complete-Through`, `Outstanding-Documents` and
    `Quarantined-Documents`. `identified=true` shows codes and dates to those who may see them, on record.
    """
    query = call.query
    kind = kind_wanted(call.headers.getall("Accept", []))
    dataset = find_dataset(call.path("dataset"))
    if dataset is None:
        raise NotFound(f"There is no such dataset; there are {', '.join(DATASETS)}.")
    right: Right = "research.identified" if query.identified else "research.read"
    scope = call.caller.scope(right)
    if not scope.sees_study(query.study):
        call.caller.require(right, query.study)
    with _understood():
        question = _question(call, dataset, scope)
        summary = read_summary(dataset, query.group_by, query.aggregate)
        columns = _columns(dataset, query.columns)
    cursor = _cursor(call, summary)
    if query.identified:
        await require_study(call, query.study)
        await _put_on_record(call, dataset)
    async with _connection(call, question) as (connection, dates):
        with _understood():
            prepared = await perform_on(connection, prepare(question, dates))
        if cursor is not None and cursor.question != prepared.fingerprint:
            raise _other_cursor()
        found = await connection.execute(select_standing(question.wanted))
        sites = [SiteStanding(*row) for row in found]
        if summary is not None:
            return answer_of(await _summed_up(connection, prepared, summary, sites), kind)
        page = await perform_on(
            connection,
            read_page(
                prepared,
                [each.name for each in columns],
                query.limit,
                None if cursor is None else cursor.position,
            ),
        )
    following = None
    if page.next is not None:
        sealed = call.request.app[SEALER].seal(encode(Cursor(prepared.fingerprint, page.next)))
        following = sealed.decode()
    return answer_of(Found(columns, page.rows, following, sites), kind)


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except NoSuchFilter as error:
        raise InvalidRequest(str(error), details=error.details) from error


def _question(call: Call[ResearchQuery, Nothing], dataset: Dataset, scope: Scope) -> Question:
    query = call.query
    known = {field.encode_name for field in msgspec.structs.fields(ResearchQuery)}
    given = [(name, value) for name, value in call.asked if name not in known]
    filters = (*read_filters(dataset, given), *period(dataset, query.from_, query.to))
    parts = [part for part in scope.parts if part.study in (None, query.study)]
    sites = None
    if all(part.site is not None for part in parts):
        sites = tuple(sorted({part.site for part in parts if part.site is not None}))
    audience = Audience.IDENTIFIED if query.identified else Audience.DEIDENTIFIED
    return Question(dataset, audience, Wanted(query.study, sites), filters)


def _columns(dataset: Dataset, names: str | None) -> list[Column]:
    chosen = chosen_variables(dataset, None if names is None else split(names))
    return [Column(each.name, each.type) for each in chosen]


def _cursor(call: Call[ResearchQuery, Nothing], summary: Summary | None) -> Cursor | None:
    sealed = call.query.cursor
    if sealed is None:
        return None
    if summary is not None:
        raise InvalidRequest("cursor: groups come in one answer.", details={"parameter": "cursor"})
    try:
        return decode(call.request.app[SEALER].open(sealed.encode()))
    except (CannotOpen, msgspec.MsgspecError) as error:
        raise _other_cursor() from error


def _other_cursor() -> InvalidRequest:
    return InvalidRequest(
        "cursor: it is the `next` of another query, or from before the study's policy was changed, or no"
        " cursor of this server: begin without one.",
        details={"parameter": "cursor"},
    )


async def _put_on_record(call: Call[ResearchQuery, Nothing], dataset: Dataset) -> None:
    """What was asked, without values: they may be participants' codes."""
    query = call.query
    asked = {"dataset": dataset.name, "parameters": sorted({name for name, _ in call.asked})}
    entry = audited(
        call.request,
        call.caller.person,
        action="research.read_identified",
        entity="study",
        entity_id=query.study,
        study=query.study,
        after=asked,
    )
    async with call.request.app[ENGINE].begin() as connection:
        await connection.execute(record_entry(entry))


@asynccontextmanager
async def _connection(
    call: Call[ResearchQuery, Nothing], question: Question
) -> AsyncIterator[tuple[AsyncConnection, Dates]]:
    """One moment of a database in which the study has a policy, and what that says of dates; what takes too
    long there is given up.
    """
    app, study = call.request.app, question.wanted.study
    async with giving_up(call, _NARROW) as limit:
        dates = await _dates(call.connection, study)
        if dates.dates is not None or question.audience is Audience.IDENTIFIED:
            await limit(call.connection)
            yield call.connection, dates
            return
        async with app[ENGINE].begin() as connection:
            await connection.execute(make_policy(study))
        async with snapshot(app[ENGINE]) as connection:
            await limit(connection)
            yield connection, await _dates(connection, study)


async def _dates(connection: AsyncConnection, study: str) -> Dates:
    row = (await connection.execute(select_dates(study))).one_or_none()
    if row is None:
        raise NotFound(f"There is no study {study}.")
    return Dates(*row)


async def _summed_up(
    connection: AsyncConnection, prepared: Prepared, summary: Summary, sites: list[SiteStanding]
) -> Found:
    found: Any = (await connection.execute(summarise(prepared, summary))).all()
    if len(found) > MOST_GROUPS:
        raise InvalidRequest(
            f"These are more than {MOST_GROUPS} groups: group by less, or ask for rows.",
            details={"parameter": "group_by"},
        )
    columns = [Column(each.name, each.type) for each in summary.group_by]
    columns += [Column(each.name, each.type) for each in summary.aggregates]
    return Found(columns, found, None, sites)


ROUTES = [
    get("/api/research", get_dictionary, right="research.read"),
    get(
        "/api/research/{dataset}",
        get_dataset,
        right="research.read",
        errors=(406,),
        takes_filters=True,
        also_produces=(NDJSON, CSV, ARROW),
    ),
]
