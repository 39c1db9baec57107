"""Participants of a study: who they are, adding and importing them, and one with all that is about them.

A contact is shown only when it is asked for, by `?contact=shown`: the API puts each reading on record. Not to
who follows a link of another site: it would put them on record for what they have not asked for.
"""

from typing import Any

import msgspec

from reporting.participants.rules import NEXT
from reporting.participants.table_file import COLUMNS, CONTACT_COLUMNS
from sync_server.api.parameters import Text
from sync_server.portal.asking import api
from sync_server.portal.forms import Field, Form, renamed
from sync_server.portal.pages import Look, Page, Values
from sync_server.portal.study_pages import BELOW, MOST, SITES, STUDY, names_of, site_choices
from sync_server.portal.tokens import comes_from_here

ROSTER = api("GET", "/api/participants")
ONE = api("GET", "/api/participants/{study}/{code}")
TIMELINE = api("GET", "/api/visits/{study}/{participant}")
SESSIONS = api("GET", "/api/sessions")
CONSENT = api("GET", "/api/consent/{study}/{participant}")

OPT_OUTS = api("GET", "/api/schedules/reminders/{study}/opt-outs")
OPT_OUT = api("PUT", "/api/schedules/reminders/{study}/opt-outs/{participant}/{channel}")
OPT_IN = api("DELETE", "/api/schedules/reminders/{study}/opt-outs/{participant}/{channel}")

STATUSES = ("screened", "enrolled", "withdrawn", "completed")
CONSENT_STATES = ("none", "valid", "outdated", "withdrawn")
CONTACT = ("name", "email", "phone", "address", "note", "timezone")

_MOST_OF_A_FILE = 1_000_000
"""Characters of a file in a page: some 20,000 participants. The API takes ten times as much."""

_CODE = renamed(code="participant")
_LANGUAGE = "[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}"


def _with_contact(values: dict[str, Any]) -> dict[str, Any]:
    contact = {name: values.pop(f"contact_{name}") for name in CONTACT if f"contact_{name}" in values}
    return {**values, "contact": contact} if contact else values


