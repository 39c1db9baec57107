"""The roster as text, row by row: in constant memory, however many participants there are."""

from collections.abc import AsyncIterator
from typing import Final, Literal

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from reporting.participants.contact import MEMBERS, Open, open_contact
from reporting.participants.table_file import COLUMNS, CONTACT_COLUMNS, write_row
from reporting.scope import Scope, within
from reporting.tables import participants

Format = Literal["csv", "ndjson"]
MEDIA_TYPES: Final = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
_AT_ONCE = 500


async def export_lines(
    connection: AsyncConnection, study: str, scope: Scope, kind: Format, unseal: Open | None
) -> AsyncIterator[str]:
    """Pieces of text, of many rows each; with contacts where there is an `unseal`. Raises what it raises."""
    p = participants.c
    wanted = (
        select(p.code, p.site, p.status, p.language, p.enrolled_on, p.redcap_id, p.contact)
        .where(p.study == study, within(scope, study=p.study, site=p.site))
        .order_by(p.code)
    )
    names = COLUMNS if unseal is None else (*COLUMNS, *CONTACT_COLUMNS)
    if kind == "csv":
        yield write_row(names)
    result = await connection.stream(wanted.execution_options(yield_per=_AT_ONCE))
    async for rows in result.partitions():
        pieces = []
        for code, site, status, language, enrolled_on, redcap_id, sealed in rows:
            day = None if enrolled_on is None else enrolled_on.isoformat()
            cells = [code, site, status, language, day, redcap_id]
            if unseal is not None:
                contact = open_contact(sealed, unseal)
                cells += [getattr(contact, name) for name in MEMBERS]
            if kind == "csv":
                pieces.append(write_row(cells))
            else:
                pieces.append(msgspec.json.encode(dict(zip(names, cells, strict=True))).decode() + "\n")
        yield "".join(pieces)
