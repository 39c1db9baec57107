"""Rules, settings, templates and opt-outs of reminders as people see and change them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Delete, Select, Update, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.dml import ReturningDelete, ReturningInsert

from reporting.queries.rows import columns_of
from reporting.reminders.schedule import Channel, Moment
from reporting.scope import Scope, within
from reporting.tables import (
    participants,
    reminder_opt_outs,
    reminder_rules,
    reminder_settings,
    reminder_templates,
    reminders,
)

MOST_RULES: Final = 50
"""Of one study."""
MOST_TEMPLATES: Final = 1000

_rule, _set, _tpl, _out = reminder_rules.c, reminder_settings.c, reminder_templates.c, reminder_opt_outs.c


class RuleRow(msgspec.Struct, frozen=True):
    """When a study reminds of its visits. `send_at` is local time; `visits` null: all."""

    study: str
    code: str
    moment: Moment
    days: int
    repeat_every_days: int
    repeat_times: int
    channel: Channel
    send_at: str
    useful_hours: int
    visits: list[str] | None
    retired: bool
    row_version: int
    updated_at: datetime


class SettingsRow(msgspec.Struct, frozen=True):
    """What a study says of all its reminders. `row_version` 0: the defaults. Quiet hours null: none. Of the
    gateway's URL only the host is told: the rest may have a key in it.
    """

    study: str
    quiet_from: str | None
    quiet_to: str | None
    clock: str
    most_per_day: int
    sender_name: str
    language: str
    gateway_host: str | None
    row_version: int


class TemplateRow(msgspec.Struct, frozen=True):
    """What a rule's reminders say in a language."""

    study: str
    rule: str
    language: str
    subject: str
    text: str
    row_version: int
    updated_at: datetime


class OptOutRow(msgspec.Struct, frozen=True):
    """Who wants no reminders by a channel, or `all`. `by_whom`: `participant`, or a person's address."""

    study: str
    participant: str
    site: str | None
    channel: str
    at: datetime
    by_whom: str


RULE_SORTABLE = {name: _rule[name] for name in ("code", "moment", "days", "channel", "updated_at")}
RULE_KEY = [_rule.code]
TEMPLATE_SORTABLE = {name: _tpl[name] for name in ("rule", "language", "updated_at")}
TEMPLATE_KEY = [_tpl.rule, _tpl.language]
OPT_OUT_SORTABLE = {name: _out[name] for name in ("participant", "channel", "at")}
OPT_OUT_KEY = [_out.participant, _out.channel]


_ORIGIN: Final = "^https?://([^/?#]+)"


def default_settings(study: str) -> SettingsRow:
    """Of a study that has said nothing."""
    return SettingsRow(study, "21:00", "08:00", "participant", 3, "", "en", None, 0)


def select_rules(study: str) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of RuleRow, in no order."""
    send_at = _clock(_rule.send_at).label("send_at")
    return select(*columns_of(RuleRow, reminder_rules, besides=[send_at])).where(_rule.study == study)


def upsert_rule(study: str, code: str, **fields: Any) -> Insert:
    """Statement: make it, or change it."""
    return _upserted(reminder_rules, {"study": study, "code": code}, fields)


def retire_rule(study: str, code: str) -> Update:
    """Statement: it makes no reminders any more."""
    return (
        update(reminder_rules)
        .where(_rule.study == study, _rule.code == code)
        .values(retired=True, row_version=_rule.row_version + 1, updated_at=func.now())
    )


def select_settings(study: str) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of SettingsRow."""
    host = func.substring(_set.gateway_url, _ORIGIN).label("gateway_host")
    besides = [host, *(_clock(_set[name]).label(name) for name in ("quiet_from", "quiet_to"))]
    return select(*columns_of(SettingsRow, reminder_settings, besides=besides)).where(_set.study == study)


def upsert_settings(study: str, **fields: Any) -> Insert:
    """Statement: make or change them."""
    return _upserted(reminder_settings, {"study": study}, fields)


def select_templates(study: str) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of TemplateRow, in no order."""
    return select(*columns_of(TemplateRow, reminder_templates)).where(_tpl.study == study)


def one_template(rule: str, language: str) -> ColumnElement[bool]:
    """Condition: this one."""
    return and_(_tpl.rule == rule, _tpl.language == language)


def upsert_template(study: str, rule: str, language: str, **fields: Any) -> Insert:
    """Statement: make or change it."""
    return _upserted(reminder_templates, {"study": study, "rule": rule, "language": language}, fields)


def delete_template(study: str, rule: str, language: str) -> Delete:
    """Statement: delete it."""
    return delete(reminder_templates).where(_tpl.study == study, one_template(rule, language))


def select_opt_outs(study: str, scope: Scope, participant: str | None = None) -> Select[*tuple[Any, ...]]:
    """Statement: the fields of OptOutRow of a study, of participants in the scope, or of one of them."""
    p = participants.c
    statement = (
        select(_out.study, _out.participant, p.site, _out.channel, _out.at, _out.by_whom)
        .join(participants, and_(p.study == _out.study, p.code == _out.participant))
        .where(_out.study == study, within(scope, study=p.study, site=p.site))
    )
    return statement if participant is None else statement.where(_out.participant == participant)


def opt_out(study: str, participant: str, channel: str, by_whom: str) -> ReturningInsert[str]:
    """Statement: they want none by this channel; its row, unless it was said before: who said so first
    counts.
    """
    told = {"study": study, "participant": participant, "channel": channel, "by_whom": by_whom}
    return insert(reminder_opt_outs).values(told).on_conflict_do_nothing().returning(_out.channel)


def opt_in(study: str, participant: str, channel: str) -> ReturningDelete[str]:
    """Statement: take an opt-out back; who had said it."""
    named = (_out.study == study, _out.participant == participant, _out.channel == channel)
    return delete(reminder_opt_outs).where(*named).returning(_out.by_whom)


def _clock(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.to_char(column, "HH24:MI")


def _upserted(table: Any, key: dict[str, Any], fields: dict[str, Any]) -> Insert:
    inserted = insert(table).values(**key, **fields)
    names: Sequence[str] = list(fields)
    return inserted.on_conflict_do_update(
        index_elements=list(key),
        set_={
            **{name: inserted.excluded[name] for name in names},
            "row_version": table.c.row_version + 1,
            "updated_at": func.now(),
        },
    )


def select_recipient(number: int | None) -> Select[str, str, str, str | None]:
    """Statement: study, participant, channel and the participant's site of a reminder."""
    r, p = reminders.c, participants.c
    return (
        select(r.study, r.participant, r.channel, p.site)
        .join(participants, and_(p.study == r.study, p.code == r.participant))
        .where(r.id == number)
    )


def select_language(study: str, participant: str) -> Select[str | None]:
    """Statement: the participant's."""
    return select(participants.c.language).where(
        participants.c.study == study, participants.c.code == participant
    )
