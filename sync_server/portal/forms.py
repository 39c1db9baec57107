"""Forms: fields in a page that call one route of the API.

    RENAME = Form(
        name="rename",
        calls=api("PATCH", "/api/sync/devices/{site}/{device}"),
        fields=(Field("label", max_length=200, blank="empty"),),
        versioned=True,
    )

Its words are texts: `form.rename.label`, `form.rename.do` (the button), `form.rename.done`. Parts of the
route's path are the page's own, or come from hidden fields of the same name.

| what comes back | what is shown |
|---|---|
| done | the page again (303), with `form.….done`; with `shows`, that template with the answer |
| wrong in a field (422 with a path) | the page, what was typed, the error beside the field |
| of a form that only tries or asks: an answer | the page, what was typed, `tried` with the answer |
| refused otherwise (403, 404, 409, 429) | the page, what was typed, the reason above the form |
| changed since the page was read (412) | the page as it is now, what was typed, both values |
| sent twice | done once: each form carries a key; a secret that was told is not told again |
"""

import re
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from sync_server.api.idempotency import HEADER
from sync_server.api.route import Route
from sync_server.errors import ApiError, InvalidRequest, PreconditionFailed, PreconditionRequired

_MOST_CHARACTERS = 100_000
FORM_LIMIT: Final = 256 * 1024
"""Bytes of a form without long fields."""
_BYTES_A_CHARACTER = 4
"""As forms are sent: a letter is one, an accented letter six, the end of a line six."""

Kind = Literal[
    "text",
    "email",
    "password",
    "code",
    "long",
    "source",
    "number",
    "date",
    "time",
    "choice",
    "pick",
    "check",
    "hidden",
]
"""`source`: a long text of an exact form, as JSON. `pick`: one of what the page offers (`Look.offer`)."""


class Field(msgspec.Struct, frozen=True):
    """A field. `blank`: what an empty one says: nothing is sent, the empty text, or null; `place`: where its
    value goes.
    """

    name: str
    kind: Kind = "text"
    required: bool = True
    blank: Literal["absent", "empty", "null"] = "absent"
    choices: tuple[str, ...] = ()
    default: str = ""
    autocomplete: str = "off"
    label: str | None = None
    """Its text is that of another field: `form.<form>.<label>`."""
    for_good: bool = False
    """It may be empty as long as the form is only tried."""
    is_alternative: bool = False
    """Another field may say it instead, so it is not called optional."""
    hint: bool = False
    """There is a text `form.<form>.<field>_hint`: what may be put in."""
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    place: Literal["body", "query", "path"] = "body"
    repeats: str | None = None
    """It has to say the same as this field, and is not sent."""

    @property
    def longest(self) -> int:
        """So many characters at most."""
        return self.max_length or _MOST_CHARACTERS

    def fault(self, value: str) -> str | None:
        """The text that says why the value cannot be right, as far as the field says it: browsers ask the
        same. None: it may be right.
        """
        return next(self._faults(value), None)

    def _faults(self, value: str) -> Iterator[str]:
        if "\0" in value or not _is_unicode(value):
            yield "field.unusable"
        if len(value) > self.longest:
            yield "field.too_long"
        if self.kind == "number":
            if not (value.isascii() and value.removeprefix("-").isdecimal()):
                yield "field.no_number"
            elif not self._is_between(int(value[:19])):
                yield "field.out_of_range"
        elif len(value) < (self.min_length or 0):
            yield "field.too_short"
        elif not self._is_as_it_has_to_be(value):
            yield "field.other_form"

    def _is_as_it_has_to_be(self, value: str) -> bool:
        if self.kind == "choice":
            return value in self.choices
        return self.pattern is None or bool(re.fullmatch(self.pattern, value))

    def _is_between(self, number: int) -> bool:
        is_too_little = self.minimum is not None and number < self.minimum
        return not is_too_little and (self.maximum is None or number <= self.maximum)


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """A form of a page."""

    name: str
    calls: Route
    fields: tuple[Field, ...] = ()
    fixed: Mapping[str, str] = {}
    """Members of the body that are parts of the page's path: member → part."""
    fixed_query: Mapping[str, str] = {}
    """The same of the route's query."""
    own_account: bool = False
    """The part `person` of the route's path is whoever sends it."""
    versioned: bool = False
    """It says which version of what it changes was looked at (`If-Match`)."""
    ends_login: bool = False
    danger: bool = False
    """What it does cannot be undone: it is asked for once more, and looks like it."""
    then: str | None = None
    """Where it leads when it is done, with parts of the page's path; None: to its page."""
    shows: str | None = None
    """A template that shows the answer, which is told once."""
    build: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Makes the body of the fields' values, where it is not a member each. Raises InvalidRequest
    (`unreadable`).
    """
    locate: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None
    """Makes parts of the route's path of what was posted and the page's own parts, where names differ."""
    further: str | None = None
    """It has further fields, as the template makes them: all whose names begin so. `build` is given them."""
    tries: Route | None = None
    """What its first button asks (`form.<form>.try`), and Enter: a route that changes nothing, or its own,
    with `dry_run`. The page is shown again, with the answer in `tried`.
    """
    asks: bool = False
    """It changes nothing itself: the page is shown again, with the answer in `tried`."""

    @property
    def largest(self) -> int:
        """So many bytes at most, as it is sent."""
        return FORM_LIMIT + sum(_BYTES_A_CHARACTER * (field.max_length or 0) for field in self.fields)

    def is_trying(self, posted: Mapping[str, str]) -> bool:
        """Whether somebody only wants to see what would be done."""
        return self.tries is not None and posted.get("try") == "on"

    def read(self, posted: Mapping[str, str]) -> dict[str, str]:
        """What was typed, by field."""
        typed = {field.name: posted.get(field.name, "") for field in self.fields}
        # Spaces around a name or a code are not meant; those of a password may be, those of a page are.
        found = {
            field.name: typed[field.name]
            if field.kind in ("password", "hidden")
            else typed[field.name].strip()
            for field in self.fields
        }
        if self.further is not None:
            found |= {name: value for name, value in posted.items() if name.startswith(self.further)}
        return found

    def wrong(self, typed: Mapping[str, str], *, tries: bool = False) -> dict[str, str]:
        """Fields whose values can be seen to be wrong before the API is asked → the text that says why."""
        found = {}
        for field in self.fields:
            value = typed[field.name]
            if field.required and not value and not (tries and field.for_good):
                found[field.name] = "field.required"
            elif field.repeats is not None and value != typed[field.repeats]:
                found[field.name] = "field.not_the_same"
            elif value and (fault := field.fault(value)) is not None:
                found[field.name] = fault
        return found

    def body(self, typed: Mapping[str, str], path: Mapping[str, str]) -> dict[str, Any]:
        """What is sent to the route."""
        values: dict[str, Any] = {member: path[part] for member, part in self.fixed.items()}
        for field in self.fields:
            value = typed[field.name]
            if field.repeats is not None or field.place != "body":
                continue
            if field.kind == "check":
                values[field.name] = value == "on"
            elif value or field.blank == "empty":
                values[field.name] = value
            elif field.blank == "null":
                values[field.name] = None
        if self.further is not None:
            values |= {name: value for name, value in typed.items() if name.startswith(self.further)}
        return values if self.build is None else self.build(values)

    def query(self, typed: Mapping[str, str], path: Mapping[str, str]) -> dict[str, str]:
        """What stands in the route's query."""
        found = {member: path[part] for member, part in self.fixed_query.items()}
        found |= {field.name: typed[field.name] for field in self.fields if field.place == "query"}
        return {name: value for name, value in found.items() if value}

    def parts(self, given: Mapping[str, str]) -> dict[str, str]:
        """What may stand in the route's path, of what was posted and the page's own parts."""
        return {**given, **({} if self.locate is None else self.locate(given))}


