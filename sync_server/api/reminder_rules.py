"""`/api/schedules/reminders/{study}/rules`, `/settings`, `/gateway`: when and how a study reminds.

A change brings the reminders of all participants up to date in its own transaction; with `dry_run=true` it
says which would be planned and cancelled, and does nothing. The study's row is held, so that changes come one
after the other.

| what happens | answer |
|---|---|
| days or repetitions that the moment has none of; a visit that the study does not have | 422 |
| quiet hours that end when they begin | 422 |
| a gateway at an address that deliveries may not go to | 422 |
| changed since it was read | 412; without If-Match 428 |
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from reporting.reminders.planning import read_rules, replanned
from reporting.reminders.reconcile import Changes
from reporting.reminders.rows import (
    MOST_RULES,
    RULE_KEY,
    RULE_SORTABLE,
    RuleRow,
    SettingsRow,
    default_settings,
    retire_rule,
    select_rules,
    select_settings,
    upsert_rule,
    upsert_settings,
)
from reporting.reminders.schedule import MOST_REPEATS, Channel, Moment, Rule
from reporting.steps import perform
from reporting.visits.definitions import select_definitions
from reporting.webhooks.signature import SECRET_BYTES, secret_of
from sync_server.api.acts import Reason
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.names import storable
from sync_server.api.route import Route, delete, get, put
from sync_server.api.schedules import DryRun, VisitCode
from sync_server.api.study_rows import lock
from sync_server.api.webhooks import Url, require_allowed
from sync_server.errors import InvalidRequest, NotFound, NotPossible, PreconditionFailed
from sync_server.keys import SEALER

RuleCode = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)", max_length=64)]
Language = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$(?!\n)", max_length=35)]
ClockTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)", max_length=5)]
SHOWN = 100
"""So many planned reminders are told of one by one."""


class NewRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`days` before (`before_due`) or after (`overdue`) the due date, at `send_at` local time; it may be sent
    until `useful_hours` later. `visits` null: all.
    """

    moment: Moment
    days: Annotated[int, Meta(ge=0, le=365)] = 0
    repeat_every_days: Annotated[int, Meta(ge=0, le=365)] = 0
    repeat_times: Annotated[int, Meta(ge=0, le=MOST_REPEATS)] = 0
    channel: Channel = "email"
    send_at: ClockTime = "09:00"
    useful_hours: Annotated[int, Meta(ge=1, le=168)] = 12
    visits: Annotated[list[VisitCode], Meta(min_length=1, max_length=200)] | None = None


class Retirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason


class PlannedReminder(msgspec.Struct, frozen=True):
    """A reminder that is planned (anew)."""

    participant: str
    visit: str
    channel: Channel
    occurrence: int
    planned_at: datetime
    useful_until: datetime


class RuleChanged(msgspec.Struct, frozen=True):
    """A rule as it is (`dry_run`: would be), how many reminders it plans and cancels, and the first 100 of
    those planned.
    """

    rule: RuleRow
    dry_run: bool
    planned: int
    cancelled: int
    reminders: list[PlannedReminder]
    row_version: int


