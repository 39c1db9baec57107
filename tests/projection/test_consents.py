"""Consents become rows, and sessions begun without one are flagged, in whatever order both arrive."""

import itertools
from typing import Any

import msgspec
import psycopg
import pytest

from reporting.consent.flagging import ConsentChanges
from reporting.documents.kinds import Invalid
from reporting.documents.validate import validate
from reporting.engine import connect
from reporting.projection import row_proof
from reporting.projection.feed import SiteDatabase
from reporting.projection.rebuild import Rebuilt, rebuild_site
from reporting.tables import RESULTS
from tests.documents.examples import a_consent, a_session
from tests.projection.conftest import Project, rows, states
from tests.projection.memory_feed import MemoryFeed

SIGNATURE = {"signature.png": {"content_type": "image/png", "length": 3, "digest": "md5-x", "stub": True}}


def signed(name: str = "c1", *, version: int = 1, **members: Any) -> dict[str, Any]:
    form = {"id": "main", "version": version}
    return a_consent(name, **{"study": "SRO", "form": form, "_attachments": SIGNATURE, **members})


def require(connection: psycopg.Connection, *versions: bool, required: bool = True) -> None:
    """A study that requires consent; versions of its form, each told whether it supersedes."""
    connection.execute("INSERT INTO studies (code, consent_required) VALUES ('SRO', true)")
    connection.execute("INSERT INTO participants (study, code, site) VALUES ('SRO', 's012', 'lima')")
    for number, supersedes in enumerate(versions, 1):
        publish(connection, number, f"2016-01-{number:02}", supersedes=supersedes, required=required)


def publish(
    connection: psycopg.Connection, version: int, day: str, *, supersedes: bool, required: bool = True
) -> None:
    connection.execute(
        "INSERT INTO consent_forms (study, id, version, texts, supersedes, required, created_at)"
        " VALUES ('SRO', 'main', %s, '{}', %s, %s, %s)",
        (version, supersedes, required, day),
    )


def withdraw(connection: psycopg.Connection, at: str, form: str | None = "main") -> None:
    connection.execute(
        "INSERT INTO consent_withdrawals (study, participant, form, withdrawn_at, reason, recorded_by)"
        " VALUES ('SRO', 's012', %s, %s, 'asked', 'c')",
        (form, at),
    )


def flagged(connection: psycopg.Connection) -> dict[str, str]:
    """By session, the state of the one form."""
    return dict(
        rows(
            connection,
            "SELECT session_id, detail #>> '{forms,0,state}' FROM quality_flags"
            " WHERE code = 'no_valid_consent'",
        )
    )


async def rebuild(feed: MemoryFeed, database_url: str, site: str, *, dry_run: bool = True) -> Rebuilt:
    database = SiteDatabase(site, f"site-{site}")
    return await rebuild_site(
        feed, database_url, database, new_epoch=lambda: "e", tell=lambda *_: None, dry_run=dry_run
    )