ADD = Form(
    name="add_participant",
    calls=api("POST", "/api/participants"),
    fixed={"study": "study"},
    fields=(
        Field("code", hint=True, max_length=64, pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*"),
        Field("site", "pick"),
        Field("status", "choice", choices=("screened", "enrolled"), default="enrolled"),
        Field("enrolled_on", "date", required=False, hint=True),
        Field("language", required=False, hint=True, max_length=44, pattern=_LANGUAGE),
        Field("redcap_id", required=False, max_length=100),
        Field("contact_name", required=False, max_length=300),
        Field("contact_email", "email", required=False, max_length=300),
        Field("contact_phone", required=False, max_length=300),
    ),
    build=_with_contact,
)
CHANGE = Form(
    name="change_participant",
    calls=api("PATCH", "/api/participants/{study}/{code}"),
    locate=_CODE,
    fields=(
        Field("site", "pick", required=False),
        Field("enrolled_on", "date", required=False, blank="null"),
        Field("language", required=False, blank="null", hint=True, max_length=44, pattern=_LANGUAGE),
        Field("redcap_id", required=False, blank="null", max_length=100),
    ),
    versioned=True,
)
STATUS = Form(
    name="participant_status",
    calls=api("PATCH", "/api/participants/{study}/{code}"),
    locate=_CODE,
    fields=(
        Field("status", "pick"),
        Field("reason", "long", required=False, hint=True, max_length=10_000),
    ),
    versioned=True,
)
CHANGE_CONTACT = Form(
    name="change_contact",
    calls=api("PATCH", "/api/participants/{study}/{code}"),
    locate=_CODE,
    fields=(
        Field("name", required=False, blank="null", max_length=300),
        Field("email", "email", required=False, blank="null", max_length=300),
        Field("phone", required=False, blank="null", max_length=300),
        Field("address", "long", required=False, blank="null", max_length=4000),
        Field("note", "long", required=False, blank="null", max_length=4000),
        Field("timezone", required=False, blank="null", hint=True, max_length=64),
    ),
    build=lambda values: {"contact": values},
    versioned=True,
)
WITHDRAW_CONSENT = Form(
    name="withdraw_consent",
    calls=api("POST", "/api/consent/{study}/{participant}/withdraw"),
    fields=(
        Field("form_id", "pick", required=False, hint=True),
        Field("reason", "long", max_length=10_000),
    ),
    build=lambda values: {("form" if name == "form_id" else name): value for name, value in values.items()},
    danger=True,
)
NO_REMINDERS = Form(
    name="opt_out",
    calls=OPT_OUT,
    fields=(
        Field("channel", "choice", choices=("all", "email", "sms", "push"), default="all", place="path"),
    ),
)
REMINDERS_AGAIN = Form(
    name="opt_in",
    calls=OPT_IN,
    fields=(Field("channel", "pick", place="path"), Field("reason", "long", max_length=10_000)),
)
IMPORT = Form(
    name="import_participants",
    calls=api("POST", "/api/participants/import"),
    fixed_query={"study": "study"},
    fields=(
        Field("text", "source", hint=True, max_length=_MOST_OF_A_FILE),
        Field("on_error", "choice", choices=("stop", "skip"), default="stop", place="query"),
        Field("reason", required=False, hint=True, max_length=1000, place="query"),
    ),
    tries=api("POST", "/api/participants/import"),
    shows="studies/imported.html",
)


class RosterFilters(msgspec.Struct, frozen=True, kw_only=True):
    """As the roster of the API has them."""

    q: Text | None = None
    site: Text | None = None
    status: Text | None = None
    consent: Text | None = None
    page: Text = "1"
    sort: Text | None = None
    order: Text | None = None


class ParticipantFilters(msgspec.Struct, frozen=True, kw_only=True):
    """`contact=shown`: read it, which is put on record."""

    contact: Text | None = None
    page: Text = "1"


async def participants(look: Look) -> Values:
    """The roster."""
    row = await look.ask(STUDY)
    sites = await site_choices(look, row)
    look.offer(ADD, "site", sites)
    roster = await look.ask(ROSTER, study=row.code, **msgspec.structs.asdict(look.filters))
    return {
        "row": row,
        "sites": sites,
        "names": await names_of(look, sites, roster.data),
        "roster": roster,
        "statuses": [(each, look.texts.named("choice.status", each)) for each in STATUSES],
        "consents": [(each, look.texts.named("consent_state", each)) for each in CONSENT_STATES],
    }


async def participant(look: Look) -> Values:
    """One participant, their visits, sessions and consent."""
    row, code = await look.ask(STUDY), look.path("participant")
    is_shown = look.filters.contact == "shown" and comes_from_here(look.request)
    one = await look.ask(ONE, path={"code": code}, contact=True if is_shown else None)
    sites = await site_choices(look, row)
    look.offer(CHANGE, "site", sites)
    look.fill(
        CHANGE,
        one.row_version,
        site=one.site,
        enrolled_on=one.enrolled_on,
        language=one.language,
        redcap_id=one.redcap_id,
    )
    following = [each for each in STATUSES if each in NEXT[one.status]]
    look.offer(STATUS, "status", [(each, look.texts.named("choice.status", each)) for each in following])
    look.fill(STATUS, one.row_version)
    contact = {name: getattr(one.contact, name, None) for name in CONTACT}
    look.fill(CHANGE_CONTACT, one.row_version, **contact)
    consent = await look.ask(CONSENT)
    forms = [each.form for each in consent.forms if each.form is not None]
    look.offer(WITHDRAW_CONSENT, "form_id", [(each, each) for each in forms])
    opt_outs = [each for each in (await look.ask(OPT_OUTS, per_page=MOST)).data if each.participant == code]
    channels = [(each.channel, look.texts.named("choice.channel", each.channel)) for each in opt_outs]
    look.offer(REMINDERS_AGAIN, "channel", channels)
    return {
        "row": row,
        "one": one,
        "opt_outs": opt_outs,
        "names": await names_of(look, sites, [one]),
        "contact": contact if is_shown else None,
        "timeline": await look.ask(TIMELINE),
        "sessions": await look.ask(
            SESSIONS,
            study=row.code,
            participant=code,
            sort="started_at",
            order="desc",
            page=look.filters.page,
            per_page=10,
        ),
        "consent": consent,
    }


async def importing(look: Look) -> Values:
    """Where a file of participants is put in."""
    row = await look.ask(STUDY)
    return {
        "row": row,
        "roster": await look.ask(ROSTER, study=row.code, per_page=1),
        "columns": (*COLUMNS, *CONTACT_COLUMNS),
    }


PAGES = [
    Page(
        name="participants",
        path=f"{BELOW}/participants",
        template="studies/participants.html",
        view=participants,
        reads=(STUDY, ROSTER, SITES),
        forms=(ADD,),
        filters=RosterFilters,
        area="studies",
    ),
    Page(
        name="participant",
        path=f"{BELOW}/participants/{{participant}}",
        template="studies/participant.html",
        view=participant,
        reads=(STUDY, ONE, TIMELINE, SESSIONS, CONSENT, SITES, OPT_OUTS),
        forms=(CHANGE, STATUS, CHANGE_CONTACT, WITHDRAW_CONSENT, NO_REMINDERS, REMINDERS_AGAIN),
        filters=ParticipantFilters,
        area="studies",
    ),
    Page(
        name="import",
        path=f"{BELOW}/import",
        template="studies/import.html",
        view=importing,
        reads=(STUDY, ROSTER),
        forms=(IMPORT,),
        area="studies",
    ),
]
