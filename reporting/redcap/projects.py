"""REDCap projects that mappings are used with: their dictionaries, and what pauses them. Statements.

| cause of a pause | ends |
|---|---|
| `person` | a person resumes it |
| `rights`: the token, or a right that is missing | a person mends it and resumes |
| `dictionary`: it changed, and the mapping does not fit any more | the mapping is saved or checked again |
| `mapping`: it never fitted | the mapping is saved again |

Sessions of a paused project wait in the outbox; `requests.resync` enters them when it goes on.
"""

from typing import Any, Literal

import msgspec
from sqlalchemy import Integer, Select, Update, cast, func, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from reporting.redcap.dictionary import Dictionary
from reporting.redcap.mapping import Mapping
from reporting.tables import redcap_mappings, redcap_projects

Cause = Literal["person", "rights", "dictionary", "mapping"]


class ProjectRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a project. `dictionary_sha256` is what the mapping was checked with."""

    project: str
    study: str
    title: str
    dictionary: Dictionary | None
    dictionary_sha256: bytes | None
    paused_cause: str | None
    paused_reason: str | None
    is_paused: bool


def project_key(mapping: Mapping, site: str | None) -> str:
    """A project as the ledger names it; `site` where the connection is that site's own."""
    key = mapping.project.key
    return key if site is None else f"{key}@{site}"


def site_of(project: str) -> str | None:
    """Whose project it is; None: the whole study's."""
    return project.partition("@")[2] or None


def select_mapping(study: str) -> Select[Any]:
    """Statement: the study's mapping, as JSON."""
    return select(redcap_mappings.c.definition).where(redcap_mappings.c.study == study)


def read_mapping(definition: Any) -> Mapping:
    """From a row's JSON. Raises msgspec.ValidationError: it was saved by another version of this system."""
    return msgspec.convert(definition, Mapping)


def select_project(project: str) -> Select[*tuple[Any, ...]]:
    """Statement: see `project_row`."""
    p = redcap_projects.c
    return select(
        p.project,
        p.study,
        p.title,
        p.dictionary,
        p.dictionary_sha256,
        p.paused_cause,
        p.paused_reason,
        p.paused_at.is_not(None),
    ).where(p.project == project)


def project_row(row: Any) -> ProjectRow:
    """A row of `select_project`."""
    project, study, title, dictionary, digest, cause, reason, paused = row
    return ProjectRow(
        project=project,
        study=study,
        title=title,
        dictionary=None if dictionary is None else msgspec.convert(dictionary, Dictionary),
        dictionary_sha256=digest,
        paused_cause=cause,
        paused_reason=reason,
        is_paused=paused,
    )


def store_dictionary(
    project: str, study: str, dictionary: Dictionary, *, title: str = "", version: str | None = None
) -> ReturningInsert[str]:
    """Statement: the mapping was checked with this dictionary, and fits. No row: it is another study's."""
    told: dict[str, Any] = {
        "study": study,
        "dictionary": msgspec.to_builtins(dictionary),
        "dictionary_sha256": dictionary.sha256(),
        "checked_at": func.now(),
    }
    if title:
        told["title"] = title
    if version is not None:
        told["redcap_version"] = version
    made = insert(redcap_projects).values(project=project, **told)
    p = redcap_projects.c
    kept = made.on_conflict_do_update(index_elements=["project"], set_=told, where=p.study == study)
    return kept.returning(p.project)


def pause(project: str, study: str, cause: Cause, reason: str) -> ReturningInsert[Any]:
    """Statement: nothing is pushed or pulled until it is resumed. No row: it is paused already."""
    told = {"paused_at": func.now(), "paused_cause": cause, "paused_reason": reason[:2000]}
    p = redcap_projects.c
    made = insert(redcap_projects).values(project=project, study=study, **told)
    return made.on_conflict_do_update(
        index_elements=["project"], set_=told, where=p.paused_at.is_(None)
    ).returning(p.project)


def resume(project: str) -> Update:
    """Statement: it goes on. No row: it was not paused."""
    p = redcap_projects.c
    return (
        update(redcap_projects)
        .where(p.project == project, p.paused_at.is_not(None))
        .values(paused_at=null(), paused_cause=null(), paused_reason=null())
        .returning(p.study)
    )


class ProjectNumbers(msgspec.Struct, frozen=True):
    """A project, and whether it is paused (0 or 1)."""

    project: str
    paused: int


def select_project_numbers() -> Select[*tuple[Any, ...]]:
    """Statement: the fields of ProjectNumbers."""
    p = redcap_projects.c
    return select(p.project, cast(p.paused_at.is_not(None), Integer)).order_by(p.project)
