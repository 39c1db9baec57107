"""Importing a file of participants: every row's fate is told, and all is done or nothing.

The dry run asks the same question as the real run (`fates.judge`) and writes nothing; what it answers is what
the real run answers, as long as nobody changes the roster in between.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.participants.changing import MakeEntry, apply_changes, load_known, read_study_sites
from reporting.participants.contact import Open, Seal
from reporting.participants.fates import Report, Setting, judge, report
from reporting.participants.roster import select_records
from reporting.participants.table_file import read_table

_AT_ONCE = 500


class Import(NamedTuple):
    """What is imported, by whom: `may_write` is about a site, None where a participant has none; `skip`: rows
    that are not taken do not keep the others from being done.
    """

    study: str
    text: str
    reason: str | None
    dry_run: bool
    skip: bool
    may_write: Callable[[str | None], bool]
    is_erased: Callable[[str], bool]
    seal: Seal
    unseal: Open


async def import_participants(connection: AsyncConnection, wanted: Import, entry: MakeEntry) -> Report:
    """Do it, or with `dry_run` say what would be done. Raises CannotRead, CreatedMeanwhile,
    RecordTaken, and what `unseal` raises.
    """
    # Off the event loop: a file of the largest size takes seconds.
    lines = await asyncio.to_thread(read_table, wanted.text)
    codes = {line.cells.get("code", "").strip() for line in lines}
    known = await load_known(connection, wanted.study, sorted(codes), wanted.unseal)
    where = await read_study_sites(connection, wanted.study)
    given = sorted({line.cells["redcap_id"].strip() for line in lines if "redcap_id" in line.cells})
    records: dict[str, str] = {}
    for start in range(0, len(given), _AT_ONCE):
        found = await connection.execute(select_records(wanted.study, given[start : start + _AT_ONCE]))
        records |= {each.redcap_id: each.code for each in found}
    setting = Setting(where.days, where.closed, wanted.may_write, wanted.is_erased, wanted.reason, records)
    fates, changes = await asyncio.to_thread(judge, lines, known, setting)
    told = report(fates, dry_run=wanted.dry_run, skip=wanted.skip)
    if changes and told.complete and not wanted.dry_run:
        await apply_changes(connection, wanted.study, changes, wanted.seal, entry)
    return told
