"""Members that were edited here, into a participant's record: those whose `direction` is `both` or `push`.

    what is here, where REDCap has what was last taken ─▶ import ─▶ read back ─▶ kept as taken

The address is the record's own row (of the mapping's event): the same import twice is the same. What a person
had changed in REDCap when it was read is not sent: that is a conflict (`roster_decision`).

| what happens | outcome |
|---|---|
| the process dies after REDCap took it | the next pull finds both alike |
| … before | the next pull that looks at the participant sends it |
| REDCap refuses a value | the record is listed with the line; the others are sent again without it |
| the values read back differ | the record is listed; the next edit tries again |
| any other fault | the pull ends with it; what was taken stays |
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from reporting.audit import record_entry
from reporting.redcap.faults import BadRows, Locked, faulty_rows
from reporting.redcap.pulled import keep_problem, keep_pushed
from reporting.redcap.remote import EVENT
from reporting.redcap.roster_mapping import by_record, spelling
from reporting.redcap.roster_plan import Planned
from sync_server.redcap.pull_parts import Pulling, Refused, asked, entry_by, sealer_prints

AT_ONCE: Final = 100

Row = dict[str, str]


async def push_back(this: Pulling, planned: Sequence[Planned]) -> None:
    """Send what goes to REDCap of these. Raises Refused, NoTurn."""
    rows: dict[str, tuple[Planned, Row]] = {}
    for each in planned:
        if each.to_push:
            try:
                rows[each.record] = (each, _row(this, each))
            except ValueError as error:
                await _tell(this, each.record, str(error))
    names = sorted(rows)
    for start in range(0, len(names), AT_ONCE):
        await _send(this, {name: rows[name] for name in names[start : start + AT_ONCE]})


def _row(this: Pulling, planned: Planned) -> Row:
    fields = this.roster.fields
    values = {
        fields[member].source or "": spelling(fields[member], value)
        for member, value in planned.to_push.items()
    }
    named = {this.record_id: planned.record}
    return named | ({EVENT: this.roster.event} if this.roster.event is not None else {}) | values


async def _send(this: Pulling, rows: Mapping[str, tuple[Planned, Row]]) -> None:
    waiting = dict(rows)
    while waiting:
        given = [row for _, row in waiting.values()]
        answer = await this.client.import_rows(given, has_contacts=True)
        if isinstance(answer, list):
            await _read_back(this, waiting)
            return
        lines = answer.lines if isinstance(answer, BadRows | Locked) else ()
        names = list(waiting)
        refused = faulty_rows(lines, names)
        if not refused:
            raise Refused(answer)
        for index, of_record in refused.items():
            del waiting[names[index]]
            told = "; ".join(f"{line.field}: {line.message}" for line in of_record)
            await _tell(this, names[index], f"REDCap does not take {told}")


async def _read_back(this: Pulling, rows: Mapping[str, tuple[Planned, Row]]) -> None:
    fields = sorted({name for _, row in rows.values() for name in row} - {this.record_id, EVENT})
    found = by_record(await asked(this, records=sorted(rows), fields=fields), this.record_id)
    prints = sealer_prints(this.redcaps.sealer)
    for record, (planned, row) in rows.items():
        own = [
            each
            for each in found.get(record, [])
            if not each.get("redcap_repeat_instance") and row.get(EVENT) in (None, each.get(EVENT))
        ]
        differs = [name for name, value in row.items() if not own or str(own[0].get(name, "")) != value]
        if differs:
            await _tell(this, record, f"REDCap has not kept {', '.join(differs)} as it was sent.")
            continue
        kept: dict[str, Any] = {
            member: prints(value)[0] if value is not None and member.startswith("contact.") else value
            for member, value in planned.to_push.items()
        }
        entry = entry_by(this.state.project)(
            action="participant.push",
            entity_id=f"{this.state.study}/{planned.participant}",
            study=this.state.study,
            before=None,
            after={"record": record, "members": sorted(planned.to_push)},
        )
        async with this.redcaps.engine.begin() as connection:
            await connection.execute(keep_pushed(this.state.project, record, kept))
            await connection.execute(record_entry(entry))


async def _tell(this: Pulling, record: str, problem: str) -> None:
    async with this.redcaps.engine.begin() as connection:
        await connection.execute(keep_problem(this.state.project, record, problem))
