"""`/api/redcap/mappings`: which sessions of a study go to which form, and which values to which fields.

A mapping is checked with the live dictionary of every project that the study is connected with, before it can
be saved. Saving it enters all sessions of the study again: what they are by the new mapping is brought about.

| what happens | answer |
|---|---|
| the text is no mapping | 422, with path and hint |
| it does not fit a project | 422, `details.projects` with every problem's path, message and hint |
| a project cannot be asked | 503, nothing is saved |
| the study has no connection | 409 `not_possible` |
| another mapping was saved since it was read | 412; without If-Match 428 |
| another key while sessions are in the project | 409 `not_possible`: they would be there twice |
| another study has the key | 409 `taken` |
| the process dies before the commit | nothing is saved, no session is entered |
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reporting.audit import record_entry
from reporting.redcap.mapping import Mapping
from reporting.redcap.mapping_rows import (
    MappingRow,
    forget_projects,
    has_sessions_under,
    insert_mapping,
    resume_where_checked,
    select_mapping_row,
    select_other_study_of,
    update_mapping,
)
from reporting.redcap.mapping_text import CannotRead, as_yaml, kept, read_mapping
from reporting.redcap.projects import store_dictionary
from reporting.redcap.requests import resync
from sync_server.api.acts import Reason, audited
from sync_server.api.call import Call, Nothing
from sync_server.api.redcap_parts import redcaps_of
from sync_server.api.route import Route, get, post, put
from sync_server.api.study_rows import require_study
from sync_server.errors import InvalidRequest, NotFound, NotPossible, PreconditionFailed, Taken, Unavailable
from sync_server.keys import SETTINGS
from sync_server.redcap.checking_study import Checked, check, read_known
from sync_server.redcap.client import About
from sync_server.redcap.connections import Chosen
from sync_server.redcap.study_connections import connections_of

_Text = Annotated[str, Meta(min_length=1, max_length=200_000)]


class GivenMapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mapping: an object, or a text in YAML or JSON."""

    mapping: dict[str, Any] | _Text
    reason: Reason | None = None


class CheckedMapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mapping that is to be checked; without one, the study's own."""

    mapping: dict[str, Any] | _Text | None = None


class SavedMapping(MappingRow, frozen=True, kw_only=True):
    """A study's mapping; `text`: the same in YAML, to be edited."""

    text: str


class CheckReport(msgspec.Struct, frozen=True):
    """Whether the mapping fits every project, and what is wrong with each."""

    fits: bool
    projects: list[Checked]


async def get_mapping(call: Call[Nothing, Nothing]) -> SavedMapping:
    """The study's mapping, as JSON and as YAML."""
    study = call.path("study")
    call.caller.require("redcap.read", study)
    row = (await call.connection.execute(select_mapping_row(study))).one_or_none()
    if row is None:
        raise NotFound(f"{study} has no mapping.")
    return _saved(MappingRow(*row))


async def put_mapping(call: Call[Nothing, GivenMapping]) -> SavedMapping:
    """Save a mapping that fits every project of the study; all of its sessions are entered again.

    The first one needs no If-Match.
    """
    study = call.path("study")
    call.caller.require("redcap.manage", study)
    before = await _before(call, study)
    mapping = _read(call.body.mapping)
    checked = await _checked(call, study, mapping)
    told = [each for each, _ in checked]
    away = [each for each in told if each.unreachable is not None]
    if any(each.problems for each in told):
        raise InvalidRequest(_sentence(told), details={"projects": msgspec.to_builtins(told)})
    if away:
        raise Unavailable(f"{away[0].project} cannot be asked: {away[0].unreachable}")
    return await _save(call, study, before, mapping, checked)


async def check_mapping(call: Call[Nothing, CheckedMapping]) -> CheckReport:
    """Check a mapping with the live dictionaries, and save nothing. Without one, the study's own is checked:
    where it fits again, projects that waited for that go on.
    """
    study, given = call.path("study"), call.body.mapping
    call.caller.require("redcap.read" if given is not None else "redcap.manage", study)
    await require_study(call, study)
    if given is None:
        row = (await call.connection.execute(select_mapping_row(study))).one_or_none()
        if row is None:
            raise NotFound(f"{study} has no mapping.")
        given = MappingRow(*row).definition
    mapping = _read(given)
    checked = await _checked(call, study, mapping)
    report = CheckReport(all(each.fits for each, _ in checked), [each for each, _ in checked])
    if call.body.mapping is None:
        for each, about in checked:
            if each.fits and about is not None and await _pin(call, study, each, about):
                await call.connection.execute(resync(study, site=each.site))
                told = {"project": each.project, "goes_on": True}
                await call.record("redcap_mapping.check", "redcap_mapping", study, study=study, after=told)
        await call.connection.commit()
    return report