async def test_a_consent_is_a_row_and_tells_what_is_odd_about_it(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    for doc_id in ("consent:c1", "consent:c3", "consent:c4"):
        connection.execute(
            "INSERT INTO ingest_log"
            " (site, doc_id, rev, outcome, device, role, credential, request_id, received_at)"
            " VALUES ('lima', %s, '1-a', 'received', 't1', 'tablet', 'c', 'r', '2016-07-22T04:00Z')",
            (doc_id,),
        )
    text = {"signature.png": {"content_type": "text/html", "length": 3}}
    feed["lima"].save(signed(language="es", device={"id": "t1"}), "1-a")
    feed["lima"].save(a_consent("c2", form=None, _attachments=text), "1-a")
    feed["lima"].save(signed("c3", signed_at="2016-07-23T03:00:00Z"), "1-a")
    feed["lima"].save(signed("c4", signed_at="1970-01-01T00:05:00Z"), "1-a")
    await project()
    told = "study, participant, form, form_version, language, device_id, has_signature, flags"
    assert rows(connection, f"SELECT {told} FROM consents ORDER BY id") == [  # noqa: S608 (our own columns)
        ("SRO", "s012", "main", 1, "es", "t1", True, []),
        (None, "s012", None, None, None, None, False, ["no_study", "no_form", "no_signature"]),
        ("SRO", "s012", "main", 1, None, None, True, ["clock_ahead"]),
        ("SRO", "s012", "main", 1, None, None, True, ["clock_unset"]),
    ]
    corrected = rows(connection, "SELECT id, signed_at_corrected = received_at FROM consents ORDER BY id")
    assert corrected == [("c1", None), ("c2", None), ("c3", True), ("c4", True)]
    events = rows(
        connection, "SELECT key, payload #>> '{data,study}' FROM outbox WHERE kind = 'event' ORDER BY key"
    )
    assert events == [(f"consent.signed:lima/c{n}", None if n == 2 else "SRO") for n in (1, 2, 3, 4)]
    feed["lima"].mark = None
    connection.execute("DELETE FROM outbox")
    await project()
    assert rows(connection, "SELECT key FROM outbox WHERE kind = 'event'") == []


@pytest.mark.parametrize(
    ("members", "code", "path"),
    [
        ({"study": 7}, "wrong_type", "$.study"),
        ({"study": "x" * 161}, "too_long", "$.study"),
        ({"form": "main"}, "wrong_type", "$.form"),
        ({"form": {"id": "main"}}, "missing_member", "$.form.version"),
        ({"form": {"id": "main", "version": 2**31}}, "out_of_range", "$.form.version"),
        ({"signed_at": "0900-01-01T00:00:00Z"}, "out_of_range", "$.signed_at"),
        ({"device": "tab"}, "wrong_type", "$.device"),
    ],
)
def test_what_is_no_consent_is_quarantined(members: dict[str, Any], code: str, path: str) -> None:
    judged = validate("consent:c1", msgspec.json.encode(signed(**members)), site="lima")
    assert isinstance(judged, Invalid)
    assert (judged.code, judged.path) == (code, path)


async def test_odd_consents_stop_nobody(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(signed("a\x00", participant="p\x00", language="\x00"), "1-a")
    feed["lima"].save(signed("b", _attachments=[1]), "1-a")
    feed["lima"].save(signed("c", _attachments={"signature.png": 7}), "1-a")
    feed["lima"].save(signed("d", language="x" * 1_000_000), "1-a")
    feed["lima"].save(signed("e", _attachments={"signature.png": {"content_type": ["image/png"]}}), "1-a")
    feed["lima"].save(signed("f"), "1-a")
    await project()
    assert set(states(connection).values()) == {"projected"}
    assert rows(connection, "SELECT count(*), count(*) FILTER (WHERE has_signature) FROM consents") == [
        (6, 3)
    ]


async def test_of_differing_leaves_the_earliest_signature_counts_and_all_are_kept(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(signed(signed_at="2016-07-22T05:00:00Z"), "2-b")
    feed["lima"].save(signed(signed_at="2016-07-22T03:00:00Z"), "1-a")
    feed["lima"].save(signed(signed_at=None), "3-c")
    await project()
    assert rows(connection, "SELECT rev, flags FROM consents") == [("1-a", ["differing_leaves"])]
    assert states(connection) == {"consent:c1": "projected"}
    assert rows(connection, "SELECT rev FROM losing_revisions ORDER BY rev") == [("1-a",), ("2-b",)]
    assert (await rebuild(feed, database_url, "lima")).replaced == 0
    feed["lima"].save(signed(signed_at="2016-07-22T03:00:00Z"), "4-c", replaces=["3-c", "2-b"])
    await project()
    assert rows(connection, "SELECT rev, flags FROM consents") == [("4-c", [])]


def before_and_after() -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        "without": ("lima", a_session("s1", started_at="2016-07-22T02:00:00Z")),
        "with": ("lima", a_session("s2", started_at="2016-07-22T03:05:00Z")),
        "elsewhere": ("nairobi", a_session("s3", started_at="2016-07-22T03:10:00Z", site="nairobi")),
        "consent": ("lima", signed()),
    }


@pytest.mark.parametrize("at_once", [1, 2])
async def test_any_order_of_sessions_and_consents_gives_the_same_flags_also_across_sites(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str, *, at_once: int
) -> None:
    require(connection, True)
    for order in itertools.permutations(before_and_after().values()):
        for position, (site, document) in enumerate(order):
            feed[site].save(document, "1-a")
            if position % at_once == 0:
                await project()
        await project()
        assert flagged(connection) == {"s1": "none"}
        if order[0][1]["type"] == "consent":
            for site in ("lima", "nairobi"):
                assert (await rebuild(feed, database_url, site)).replaced == 0
        for table in RESULTS:
            connection.execute(f"DELETE FROM {table.name}".encode())  # noqa: S608 (our own tables)
        connection.execute("DELETE FROM checkpoints")
        feed.recreate("lima")
        feed.recreate("nairobi")
    assert rows(connection, "SELECT 1 FROM consent_changes") != []


async def test_flags_follow_withdrawals_versions_and_what_the_study_requires(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    feed["lima"].save(a_session("s1", started_at="2016-07-22T03:05:00Z"), "1-a")
    feed["lima"].save(a_session("s2", started_at="2016-08-22T03:05:00Z", ended_at=None), "1-a")
    await project()
    require(connection, True, False)
    await project()
    assert flagged(connection) == {"s1": "none", "s2": "none"}
    feed["lima"].save(signed(), "1-a")
    await project()
    assert flagged(connection) == {}
    publish(connection, 3, "2016-08-01", supersedes=True)
    await project()
    assert flagged(connection) == {"s2": "outdated"}
    feed["lima"].save(signed("c2", version=3, signed_at="2016-08-02T00:00:00Z"), "1-a")
    await project()
    assert flagged(connection) == {}
    withdraw(connection, "2016-08-10T00:00:00Z")
    await project()
    assert flagged(connection) == {"s2": "withdrawn"}
    assert (await rebuild(feed, database_url, "lima")).replaced == 0
    withdraw(connection, "2016-07-22T03:02:00Z", None)
    await project()
    assert flagged(connection) == {"s1": "withdrawn", "s2": "withdrawn"}
    connection.execute("UPDATE studies SET consent_required = false")
    await project()
    assert flagged(connection) == {}
    assert rows(connection, "SELECT 1 FROM consent_changes") == []
    asked = rows(connection, "SELECT DISTINCT payload ->> 'doc_id' FROM outbox WHERE kind = 'publication'")
    assert ("participant:SRO/s012",) in asked


async def test_a_consent_that_is_gone_counts_no_more_until_it_is_found_again(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    require(connection, True)
    feed["lima"].save(a_session("s1", started_at="2016-07-22T03:05:00Z"), "1-a")
    feed["lima"].save(signed(), "1-a")
    await project()
    assert flagged(connection) == {}
    feed.recreate("lima").save(a_session("s1", started_at="2016-07-22T03:05:00Z"), "1-a")
    await project()
    assert flagged(connection) == {"s1": "none"}
    assert (await rebuild(feed, database_url, "lima", dry_run=False)).replaced == 0
    feed["lima"].save(signed(), "1-a")
    await project()
    assert flagged(connection) == {}


async def test_times_of_one_tablet_are_compared_by_its_own_clock_and_others_by_corrected_ones(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    require(connection, True)
    # A clock that is a day ahead, and all of it received at four.
    for doc_id in ("session:s1", "consent:c1", "session:s2"):
        connection.execute(
            "INSERT INTO ingest_log"
            " (site, doc_id, rev, outcome, device, role, credential, request_id, received_at)"
            " VALUES ('lima', %s, '1-a', 'received', 't1', 'tablet', 'c', 'r', '2016-07-22T04:00Z')",
            (doc_id,),
        )
    ahead = {"started_at": "2016-07-23T03:05:00Z", "ended_at": "2016-07-23T03:20:00Z"}
    feed["lima"].save(signed(signed_at="2016-07-23T03:00:00Z", device={"id": "t1"}), "1-a")
    feed["lima"].save(a_session("s1", device={"id": "t1"}, **ahead), "1-a")
    feed["lima"].save(a_session("s2", device={"id": "t2"}, **ahead), "1-a")
    await project()
    assert flagged(connection) == {"s2": "none"}


async def test_an_optional_form_or_none_at_all_takes_any_consent_to_the_study(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    require(connection, True, required=False)
    feed["lima"].save(a_session("s1", started_at="2016-07-22T03:05:00Z"), "1-a")
    await project()
    assert flagged(connection) == {"s1": "none"}
    feed["lima"].save(signed(form=None), "1-a")
    await project()
    assert flagged(connection) == {}
    publish(connection, 2, "2016-01-03", supersedes=False)
    await project()
    assert flagged(connection) == {"s1": "none"}
    feed["lima"].save(signed("c2", version=9), "1-a")
    await project()
    assert flagged(connection) == {"s1": "none"}


async def test_a_change_is_kept_until_every_site_was_looked_at_also_one_that_a_batch_holds(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection, database_url: str
) -> None:
    require(connection, True)
    for site in ("lima", "nairobi"):
        feed[site].save(a_session(f"at {site}", started_at="2016-07-22T03:05:00Z", site=site), "1-a")
    await project()
    assert flagged(connection) == {"at lima": "none", "at nairobi": "none"}
    with connect(database_url) as other:
        changes = ConsentChanges()
        other.execute(
            "INSERT INTO consents"
            " (site, id, study, participant, form, form_version, signed_at, has_signature, flags, rev)"
            " VALUES ('lima', 'c1', 'SRO', 's012', 'main', 1, '2016-07-22T03:00Z', true, '{}', '1-a')"
        )
        with other.transaction():
            other.execute("SELECT FROM checkpoints WHERE site = 'nairobi' FOR UPDATE")
            assert changes(connection) == 1
            assert flagged(connection) == {"at nairobi": "none"}
            # As another projector would, that dies afterwards.
            assert ConsentChanges()(connection) == 0
        assert rows(connection, "SELECT count(*) FROM consent_changes") == [(1,)]
        assert changes(connection) == 1
    assert flagged(connection) == {}
    assert rows(connection, "SELECT count(*) FROM consent_changes") == [(0,)]


async def test_consents_are_counted_by_proofs(
    feed: MemoryFeed, project: Project, connection: psycopg.Connection
) -> None:
    feed["lima"].save(signed("a"), "1-a")
    feed["lima"].save(signed("b", signed_at="2016-07-23T03:00:00Z"), "2-b")
    feed["lima"].save(signed("b"), "1-a")
    await project()
    about = {"site": "lima", "limit": 10}
    assert connection.execute(row_proof.DOUBLE.encode(), about).fetchall() == []
    assert connection.execute(row_proof.INCOMPLETE.encode(), about).fetchall() == []
    connection.execute("DELETE FROM consents WHERE id = 'a'")
    connection.execute("UPDATE consents SET rev = '0-x' WHERE id = 'b'")
    found = connection.execute(row_proof.INCOMPLETE.encode(), about).fetchall()
    assert [key for key, _ in found] == ["consent:a", "consent:b"]
    connection.execute("DELETE FROM documents")
    found = connection.execute(row_proof.DOUBLE.encode(), about).fetchall()
    assert ("consent:b", 2) in found or ("consent:b", 1) in found
