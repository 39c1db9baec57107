"""What becomes of a document whose leaves only another store than ours would hold."""

import msgspec

from replication.values import Leaf
from reporting.projection.batch import FedDocument, State, spell_revs
from reporting.projection.judge import judge
from tests.documents.examples import a_session

FAR_BEYOND_OURS = ("1-" + "x" * 5000, "2-" + "y" * 150, "9" * 30 + "-a", "no revision", "")


def judged(*revs: str) -> tuple[State, str]:
    leaves = tuple(Leaf("session:s1", rev, False, msgspec.json.encode(a_session("s1"))) for rev in revs)
    document = FedDocument("session:s1", spell_revs(revs), leaves)
    judgement = judge(document, site="lima", receipts={})
    return judgement.state, judgement.winner_rev


def test_revision_that_our_store_would_refuse_is_projected_all_the_same() -> None:
    for rev in FAR_BEYOND_OURS:
        state, winner_rev = judged(rev)
        assert state is State.PROJECTED, rev
        assert winner_rev == spell_revs([rev])[0]


def test_conflict_with_such_a_revision_is_merged_whatever_the_order() -> None:
    for rev in FAR_BEYOND_OURS:
        assert judged(rev, "3-a") == judged("3-a", rev)
        assert judged(rev, "3-a")[0] is State.PROJECTED


def test_higher_position_wins_also_of_a_revision_with_a_long_id() -> None:
    assert judged("10-" + "a" * 5000, "9-b")[1].startswith("10-a")
    assert judged("10-" + "a" * 5000, "11-b")[1] == "11-b"
