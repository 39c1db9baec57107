"""What was erased and may not come again, as statements."""

from collections.abc import Iterable

from sqlalchemy import Insert, LargeBinary, Select, TextClause, cast, func, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert

from reporting.tables import erased_documents, erased_subjects

CHANNEL = "erasures"
"""Gateways listen here: something more is blocked."""


def select_extent() -> Select[int, int]:
    """Statement: how many subjects and documents are blocked; nothing is ever taken out."""
    subjects = select(func.count()).select_from(erased_subjects).scalar_subquery()
    documents = select(func.count()).select_from(erased_documents).scalar_subquery()
    return select(subjects, documents)


def select_subjects() -> Select[bytes]:
    """Statement: the fingerprints of erased subjects."""
    return select(erased_subjects.c.subject)


def select_documents() -> Select[bytes]:
    """Statement: the fingerprints of erased documents."""
    return select(erased_documents.c.document)


def block_subjects(fingerprints: Iterable[bytes], erasure: int) -> Insert:
    """Statement: refuse these subjects from now on; at least one."""
    rows = [{"subject": each, "erasure": erasure} for each in sorted(set(fingerprints))]
    return insert(erased_subjects).values(rows).on_conflict_do_nothing()


def block_documents(fingerprints: Iterable[bytes], erasure: int) -> Insert:
    """Statement: refuse these documents from now on."""
    wanted = func.unnest(cast(sorted(set(fingerprints)), ARRAY(LargeBinary))).column_valued("document")
    rows = select(wanted, literal(erasure))
    return insert(erased_documents).from_select(["document", "erasure"], rows).on_conflict_do_nothing()


def notify() -> TextClause:
    """Statement: tell the gateways, at the commit."""
    return text(f"NOTIFY {CHANNEL}")
