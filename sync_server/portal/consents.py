"""Consent forms of a study with their texts and versions, and whether participants consent now."""

from typing import Any, Final

import msgspec

from sync_server.api.parameters import Text
from sync_server.portal.asking import api
from sync_server.portal.forms import Field, Form, renamed, unreadable
from sync_server.portal.pages import Look, Page, Values
from sync_server.portal.participants import CONSENT_STATES
from sync_server.portal.study_pages import BELOW, SITES, STUDY, names_of, site_choices

FORMS = api("GET", "/api/consent/forms")
DRAFT = api("GET", "/api/consent/forms/{study}/{form}")
VERSIONS = api("GET", "/api/consent/forms/{study}/{form}/versions")
CONSENTS = api("GET", "/api/consent/participants")

SLOTS: Final = 6
"""So many languages are edited in a page; the API takes more."""
_LANGUAGE: Final = "[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*"
_TEXT: Final = 200_000


def _texts(values: dict[str, Any]) -> dict[str, Any]:
    texts = {}
    for number in range(1, SLOTS + 1):
        language, text = values.pop(f"language_{number}", ""), values.pop(f"text_{number}", "")
        if bool(language) != bool(text):
            raise unreadable(f"text_{number}" if language else f"language_{number}")
        if language:
            texts[language] = text
    return {**values, "texts": texts}


def _slots(number: int) -> tuple[Field, Field]:
    return (
        Field(f"language_{number}", required=False, label="language", max_length=35, pattern=_LANGUAGE),
        Field(f"text_{number}", "long", required=False, label="text", max_length=_TEXT),
    )


CREATE = Form(
    name="create_consent_form",
    calls=api("PUT", "/api/consent/forms/{study}/{form}"),
    locate=renamed(form="id"),
    fields=(
        Field("id", hint=True, max_length=64, pattern="[A-Za-z0-9][A-Za-z0-9_\\-]*", place="path"),
        Field("title", max_length=200),
        Field("required", "check", required=False, default="on"),
        Field("language_1", label="language", default="en", max_length=35, pattern=_LANGUAGE),
        Field("text_1", "long", label="text", max_length=_TEXT),
    ),
    build=_texts,
)
CHANGE = Form(
    name="change_consent_form",
    calls=api("PUT", "/api/consent/forms/{study}/{form}"),
    locate=renamed(form="consent_form"),
    fields=(
        Field("title", max_length=200),
        Field("required", "check", required=False),
        *(field for number in range(1, SLOTS + 1) for field in _slots(number)),
    ),
    build=_texts,
    versioned=True,
)
PUBLISH = Form(
    name="publish_consent_form",
    calls=api("POST", "/api/consent/forms/{study}/{form}/publish"),
    locate=renamed(form="consent_form"),
    fields=(Field("supersedes", "check", required=False, hint=True),),
    versioned=True,
    danger=True,
)


class ConsentFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Whose consent."""

    state: Text | None = None
    site: Text | None = None
    page: Text = "1"


async def consent(look: Look) -> Values:
    """The forms of a study, and who consents."""
    row = await look.ask(STUDY)
    sites = await site_choices(look, row)
    consents = await look.ask(CONSENTS, study=row.code, **msgspec.structs.asdict(look.filters))
    return {
        "row": row,
        "sites": sites,
        "names": await names_of(look, sites, consents.data),
        "consent_forms": (await look.ask(FORMS, study=row.code, per_page=100)).data,
        "consents": consents,
        "states": [(each, look.texts.named("consent_state", each)) for each in CONSENT_STATES],
    }


async def consent_form(look: Look) -> Values:
    """One form: its draft, and what was published of it."""
    row = await look.ask(STUDY)
    path = {"form": look.path("consent_form")}
    draft = await look.ask(DRAFT, path=path)
    versions = await look.ask(VERSIONS, path=path, per_page=100)
    filled = {"title": draft.title, "required": "on" if draft.required else ""}
    for number, (language, text) in enumerate(list(draft.texts.items())[:SLOTS], start=1):
        filled |= {f"language_{number}": language, f"text_{number}": text}
    look.fill(CHANGE, draft.row_version, **filled)
    look.fill(PUBLISH, draft.row_version)
    return {
        "row": row,
        "draft": draft,
        "versions": versions.data,
        "is_editable": len(draft.texts) <= SLOTS,
        "shown_slots": min(len(draft.texts) + 1, SLOTS),
    }


PAGES = [
    Page(
        name="consent",
        path=f"{BELOW}/consent",
        template="studies/consent.html",
        view=consent,
        reads=(STUDY, FORMS, CONSENTS, SITES),
        forms=(CREATE,),
        filters=ConsentFilters,
        area="studies",
    ),
    Page(
        name="consent_form",
        path=f"{BELOW}/consent/{{consent_form}}",
        template="studies/consent_form.html",
        view=consent_form,
        reads=(STUDY, DRAFT, VERSIONS),
        forms=(CHANGE, PUBLISH),
        area="studies",
    ),
]
