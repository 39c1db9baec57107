"""Consent forms: a draft for each form of a study, and published versions, which never change.

| what happens | outcome |
|---|---|
| two people publish one draft at once | the draft is locked: two versions, one after the other |
| a version is published that supersedes | consents to older versions count no more, from then on |
| anything changes or removes a published version | Postgres refuses (trigger `consent_forms_never_change`) |
"""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, Update, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from reporting.tables import consent_form_drafts, consent_forms, study_sites

D = consent_form_drafts.c
F = consent_forms.c


class DraftRow(msgspec.Struct, frozen=True):
    """A draft; `texts` are Markdown by language."""

    study: str
    id: str
    title: str
    texts: dict[str, str]
    required: bool
    row_version: int
    created_at: datetime
    updated_at: datetime


class VersionRow(msgspec.Struct, frozen=True):
    """A published version. `supersedes`: consents to older ones do not count any more."""

    study: str
    id: str
    version: int
    title: str
    texts: dict[str, str]
    required: bool
    supersedes: bool
    published_by: str | None
    created_at: datetime


class FormRow(msgspec.Struct, frozen=True):
    """A form of a study: its draft, and its newest published version, if any."""

    study: str
    id: str
    title: str
    required: bool
    languages: list[str]
    row_version: int
    version: int | None
    updated_at: datetime


SORTABLE: dict[str, ColumnElement[Any]] = {"id": D.id, "title": D.title, "updated_at": D.updated_at}


def select_forms() -> Select[*tuple[Any, ...]]:
    """Statement: FormRow columns of all forms."""
    newest = (
        select(func.max(F.version))
        .where(F.study == D.study, F.id == D.id)
        .correlate(consent_form_drafts)
        .scalar_subquery()
    )
    keys = func.jsonb_object_keys(D.texts).column_valued("language")
    languages = select(func.array_agg(keys)).correlate(consent_form_drafts).scalar_subquery()
    return select(
        D.study,
        D.id,
        D.title,
        D.required,
        func.coalesce(languages, func.string_to_array("", ",")),
        D.row_version,
        newest,
        D.updated_at,
    )


def select_draft(study: str, form: str) -> Select[*tuple[Any, ...]]:
    """Statement: DraftRow columns."""
    columns = [consent_form_drafts.c[name] for name in DraftRow.__struct_fields__]
    return select(*columns).where(D.study == study, D.id == form)


def insert_draft(study: str, form: str, values: dict[str, Any]) -> ReturningInsert[Any]:
    """Statement: make a draft; returns its id, or nothing where there is one."""
    return (
        insert(consent_form_drafts)
        .values(study=study, id=form, **values)
        .on_conflict_do_nothing()
        .returning(D.id)
    )


def update_draft(study: str, form: str, values: dict[str, Any]) -> Update:
    """Statement: replace a draft."""
    return (
        update(consent_form_drafts)
        .where(D.study == study, D.id == form)
        .values(**values, row_version=D.row_version + 1, updated_at=func.now())
    )


def select_versions(study: str, form: str) -> Select[*tuple[Any, ...]]:
    """Statement: VersionRow columns of all versions of a form."""
    columns = [consent_forms.c[name] for name in VersionRow.__struct_fields__]
    return select(*columns).where(F.study == study, F.id == form)


def insert_version(study: str, form: str, *, supersedes: bool, by: str) -> ReturningInsert[Any]:
    """Statement: the draft becomes the next version; returns its number. The draft has to be locked."""
    newest = (
        select(func.coalesce(func.max(F.version), 0) + 1)
        .where(F.study == study, F.id == form)
        .scalar_subquery()
    )
    draft = select(
        D.study, D.id, newest, D.title, D.texts, D.required, literal(supersedes), literal(by)
    ).where(D.study == study, D.id == form)
    columns = ["study", "id", "version", "title", "texts", "required", "supersedes", "published_by"]
    return insert(consent_forms).from_select(columns, draft).returning(F.version)


def select_sites(study: str) -> Select[str]:
    """Statement: the sites at which a study runs."""
    return select(study_sites.c.site).where(study_sites.c.study == study).order_by(study_sites.c.site)
