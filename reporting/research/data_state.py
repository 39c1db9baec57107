"""What state the rows are in that research reads of a study: equal rows, equal state. Statements.

Postgres hashes rows by their content and adds the hashes up, so that neither their order nor their place
matters. Trials are not hashed: whoever replaces the trials of a session writes its row anew, with another
`projected_at`, in the same transaction.

| what changes | noticed by |
|---|---|
| a document (a session's rows are replaced as a whole) | `sessions` |
| scores by a new definition, flags by a new rule | `scores`, `quality_flags` |
| a contradiction, a correction, another revision | `conflicts`, `corrections`, `losing_revisions` |
| the roster, visits, the policy of de-identification | their rows, of the whole study |
| 64 bits that happen to be equal | not at all: once in 10^19 changes |
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Select, Table, Text, and_, cast, func, literal, select

from reporting import tables
from reporting.tables import sessions

_OF_STUDY: Final = (tables.participants, tables.visits, tables.research_policies)
_OF_SESSION: Final = (tables.scores, tables.quality_flags, tables.conflicts, tables.corrections)


def data_state(connection: Connection, study: str, sites: Sequence[str] | None) -> Mapping[str, str]:
    """By table: number of rows and sum of their hashes, as text. `sites` None: every site of the study."""
    found: dict[str, str] = {}
    for table, statement in _statements(study, sites):
        found[table.name] = str(connection.execute(statement).scalar_one())
    return found


def _statements(study: str, sites: Sequence[str] | None) -> list[tuple[Table, Select[Any]]]:
    s = sessions.c
    of_study = [s.study == study] if sites is None else [s.study == study, s.site.in_(list(sites))]
    found = [(sessions, _digest(sessions).where(*of_study))]
    for table in _OF_SESSION:
        c = table.c
        joined = table.join(sessions, and_(s.site == c.site, s.id == c.session_id))
        found.append((table, _digest(table).select_from(joined).where(*of_study)))
    losing = tables.losing_revisions
    joined = losing.join(
        sessions, and_(s.site == losing.c.site, literal("session:", Text) + s.id == losing.c.doc_id)
    )
    found.append((losing, _digest(losing).select_from(joined).where(*of_study)))
    found += [(table, _digest(table).where(table.c.study == study)) for table in _OF_STUDY]
    return found


def _digest(table: Table) -> Select[Any]:
    hashed = func.hash_record_extended(table.table_valued(), literal(0, BigInteger))
    told = func.concat(func.count(), ":", func.coalesce(func.sum(hashed), 0))
    return select(cast(told, Text)).select_from(table)
