"""`/api/consent/forms`: drafts of consent forms, and publishing them.

A published version never changes. One that supersedes makes everybody's consent to older ones `outdated`.
Texts are Markdown as written; who shows them has to render them safely.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from reporting.consent.forms import (
    SORTABLE,
    DraftRow,
    FormRow,
    VersionRow,
    insert_draft,
    insert_version,
    select_draft,
    select_forms,
    select_sites,
    select_versions,
    update_draft,
)
from reporting.publication.requests import consent_form_document, publish_documents
from reporting.scope import within
from reporting.tables import consent_form_drafts, consent_forms, studies
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.instrument_answers import path_version
from sync_server.api.parameters import Text
from sync_server.api.route import Route, get, post, put
from sync_server.errors import InvalidRequest, NotFound, NotPossible, Taken

FORM_ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$(?!\n)"
FORM_LIMIT = 4 * 1024 * 1024

Language = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$(?!\n)", max_length=35)]
Markdown = Annotated[str, Meta(min_length=1, max_length=200_000)]


class FormsQuery(ListQuery, frozen=True, kw_only=True):
    """Sortable by `id`, `title`, `updated_at`."""

    study: Text | None = None


class Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A form as it is to be; `texts` are Markdown by language (BCP 47). Others than `required` forms may be
    left unsigned.
    """

    title: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
    texts: Annotated[dict[Language, Markdown], Meta(max_length=50)]
    required: bool = True


class Publishing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether consents to older versions do not count any more, from now on."""

    supersedes: bool


async def list_forms(call: Call[FormsQuery, Nothing]) -> PageOf[FormRow]:
    """The consent forms of the studies that the caller may see."""
    drafts = consent_form_drafts.c
    statement = select_forms().where(within(call.caller.scope("consents.read"), study=drafts.study))
    if call.query.study is not None:
        statement = statement.where(drafts.study == call.query.study)
    return await call.page(FormRow, statement, sortable=SORTABLE, key=[drafts.study, drafts.id])


async def get_form(call: Call[Nothing, Nothing]) -> DraftRow:
    """The draft of a consent form."""
    study, form = _readable(call)
    return await _read_draft(call, study, form)


async def put_form(call: Call[Nothing, Draft]) -> DraftRow:
    """Make a draft, or replace one.

    With `If-None-Match: *` it has to be new; one that is there is replaced with its If-Match.
    """
    study, form = call.path("study"), call.path("form")
    call.caller.require("consents.write", study)
    _check_id(form)
    await _check_study(call, study)
    values = {"title": call.body.title, "texts": call.body.texts, "required": call.body.required}
    made = (await call.connection.execute(insert_draft(study, form, values))).one_or_none()
    name = f"{study}/{form}"
    if made is not None:
        if "If-Match" in call.headers:
            raise NotFound(f"There is no consent form {form} in study {study}.")
        await call.record("consent_form.create", "consent_form", name, study=study, after=values)
        return await _read_draft(call, study, form)
    before = await _read_draft(call, study, form, lock=True)
    if "If-None-Match" in call.headers:
        raise Taken(f"Study {study} has a form {form} already.", details={"id": form})
    call.match(before.row_version)
    await call.connection.execute(update_draft(study, form, values))
    await call.record(
        "consent_form.change",
        "consent_form",
        name,
        study=study,
        before={name: getattr(before, name) for name in values},
        after=values,
    )
    return await _read_draft(call, study, form)


async def publish_form(call: Call[Nothing, Publishing]) -> VersionRow:
    """Publish the draft as the next version, which tablets of the study get and which never changes."""
    study, form = call.path("study"), call.path("form")
    call.caller.require("consents.write", study)
    draft = await _read_draft(call, study, form, lock=True)
    if "If-Match" in call.headers:
        call.match(draft.row_version)
    if not draft.texts:
        raise NotPossible("The form has no text in any language yet.")
    by = call.caller.person.email
    statement = insert_version(study, form, supersedes=call.body.supersedes, by=by)
    version = (await call.connection.execute(statement)).scalar_one()
    await call.record(
        "consent_form.publish",
        "consent_form",
        f"{study}/{form}@{version}",
        study=study,
        after={"version": version, "supersedes": call.body.supersedes, "required": draft.required},
    )
    # Older versions go, or stay: each is brought to what it has to be.
    documents = [consent_form_document(f"{study}/{form}", number) for number in range(1, version + 1)]
    sites = list(await call.connection.scalars(select_sites(study)))
    if sites:
        wanted = [(site, document) for site in sites for document in documents]
        await call.connection.execute(publish_documents(wanted))
    return await _read_version(call, study, form, version)


async def list_versions(call: Call[ListQuery, Nothing]) -> PageOf[VersionRow]:
    """The published versions of a consent form, the newest first."""
    study, form = _readable(call)
    statement = select_versions(study, form)
    columns = consent_forms.c
    return await call.page(
        VersionRow, statement, sortable={"version": columns.version}, key=[columns.version.desc()]
    )


async def get_version(call: Call[Nothing, Nothing]) -> VersionRow:
    """One published version of a consent form."""
    study, form = _readable(call)
    return await _read_version(call, study, form, path_version(call))


def _readable(call: Call[Nothing, Nothing] | Call[ListQuery, Nothing]) -> tuple[str, str]:
    study, form = call.path("study"), call.path("form")
    if not call.caller.scope("consents.read").sees_study(study):
        raise NotFound(f"There is no study {study}.")
    return study, form


def _check_id(form: str) -> None:
    try:
        msgspec.convert(form, Annotated[str, Meta(pattern=FORM_ID)])
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            "A form's id has letters, digits, `-` and `_`, 64 at most, and begins with a letter or digit.",
            details={"parameter": "form"},
        ) from error


async def _check_study(call: Call[Nothing, Draft], study: str) -> None:
    statement = studies.select().where(studies.c.code == study).with_for_update(key_share=True)
    if (await call.connection.execute(statement)).first() is None:
        raise NotFound(f"There is no study {study}.")


async def _read_draft(
    call: Call[Nothing, Nothing] | Call[Nothing, Draft] | Call[Nothing, Publishing],
    study: str,
    form: str,
    *,
    lock: bool = False,
) -> DraftRow:
    statement = select_draft(study, form)
    row = (await call.connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    if row is None:
        raise NotFound(f"There is no consent form {form} in study {study}.")
    return DraftRow(*row)


async def _read_version(
    call: Call[Nothing, Nothing] | Call[Nothing, Publishing], study: str, form: str, version: int
) -> VersionRow:
    statement = select_versions(study, form).where(consent_forms.c.version == version)
    row = (await call.connection.execute(statement)).one_or_none()
    if row is None:
        raise NotFound(f"There is no version {version} of form {form} in study {study}.")
    return VersionRow(*row)


ROUTES: list[Route] = [
    get("/api/consent/forms", list_forms, right="consents.read"),
    get("/api/consent/forms/{study}/{form}", get_form, right="consents.read"),
    put(
        "/api/consent/forms/{study}/{form}",
        put_form,
        right="consents.write",
        errors=(409, 412, 428),
        limit=FORM_LIMIT,
    ),
    post(
        "/api/consent/forms/{study}/{form}/publish",
        publish_form,
        right="consents.write",
        status=201,
        errors=(409, 412),
    ),
    get("/api/consent/forms/{study}/{form}/versions", list_versions, right="consents.read"),
    get("/api/consent/forms/{study}/{form}/versions/{version}", get_version, right="consents.read"),
]
