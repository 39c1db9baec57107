"""One document's leaves → its state, its rows and what of it is quarantined.

Pure, and it never raises on what a document holds: whatever a tablet has managed to store, the documents
after it are projected. What even this module's own code chokes on is quarantined as `unprojectable` with the
error, because a defect met by one document must not keep every later one of its site from the researchers.

| live leaves | state | rows |
|---|---|---|
| none: every leaf is a deletion | `deleted` | those there are stay |
| of a type that is not judged | `stored` | none |
| one valid, any number invalid | `projected` | the valid one's |
| several valid, any number invalid | `conflicted` | their union |
| only invalid ones | `quarantined` | none |

Each invalid live leaf is quarantined for its own revision.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from replication.values import Leaf
from reporting.documents.kinds import Invalid, Kept, Session
from reporting.documents.merge import ValidLeaf, merge
from reporting.documents.ranking import rank
from reporting.documents.text import key_text, without_nul
from reporting.documents.validate import validate
from reporting.projection.batch import FedDocument, QuarantinedLeaf, Receipt, State
from reporting.projection.copy_text import TrialLines, encode_trials
from reporting.projection.rows import SessionRows, session_rows


class Judgement(NamedTuple):
    """What becomes of one document, before it is written."""

    document: FedDocument
    winner_rev: str
    state: State
    quarantined: tuple[QuarantinedLeaf, ...] = ()
    rows: SessionRows | None = None
    trial_lines: Sequence[TrialLines] = ()
    """The trials by task run, encoded; taken out of `rows` so that only the bytes have to be held."""


def judge(document: FedDocument, *, site: str, receipts: Mapping[str, Receipt]) -> Judgement:
    """`document.leaves` must have been read; `receipts` are those of its revisions, by revision."""
    leaves = _spelled(document)
    winner_rev = max(leaves, key=_rank).rev
    valid: list[ValidLeaf] = []
    kept: list[Kept] = []
    quarantined: list[QuarantinedLeaf] = []
    for leaf in leaves:
        if leaf.deleted:
            continue
        match validate(document.id, leaf.body, site=site):
            case Session() as session:
                valid.append(ValidLeaf(leaf.rev, session))
            case Kept() as document_without_rows:
                kept.append(document_without_rows)
            case Invalid() as reason:
                quarantined.append(QuarantinedLeaf(leaf.rev, reason))
    if not valid:
        state = _state_without_rows(kept, quarantined)
        return Judgement(document, winner_rev, state, tuple(quarantined))
    try:
        rows = session_rows(site, merge(valid), receipts)
        trial_lines = [encode_trials(task_run) for task_run in rows.trials]
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as failure:
        return unprojectable(document, f"{type(failure).__name__}: {failure}", tuple(quarantined))
    rows.trials.clear()
    state = State.CONFLICTED if len(valid) > 1 else State.PROJECTED
    return Judgement(document, winner_rev, state, tuple(quarantined), rows, trial_lines)


def unprojectable(
    document: FedDocument, problem: str, quarantined: tuple[QuarantinedLeaf, ...] = ()
) -> Judgement:
    """The judgement of a document whose leaves are valid, but cannot become rows because of `problem`.

    Leaves in `quarantined` keep their own reasons.
    """
    leaves = _spelled(document)
    judged = {leaf.rev for leaf in quarantined}
    reason = Invalid(
        "unprojectable",
        "$",
        without_nul(f"The document is valid but cannot be projected: {problem}. Report this as a defect."),
    )
    rest = tuple(
        QuarantinedLeaf(leaf.rev, reason) for leaf in leaves if not leaf.deleted and leaf.rev not in judged
    )
    return Judgement(document, max(leaves, key=_rank).rev, State.QUARANTINED, quarantined + rest)


def _state_without_rows(kept: Sequence[Kept], quarantined: Sequence[QuarantinedLeaf]) -> State:
    if not kept:
        return State.QUARANTINED if quarantined else State.DELETED
    if not kept[0].judged:
        return State.STORED
    return State.CONFLICTED if len(kept) > 1 else State.PROJECTED


def _spelled(document: FedDocument) -> list[Leaf]:
    return [
        Leaf(id=leaf.id, rev=key_text(leaf.rev), deleted=leaf.deleted, body=leaf.body)
        for leaf in document.leaves or ()
    ]


def _rank(leaf: Leaf) -> tuple[bool, tuple[int, str]]:
    """Orders leaves as CouchDB does: live before deleted, then by revision."""
    return not leaf.deleted, rank(leaf.rev)
