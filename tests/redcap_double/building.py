"""Projects made by hand, for tests.

    project = build_project(
        [Field("record_id", "demographics"), Field("cog_srt_ms", "cog_session", validation="number_1dp")],
        events={"baseline_arm_1": ["demographics", "cog_session"], "retest_arm_1": ["cog_session"]},
        repeating={"baseline_arm_1": ["cog_session"]},
    )

Without events the project is classic, and `repeating` lists its forms.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from tests.redcap_double.dictionary import Dictionary, Field
from tests.redcap_double.project import CLASSIC_EVENT, Arm, Event, Group, Project, User

TOKEN = "5A3F0C6E9B1D4287A0E5C3F96D7B8142"
"""The token of the user of a built project."""

Events = Mapping[str, Sequence[str]]


def build_project(
    fields: Iterable[Field],
    *,
    events: Events | None = None,
    repeating: Iterable[str] | Mapping[str, Iterable[str] | None] = (),
    groups: Iterable[str] = (),
    users: Sequence[User] | None = None,
    title: str = "Double",
    number: int = 1,
) -> Project:
    """A project with one user, `sync`, who may do everything, unless others are given.

    `events`: unique name → forms, in order; the arm is what the name ends in. `repeating`: forms of a classic
    project, or event → its repeating forms, None where the event as a whole repeats. `groups`: labels,
    numbered from 15.
    """
    if isinstance(repeating, Mapping):
        repeats = {event: None if forms is None else frozenset(forms) for event, forms in repeating.items()}
    else:
        forms = frozenset(repeating)
        repeats = {CLASSIC_EVENT: forms} if forms else {}
    dictionary = Dictionary(tuple(fields))
    _must_be_known({form for names in (events or {}).values() for form in names}, dictionary.forms, "form")
    _must_be_known({form for names in repeats.values() for form in names or ()}, dictionary.forms, "form")
    _must_be_known(set(repeats), events or {CLASSIC_EVENT: ()}, "event")
    made = tuple(_event(name, forms) for name, forms in (events or {}).items())
    arms = sorted({event.arm for event in made} or {1})
    return Project(
        dictionary,
        events=made,
        arms=tuple(Arm(arm, f"Arm {arm}") for arm in arms),
        repeating=repeats,
        groups=tuple(_group(label, at) for at, label in enumerate(groups, 15)),
        users=list(users) if users is not None else [User("sync", TOKEN)],
        title=title,
        number=number,
    )


def _must_be_known(names: set[str], known: Iterable[str], what: str) -> None:
    if unknown := names - set(known):
        raise ValueError(f"no such {what}: {', '.join(sorted(unknown))}")


def _event(name: str, forms: Sequence[str]) -> Event:
    match = re.fullmatch(r"(?P<label>[a-z0-9_]+)_arm_(?P<arm>\d+)", name)
    if match is None:
        raise ValueError(f"{name!r} is no unique event name, as baseline_arm_1")
    return Event(name, match["label"].replace("_", " ").title(), int(match["arm"]), tuple(forms))


def _group(label: str, number: int) -> Group:
    return Group(re.sub(r"\W+", "_", label.lower()), label, number)


def study_project() -> Project:
    """A study with a repeating form for cognitive sessions at two visits, and every kind of field."""
    return build_project(
        [
            Field("record_id", "demographics", label="Record"),
            Field("screening_code", "demographics", label="Screening code"),
            Field("birth_date", "demographics", validation="date_dmy", label="Born", identifier=True),
            Field("email", "demographics", validation="email", label="E-mail", identifier=True),
            Field("phone", "demographics", validation="phone", label="Phone", identifier=True),
            Field("sex", "demographics", "radio", label="Sex", choices="1, Female | 2, Male | 9, Other"),
            Field("consented", "demographics", "yesno", label="Consented"),
            Field("age", "demographics", validation="integer", minimum="18", maximum="99", required=True),
            Field("notes", "demographics", "notes", label="Notes"),
            Field("scan", "demographics", "file", label="Signed consent"),
            Field("cog_session_uid", "cog_session", label="Session"),
            Field("cog_taken_at", "cog_session", validation="datetime_seconds_ymd", label="Taken at"),
            Field("cog_srt_ms", "cog_session", validation="number_1dp", label="Simple reaction time"),
            Field("cog_trials", "cog_session", validation="integer", label="Trials"),
            Field("cog_ratio", "cog_session", validation="number", label="Ratio"),
            Field("cog_flags", "cog_session", "checkbox", label="Flags", choices="1, Late | 2, Noisy"),
            Field("cog_total", "cog_session", "calc", choices="[cog_trials]*2", label="Total"),
        ],
        events={
            "baseline_arm_1": ["demographics", "cog_session"],
            "retest_arm_1": ["cog_session"],
        },
        repeating={"baseline_arm_1": ["cog_session"], "retest_arm_1": ["cog_session"]},
        groups=["North Site", "South Site"],
        title="Cognition study",
    )
