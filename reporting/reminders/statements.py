"""The SQL of planning reminders, as statements that API, relay, worker and projector execute alike."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Delete,
    Select,
    Text,
    Update,
    and_,
    any_,
    bindparam,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert

from reporting.reminders.schedule import Key, Planned, Reason
from reporting.tables import (
    participants,
    reminder_opt_outs,
    reminder_rules,
    reminder_settings,
    reminder_timezones,
    reminders,
    sites,
    visits,
)

_r = reminders.c


def select_codes(study: str) -> Select[str]:
    """Statement: all participants of a study."""
    return select(participants.c.code).where(participants.c.study == study).order_by(participants.c.code)


def select_rules(study: str) -> Select[Any]:
    """Statement: the fields of Rule, by code."""
    c = reminder_rules.c
    return (
        select(
            c.code,
            c.moment,
            c.days,
            c.channel,
            c.send_at,
            c.useful_hours,
            c.repeat_every_days,
            c.repeat_times,
            c.visits,
            c.retired,
        )
        .where(c.study == study)
        .order_by(c.code)
    )


def select_settings(study: str) -> Select[Any]:
    """Statement: (quiet_from, quiet_to, clock, most_per_day); no row where nobody has set any."""
    c = reminder_settings.c
    return select(c.quiet_from, c.quiet_to, c.clock, c.most_per_day).where(c.study == study)


def select_people(study: str, codes: Sequence[str]) -> Select[Any]:
    """Statement: (code, status, site's timezone, own timezone, channels opted out of)."""
    p, zone, out = participants.c, reminder_timezones.c, reminder_opt_outs.c
    opted_out = (
        select(func.array_agg(out.channel))
        .where(out.study == p.study, out.participant == p.code)
        .scalar_subquery()
    )
    return (
        select(p.code, p.status, func.coalesce(sites.c.timezone, "UTC"), zone.timezone, opted_out)
        .select_from(
            participants.outerjoin(sites, sites.c.code == p.site).outerjoin(
                reminder_timezones, (zone.study == p.study) & (zone.participant == p.code)
            )
        )
        .where(p.study == study, p.code == any_(_texts(codes)))
        .order_by(p.code)
    )


def select_visits(study: str, codes: Sequence[str]) -> Select[Any]:
    """Statement: (participant, fields of Visit)."""
    v = visits.c
    return (
        select(v.participant, v.code, v.state, v.due_on, v.window_to)
        .where(v.study == study, v.participant == any_(_texts(codes)))
        .order_by(v.participant, v.code)
    )


def select_stored(study: str, codes: Sequence[str]) -> Select[Any]:
    """Statement: (participant, id, fields of Key, planned_at, useful_until, state, reason, may_be_there)."""
    key = (_r[name] for name in Key._fields)
    columns = (_r.planned_at, _r.useful_until, _r.state, _r.reason, _r.sending_at.is_not(None))
    return select(_r.participant, _r.id, *key, *columns).where(
        _r.study == study, _r.participant == any_(_texts(codes))
    )


def plan(study: str, wanted: Sequence[tuple[str, Planned]]) -> Insert:
    """Statement: these (participant, reminder) are planned, unless they are being sent, were, or
    somebody may have them; one parameter, however many.
    """
    rows = [
        {
            "participant": participant,
            **each.key._asdict(),
            "planned_at": each.planned_at.isoformat(),
            "useful_until": each.useful_until.isoformat(),
        }
        for participant, each in wanted
    ]
    names = ["participant", *Key._fields, "planned_at", "useful_until"]
    given = (
        func.jsonb_to_recordset(bindparam("rows", rows, JSONB))
        .table_valued(*(Column(name, reminders.c[name].type) for name in names))
        .render_derived(name="given", with_types=True)
    )
    inserted = insert(reminders).from_select(
        ["study", *names], select(literal(study), *(given.c[name] for name in names))
    )
    return inserted.on_conflict_do_update(
        index_elements=["study", "participant", "visit", "rule", "channel", "occurrence"],
        set_={
            "planned_at": inserted.excluded.planned_at,
            "useful_until": inserted.excluded.useful_until,
            "state": "planned",
            "reason": None,
            "waits_until": None,
            "updated_at": func.now(),
        },
        where=or_(
            _r.state.in_(("planned", "queued")), and_(_r.state == "cancelled", _r.sending_at.is_(None))
        ),
    )


def cancel(found: Sequence[tuple[int, Reason]]) -> Update:
    """Statement: these (id, reason) are not to be sent, unless somebody is at it."""
    given = (
        func.unnest(
            literal([number for number, _ in found], ARRAY(BigInteger)),
            _texts([reason for _, reason in found]),
        )
        .table_valued(Column("id", BigInteger), Column("reason", Text))
        .render_derived(name="given")
    )
    return (
        update(reminders)
        .where(_r.id == given.c.id, _r.state.in_(("planned", "queued")))
        .values(state="cancelled", reason=given.c.reason, updated_at=func.now())
    )


def upsert_timezones(study: str, zones: Sequence[tuple[str, str]]) -> Insert:
    """Statement: these participants have these timezones. At least one, each once."""
    rows = [
        {"study": study, "participant": participant, "timezone": timezone} for participant, timezone in zones
    ]
    inserted = insert(reminder_timezones).values(rows)
    return inserted.on_conflict_do_update(
        index_elements=["study", "participant"], set_={"timezone": inserted.excluded.timezone}
    )


def delete_timezones(study: str, codes: Sequence[str]) -> Delete:
    """Statement: these participants' timezones are not known."""
    z = reminder_timezones.c
    return delete(reminder_timezones).where(z.study == study, z.participant == any_(_texts(codes)))


def _texts(values: Sequence[str]) -> Any:
    return literal(list(values), ARRAY(Text()))
