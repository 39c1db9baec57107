"""What a push would do, cell by cell, before it does it: last, remote and new. Pure.

`last` is what REDCap was last seen to have taken from us, `remote` what it has now, `new` what the session
has to be now.

| last | remote | new | the cell is |
|---|---|---|---|
| any | a | a | unchanged |
| a, or none and remote blank | a | b | set (remote blank), cleared (new blank), changed |
| a, or none | b | c | edited: a person has changed it, and it would be overwritten |

| the row | kind |
|---|---|
| REDCap has nothing there | create; `is_gone` where it had |
| a cell is edited | edited |
| a cell is set, changed or cleared | update |
| otherwise | unchanged |
| the session cannot be written as the mapping says, or is parked | blocked, with the reason |
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from reporting.redcap.target import Target, Unmapped

CellKind = Literal["unchanged", "set", "changed", "cleared", "edited"]
RowKind = Literal["create", "update", "unchanged", "edited", "blocked"]


class CellComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One column: `last` None where we have never written it, `before` None where REDCap has no row."""

    column: str
    kind: CellKind
    last: str | None
    before: str | None
    after: str


class RowComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One session in one form. `instance` None where it has none yet; `cells` without the unchanged ones."""

    site: str
    session: str
    form: str
    kind: RowKind
    record: str | None = None
    event: str = ""
    instance: int | None = None
    reason: str | None = None
    is_gone: bool = False
    cells: Sequence[CellComparison] = ()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows of each kind, and how many cells would be written."""

    create: int = 0
    update: int = 0
    unchanged: int = 0
    edited: int = 0
    blocked: int = 0
    cells: int = 0


def is_same(column: str, one: str, other: str) -> bool:
    """Whether REDCap takes the two for the same value: space at the ends and carriage returns do not count,
    and neither does whether a box or a form's status is 0 or was never saved.
    """
    return _normal(column, one) == _normal(column, other)


def compare(
    site: str,
    session: str,
    target: Target,
    *,
    instance: int | None,
    last: Mapping[str, str] | None,
    remote: Mapping[str, str] | None,
) -> RowComparison:
    """What writing the target would do. `remote` are all columns of the row that REDCap has at the instance,
    None for no row; a column that was not exported is compared with nothing.
    """
    cells = [
        cell
        for column, new in target.values.items()
        if remote is None or column in remote
        if (cell := _cell(column, last, remote, new)).kind != "unchanged"
    ]
    kinds = {cell.kind for cell in cells}
    kind: RowKind = "edited" if "edited" in kinds else "update" if kinds else "unchanged"
    return RowComparison(
        site=site,
        session=session,
        form=target.address.form,
        kind="create" if remote is None else kind,
        record=target.address.record,
        event=target.address.event,
        instance=instance,
        is_gone=remote is None and last is not None,
        cells=cells,
    )


def blocked(site: str, session: str, why: Unmapped) -> RowComparison:
    """A session that would be parked."""
    reason = f"{why.path}: {why.message}"
    return RowComparison(site=site, session=session, form=why.form, kind="blocked", reason=reason)


def summarise(rows: Iterable[RowComparison]) -> Summary:
    """Counts of all rows."""
    kinds: Counter[str] = Counter()
    cells = 0
    for row in rows:
        kinds[row.kind] += 1
        cells += len(row.cells)
    return Summary(
        create=kinds["create"],
        update=kinds["update"],
        unchanged=kinds["unchanged"],
        edited=kinds["edited"],
        blocked=kinds["blocked"],
        cells=cells,
    )


def _cell(
    column: str, last: Mapping[str, str] | None, remote: Mapping[str, str] | None, new: str
) -> CellComparison:
    ours = None if last is None else last.get(column)
    before = None if remote is None else remote.get(column, "")
    return CellComparison(
        column=column,
        kind=_kind(column, "" if before is None else ours, before or "", new),
        last=ours,
        before=before,
        after=new,
    )


def _kind(column: str, last: str | None, before: str, new: str) -> CellKind:
    if is_same(column, before, new):
        return "unchanged"
    if not is_same(column, before, last or ""):
        return "edited"
    if is_same(column, before, ""):
        return "set"
    return "cleared" if is_same(column, new, "") else "changed"


def _normal(column: str, value: str) -> str:
    value = value.replace("\r\n", "\n").replace("\r", "\n").strip()
    return "" if value == "0" and ("___" in column or column.endswith("_complete")) else value
