"""One document's leaves → its state, its rows and what of it is quarantined.

Pure, and it never raises on what a document holds: whatever a tablet has managed to store, the documents
after it are projected. What even this module's own code chokes on is quarantined as `unprojectable` with the
error, because a defect met by one document must not keep every later one of its site from the researchers.

| live leaves | state | rows |
|---|---|---|
| none: every leaf is a deletion | `deleted` | those there are stay |
| of a type that is not judged | `stored` | none |
| of one of `kinds`, any number valid | `projected` | one, see the kind |
| one valid, any number invalid | `projected` | the valid one's |
| several valid, any number invalid, no contradiction | `projected` | their union, flagged `merged` |
| … a contradiction, all of them resolved | `projected` | their union, as resolved |
| … a contradiction that is open | `conflicted` | their union |
| any number valid, a correction outdated | `conflicted` | as corrected |
| only invalid ones | `quarantined` | none |
| of a correction, any number valid | `projected` | the highest valid one's, in `corrections` |

Each invalid live leaf is quarantined for its own revision. Patches are applied to every live leaf before it
is validated, resolutions after the merge; corrections are arguments, so the same ones give the same rows in
whatever order they arrived.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from replication.values import Leaf
from reporting.documents.kinds import Consent, Correction, Device, Invalid, Kept, Session
from reporting.documents.merge import Contradiction, Merged, ValidLeaf, merge
from reporting.documents.patches import Outdated, apply_patches
from reporting.documents.ranking import rank
from reporting.documents.resolutions import settle
from reporting.documents.text import key_text, without_nul
from reporting.documents.upcast import CONTRACT, Contract
from reporting.documents.validate import document_type, validate
from reporting.projection.batch import FedDocument, QuarantinedLeaf, Receipt, State
from reporting.projection.copy_text import Row, TrialLines, encode_trials
from reporting.projection.kinds import KINDS, Kind
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
    row: tuple[Kind, Row] | None = None
    """Of a document that becomes one row."""
    correction: tuple[str, Correction] | None = None
    """Of a `correction` document: the revision that counts, and what it says."""


def judge(
    document: FedDocument,
    *,
    site: str,
    receipts: Mapping[str, Receipt],
    corrections: Sequence[Correction] = (),
    contract: Contract = CONTRACT,
) -> Judgement:
    """`document.leaves` must have been read; `receipts` are those of its revisions, by revision;
    `corrections` are those of the session that the document is.
    """
    leaves = _spelled(document)
    patches = [correction for correction in corrections if correction.kind == "patch"]
    resolutions = [correction for correction in corrections if correction.kind == "resolution"]
    winner_rev = max(leaves, key=_rank).rev
    valid: list[ValidLeaf] = []
    kept: list[Kept] = []
    of_one_row: list[tuple[str, Device | Consent]] = []
    outdated: list[tuple[str, Outdated]] = []
    corrected: list[tuple[str, Correction]] = []
    quarantined: list[QuarantinedLeaf] = []
    for leaf in leaves:
        if leaf.deleted:
            continue
        patched = apply_patches(leaf.body, patches)
        match validate(document.id, patched.body, site=site, contract=contract):
            case Session() as session:
                valid.append(ValidLeaf(leaf.rev, session))
                outdated.extend((leaf.rev, each) for each in patched.outdated)
            case (Device() | Consent()) as named:
                of_one_row.append((leaf.rev, named))
            case Correction() as correction:
                corrected.append((leaf.rev, correction))
            case Kept() as document_without_rows:
                kept.append(document_without_rows)
            case Invalid() as reason:
                quarantined.append(QuarantinedLeaf(leaf.rev, reason))
    if corrected:
        counting = max(corrected, key=lambda found: rank(found[0]))
        return Judgement(document, winner_rev, State.PROJECTED, tuple(quarantined), correction=counting)
    if of_one_row:
        kind = KINDS[document_type(document.id) or ""]
        row = kind.row(site, of_one_row, receipts)
        return Judgement(document, winner_rev, State.PROJECTED, tuple(quarantined), row=(kind, row))
    if not valid:
        return Judgement(document, winner_rev, _state_without_rows(kept, quarantined), tuple(quarantined))
    try:
        merged = _listing(settle(merge(valid), resolutions), outdated)
        rows = session_rows(site, merged, receipts)
        trial_lines = [encode_trials(task_run) for task_run in rows.trials]
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as failure:
        return unprojectable(document, f"{type(failure).__name__}: {failure}", tuple(quarantined))
    rows.trials.clear()
    is_settled = all(contradiction.state == "resolved" for contradiction in merged.contradictions)
    state = State.PROJECTED if is_settled else State.CONFLICTED
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


def _listing(merged: Merged, outdated: Sequence[tuple[str, Outdated]]) -> Merged:
    """With outdated patches among what is listed, each path of a patch once: the highest leaf's."""
    listed = {
        (found.path, found.correction): Contradiction(
            found.path, rev, found.shown, found.correction, found.found, "outdated", found.correction
        )
        for rev, found in sorted(outdated, key=lambda each: rank(each[0]))
    }
    return merged._replace(contradictions=(*merged.contradictions, *listed.values()))


def _state_without_rows(kept: Sequence[Kept], quarantined: Sequence[QuarantinedLeaf]) -> State:
    if not kept:
        return State.QUARANTINED if quarantined else State.DELETED
    return State.STORED


def _spelled(document: FedDocument) -> list[Leaf]:
    return [
        Leaf(id=leaf.id, rev=key_text(leaf.rev), deleted=leaf.deleted, body=leaf.body)
        for leaf in document.leaves or ()
    ]


def _rank(leaf: Leaf) -> tuple[bool, tuple[int, str]]:
    """Orders leaves as CouchDB does: live before deleted, then by revision."""
    return not leaf.deleted, rank(leaf.rev)