class QuietHours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Local time; `start` included, `end` not; they may go over midnight."""

    start: ClockTime
    end: ClockTime


class NewSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`quiet_hours` null: none. `clock`: whose local time counts. `language`: where there is no template in
    the participant's.
    """

    quiet_hours: QuietHours | None = QuietHours(start="21:00", end="08:00")
    clock: Literal["participant", "site"] = "participant"
    most_per_day: Annotated[int, Meta(ge=1, le=50)] = 3
    sender_name: Annotated[str, Meta(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")] = ""
    language: Language = "en"


class Gateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What takes messages for sms and push: a signed POST each."""

    url: Url


class GatewayWithSecret(msgspec.Struct, frozen=True):
    """`secret` is shown this once."""

    url: str
    secret: str
    row_version: int


async def list_rules(call: Call[ListQuery, Nothing]) -> PageOf[RuleRow]:
    """The rules of a study, retired ones too."""
    study = require_seen(call)
    return await call.page(RuleRow, select_rules(study), sortable=RULE_SORTABLE, key=RULE_KEY)


async def put_rule(call: Call[DryRun, NewRule]) -> RuleChanged:
    """Make or change a rule, or bring a retired one back. Reminders that were sent stay so.

    `If-Match` is needed where there is one with that code.
    """
    study, code, body = call.path("study"), path_code(call, "code"), call.body
    call.caller.require("visits.write", study)
    await lock(call, study)
    known = await rules_of(call, study)
    before = known.get(code)
    if before is not None:
        call.match(before.row_version)
    elif call.headers.get("If-Match", "*").strip() != "*":
        raise PreconditionFailed(f"{study} has no rule {code} any more: read it again.")
    elif len(known) >= MOST_RULES:
        raise NotPossible(f"{study} has {MOST_RULES} rules already.")
    await _check(call, study, body)
    fields = msgspec.structs.asdict(body)
    visits = None if body.visits is None else sorted(set(body.visits))
    version = 1 if before is None else before.row_version + 1
    after = RuleRow(
        study, code, **{**fields, "visits": visits}, retired=False, row_version=version, updated_at=_now()
    )
    fields |= {"visits": visits, "send_at": time.fromisoformat(body.send_at), "retired": False}
    return await _changed(call, upsert_rule(study, code, **fields), before, after)


async def retire_rule_of(call: Call[DryRun, Retirement]) -> RuleChanged:
    """Retire a rule: what it has planned is cancelled, what was sent stays."""
    study, code = call.path("study"), call.path("code")
    call.caller.require("visits.write", study)
    await lock(call, study)
    before = (await rules_of(call, study)).get(code)
    if before is None:
        raise NotFound(f"{study} has no rule {code}.")
    call.match(before.row_version)
    if before.retired:
        raise NotPossible(f"{code} is retired already.")
    after = msgspec.structs.replace(before, retired=True, row_version=before.row_version + 1)
    return await _changed(call, retire_rule(study, code), before, after, reason=call.body.reason)


async def get_settings(call: Call[Nothing, Nothing]) -> SettingsRow:
    """What a study says of all its reminders."""
    return await read_settings_row(call, require_seen(call))


async def put_settings(call: Call[Nothing, NewSettings]) -> SettingsRow:
    """Replace the settings; what is planned follows."""
    study, body = call.path("study"), call.body
    call.caller.require("visits.write", study)
    await lock(call, study)
    before = await read_settings_row(call, study)
    call.match(before.row_version)
    quiet = body.quiet_hours
    if quiet is not None and quiet.start == quiet.end:
        raise InvalidRequest(
            "Quiet hours end at another time than they begin; null is none.",
            details={"path": "$.quiet_hours"},
        )
    fields = {name: getattr(body, name) for name in ("clock", "most_per_day", "sender_name", "language")}
    fields["quiet_from"] = None if quiet is None else time.fromisoformat(quiet.start)
    fields["quiet_to"] = None if quiet is None else time.fromisoformat(quiet.end)
    await call.connection.execute(upsert_settings(study, **fields))
    after = await read_settings_row(call, study)
    await call.record(
        "reminder_settings.put", "reminder_settings", study, study=study, before=before, after=after
    )
    await call.connection.run_sync(perform, replanned(study, None, _now()))
    return after


async def put_gateway(call: Call[Nothing, Gateway]) -> GatewayWithSecret:
    """Have sms and push carried by a gateway. The answer shows the secret that messages are signed with, this
    once; another one each time.
    """
    study, url = call.path("study"), call.body.url
    call.caller.require("webhooks.manage", study)
    await lock(call, study)
    before = await read_settings_row(call, study)
    call.match(before.row_version)
    await require_allowed(call, url)
    secret = secret_of(secrets.token_bytes(SECRET_BYTES))
    sealed = call.request.app[SEALER].seal(secret)
    return await _save_gateway(call, before, url, sealed, secret)


async def delete_gateway(call: Call[Nothing, Nothing]) -> SettingsRow:
    """Carry no sms and push any more: these reminders are cancelled when they are due."""
    study = call.path("study")
    call.caller.require("webhooks.manage", study)
    await lock(call, study)
    before = await read_settings_row(call, study)
    call.match(before.row_version)
    await _save_gateway(call, before, None, None, "")
    return await read_settings_row(call, study)


async def read_settings_row(call: Call[Any, Any], study: str) -> SettingsRow:
    """The settings, or the defaults."""
    row = (await call.connection.execute(select_settings(study))).one_or_none()
    return default_settings(study) if row is None else SettingsRow(*row)


async def rules_of(call: Call[Any, Any], study: str) -> dict[str, RuleRow]:
    """The rules of a study, by code."""
    return {row.code: RuleRow(*row) for row in await call.connection.execute(select_rules(study))}


def require_seen(call: Call[Any, Any]) -> str:
    """The study of the path, which the caller may read. Raises NotFound."""
    study = call.path("study")
    if not call.caller.scope("visits.read").sees_study(study):
        raise NotFound(f"There is no study {study}.")
    return study


def path_code(call: Call[Any, Any], name: str) -> str:
    """A rule's code in the path. Raises InvalidRequest."""
    try:
        return msgspec.convert(storable(call.path(name)), RuleCode)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            "A rule's code is a letter or digit, then up to 63 letters, digits, dots, _ or -.",
            details={"path": name},
        ) from error


async def _check(call: Call[Any, Any], study: str, rule: NewRule) -> None:
    problems = {
        "$.days": {
            "on_due is on the due date: it has no days.": rule.moment == "on_due" and rule.days != 0,
            "How many days? 1 or more.": rule.moment != "on_due" and rule.days == 0,
        },
        "$.repeat_times": {
            "on_due comes once; repeat with overdue.": rule.moment == "on_due" and rule.repeat_times > 0,
            "Say both repeat_times and repeat_every_days, or neither.": (rule.repeat_times > 0)
            != (rule.repeat_every_days > 0),
        },
    }
    for path, told in problems.items():
        for problem, holds in told.items():
            if holds:
                raise InvalidRequest(f"{problem} ({path})", details={"path": path})
    defined = {row.code for row in await call.connection.execute(select_definitions(study))}
    if unknown := sorted(set(rule.visits or ()) - defined):
        raise InvalidRequest(
            f"{study} has no visit {', '.join(unknown[:5])} ($.visits).",
            details={"path": "$.visits", "visits": unknown},
        )


async def _changed(
    call: Call[DryRun, Any], save: Any, before: RuleRow | None, after: RuleRow, reason: str | None = None
) -> RuleChanged:
    study = after.study
    if call.query.dry_run:
        rules = await call.connection.run_sync(perform, read_rules(study))
        trial = [each for each in rules if each.code != after.code] + [_rule(after)]
        steps = replanned(study, None, _now(), rules=trial)
        return _told(after, await call.connection.run_sync(perform, steps), dry_run=True)
    await call.connection.execute(save)
    changes = await call.connection.run_sync(perform, replanned(study, None, _now()))
    await call.record(
        "reminder_rule.retire" if after.retired else "reminder_rule.put",
        "reminder_rule",
        f"{study}/{after.code}",
        study=study,
        reason=reason,
        before=before,
        after=after,
    )
    return _told((await rules_of(call, study))[after.code], changes, dry_run=False)


def _rule(row: RuleRow) -> Rule:
    return Rule(
        row.code,
        row.moment,
        row.days,
        row.channel,
        time.fromisoformat(row.send_at),
        row.useful_hours,
        row.repeat_every_days,
        row.repeat_times,
        None if row.visits is None else frozenset(row.visits),
        row.retired,
    )


def _told(rule: RuleRow, changes: Sequence[tuple[str, Changes]], *, dry_run: bool) -> RuleChanged:
    planned = [(code, each) for code, found in changes for each in found.plan]
    shown = [
        PlannedReminder(
            code, each.key.visit, each.key.channel, each.key.occurrence, each.planned_at, each.useful_until
        )
        for code, each in planned[:SHOWN]
    ]
    cancelled = sum(len(found.cancel) for _, found in changes)
    return RuleChanged(rule, dry_run, len(planned), cancelled, shown, rule.row_version)


async def _save_gateway(
    call: Call[Any, Any], before: SettingsRow, url: str | None, sealed: bytes | None, secret: str
) -> GatewayWithSecret:
    study = before.study
    await call.connection.execute(upsert_settings(study, gateway_url=url, gateway_secret=sealed))
    after = await read_settings_row(call, study)
    action = "reminder_gateway.put" if url is not None else "reminder_gateway.delete"
    await call.record(
        action,
        "reminder_settings",
        study,
        study=study,
        before={"host": before.gateway_host},
        after={"host": after.gateway_host},
    )
    return GatewayWithSecret(url or "", secret, after.row_version)


def _now() -> datetime:
    return datetime.now(UTC)


_STUDY = "/api/schedules/reminders/{study}"
_CHANGES = (412, 428)

ROUTES: list[Route] = [
    get(f"{_STUDY}/rules", list_rules, right="visits.read"),
    put(f"{_STUDY}/rules/{{code}}", put_rule, right="visits.write", errors=(409, *_CHANGES)),
    delete(f"{_STUDY}/rules/{{code}}", retire_rule_of, right="visits.write", errors=(409, *_CHANGES)),
    get(f"{_STUDY}/settings", get_settings, right="visits.read"),
    put(f"{_STUDY}/settings", put_settings, right="visits.write", errors=_CHANGES),
    put(f"{_STUDY}/gateway", put_gateway, right="webhooks.manage", errors=_CHANGES, secret=True),
    delete(f"{_STUDY}/gateway", delete_gateway, right="webhooks.manage", errors=_CHANGES),
]