def unreadable(field: str, why: str = "field.unreadable") -> InvalidRequest:
    """What a `build` raises of a field that cannot be read as what it has to be; `why` is a text."""
    return InvalidRequest(why, details={"path": f"$.{field}"})


def renamed(**parts: str) -> Callable[[Mapping[str, str]], Mapping[str, str]]:
    """A `locate`: part of the route's path → what it is called in the page or its fields."""
    return lambda given: {name: given[own] for name, own in parts.items() if own in given}


class Filled(msgspec.Struct, kw_only=True):
    """A form as it is shown: with what the page knows, or with what was typed and what is wrong with it."""

    form: Form
    token: str
    values: Mapping[str, str] = {}
    current: Mapping[str, str] = {}
    """What there is now, where that is not what was typed."""
    errors: Mapping[str, str] = {}
    """By field: the sentence."""
    choices: Mapping[str, Sequence[tuple[str, str]] | None] = {}
    """By field: what can be picked, and what it is called; None: so much that the value is put in."""
    tried: Any = None
    """What was answered to who only tried, or asked."""
    problem: str | None = None
    """The key of a text."""
    detail: str | None = None
    """What the API says of it, in English."""
    version: str | None = None
    hidden: Mapping[str, str] = {}

    def new_key(self) -> str:
        """Each time that it is shown another; each time that it is sent the same."""
        return secrets.token_urlsafe(16)

    def value(self, field: Field) -> str:
        """What stands in the field; a password never does."""
        return "" if field.kind in ("password", "code") else self.values.get(field.name, field.default)


class Refusal(msgspec.Struct, frozen=True):
    """Why a form was not carried out: `status` of the page that says so."""

    status: int
    errors: Mapping[str, str] = {}
    """By field: a text's key, or the API's sentence."""
    problem: str | None = None
    detail: str | None = None
    is_outdated: bool = False


def refusal_of(form: Form, error: ApiError | msgspec.ValidationError) -> Refusal:
    """What a failure of the route means for the form."""
    names = {field.name for field in form.fields}
    if isinstance(error, msgspec.ValidationError):
        message, _, path = str(error).rpartition(" - at `")
        name = _field_in(path, names)
        errors = {} if name is None else {name: message}
        problem = "problem.invalid_request" if name is None else None
        return Refusal(422, errors, problem, None if problem is None else str(error))
    details = error.details if isinstance(error.details, dict) else {}
    path = details.get("path") or details.get("parameter") or details.get("member") or ""
    name = _field_in(str(path), names)
    if name is not None and (isinstance(error, InvalidRequest) or "member" in details):
        return Refusal(error.status, errors={name: error.message.removeprefix(f"{name}: ")})
    if isinstance(error, PreconditionFailed):
        return Refusal(412, problem="problem.precondition_failed", is_outdated=True)
    if isinstance(error, PreconditionRequired) and not form.versioned:
        return Refusal(409, problem="problem.taken", detail=error.message)
    if details.get("header") == HEADER:
        return Refusal(error.status, problem="problem.sent_before")
    return Refusal(error.status, problem=f"problem.{error.code}", detail=error.message)


def _field_in(path: str, names: Collection[str]) -> str | None:
    """The field that a path in the body is about: the outermost member that is one."""
    return next((member for member in re.findall(r"\w+", path) if member in names), None)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