async def _before(call: Call[Any, Any], study: str) -> MappingRow | None:
    await require_study(call, study)
    row = (await call.connection.execute(select_mapping_row(study))).one_or_none()
    if row is None:
        return None
    before = MappingRow(*row)
    call.match(before.row_version)
    return before


def _read(given: dict[str, Any] | str) -> Mapping:
    try:
        return read_mapping(given)
    except CannotRead as error:
        details = {"path": error.path, "message": error.message, "hint": error.hint}
        raise InvalidRequest(f"{error.path}: {error.message}", details=details) from error


async def _checked(call: Call[Any, Any], study: str, mapping: Mapping) -> list[tuple[Checked, About | None]]:
    """With nothing open in Postgres while REDCap is asked. Raises NotPossible."""
    configs = call.request.app[SETTINGS].site_configs
    chosen: list[Chosen] = await connections_of(call.connection, study, configs)
    known = await read_known(call.connection, study)
    await call.connection.rollback()
    if not chosen:
        raise NotPossible(f"{study} has no connection with a REDCap project: make one first.")
    return await check(mapping, chosen, known, redcaps_of(call))


async def _save(
    call: Call[Nothing, GivenMapping],
    study: str,
    before: MappingRow | None,
    mapping: Mapping,
    checked: list[tuple[Checked, About | None]],
) -> SavedMapping:
    connection, by = call.connection, call.caller.person.email
    await _require_key(call, study, before, mapping)
    if before is None:
        statement: Any = insert_mapping(study, kept(mapping), by)
    else:
        statement = update_mapping(study, kept(mapping), by, row_version=before.row_version)
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise PreconditionFailed("Another mapping was saved meanwhile: read it again.")
    for each, about in checked:
        if about is not None:
            await _pin(call, study, each, about)
    await connection.execute(resync(study))
    entry = audited(
        call.request,
        call.caller.person,
        action="redcap_mapping.create" if before is None else "redcap_mapping.update",
        entity="redcap_mapping",
        entity_id=study,
        study=study,
        reason=call.body.reason,
        before=None if before is None else before.definition,
        after=kept(mapping),
    )
    await connection.execute(record_entry(entry))
    await connection.commit()
    return _saved(MappingRow(*row))


async def _pin(call: Call[Any, Any], study: str, checked: Checked, about: About) -> bool:
    """Whether the project goes on by it."""
    stored = store_dictionary(
        checked.project, study, about.dictionary, title=about.title, version=about.version
    )
    if (await call.connection.execute(stored)).first() is None:
        raise _taken(checked.project.partition("@")[0])
    resumed = await call.connection.execute(resume_where_checked(checked.project))
    return resumed.rowcount > 0


async def _require_key(call: Call[Any, Any], study: str, before: MappingRow | None, mapping: Mapping) -> None:
    key = mapping.project.key
    if await call.connection.scalar(select_other_study_of(key, study)) is not None:
        raise _taken(key)
    old = None if before is None else before.definition["project"]["key"]
    if old is None or old == key:
        return
    if await call.connection.scalar(has_sessions_under(old, study)):
        raise NotPossible(
            f"Sessions are in {old}: with another key they would be there twice.",
            details={"path": "$.project.key"},
        )
    await call.connection.execute(forget_projects(study, old))


def _taken(key: str) -> Taken:
    return Taken(f"Another study has the project key {key}.", details={"path": "$.project.key"})


def _saved(row: MappingRow) -> SavedMapping:
    return SavedMapping(**msgspec.structs.asdict(row), text=as_yaml(read_mapping(row.definition)))


def _sentence(told: list[Checked]) -> str:
    first = next(each for each in told if each.problems)
    problem = first.problems[0]
    count = sum(len(each.problems) for each in told)
    more = "" if count == 1 else f" (and {count - 1} more)"
    return f"The mapping does not fit {first.project}: {problem.path}: {problem.message}{more}"


_PATH = "/api/redcap/mappings/{study}"

ROUTES: list[Route] = [
    get(_PATH, get_mapping, right="redcap.read"),
    put(_PATH, put_mapping, right="redcap.manage", transaction=False, errors=(409, 412, 428)),
    post(f"{_PATH}/check", check_mapping, right="redcap.read", transaction=False, errors=(409,)),
]
