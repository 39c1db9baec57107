"""A job as a document of `_replicator`, what a scheduler says of it, and which other sides are taken."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet

from replication.errors import Unauthorized
from replication.mango.matching import matches
from replication.mango.selector import parse_selector
from replication.replicator.definition import parse_definition
from reporting.replication_jobs.rows import WantedJob
from sync_server.replication_jobs.asked import GivenCredential, NewJob, Refused, wanted_job
from sync_server.replication_jobs.credentials import Credential, look_up_with, seal
from sync_server.replication_jobs.documents import LocalSide, document_of, plan, selector_of
from sync_server.replication_jobs.looks import COUCHDB, EMBEDDED, look_of
from sync_server.replication_jobs.remote import Own, refusal_of_remote, refusal_of_selector
from sync_server.sealing import Sealer

URL = "https://centre.example/db/site-lima"
SEALER = Sealer((Fernet.generate_key().decode(),))
OWN = Own(
    ["http://hub.example:8000", "http://127.0.0.1:8001", "https://hub.example"],
    ["http://hub.example:8000/db", "http://127.0.0.1:8001/db", "http://couch:5984", "http://10.0.0.9:5984"],
    production=False,
)


def job(**members: Any) -> WantedJob:
    given: dict[str, Any] = {
        "id": 7,
        "site": "lima",
        "name": "up",
        "kind": "collected",
        "direction": "push",
        "url": URL,
        "credential": None,
        "selector": None,
        "continuous": True,
        "desired": "running",
        "generation": 1,
        "attempt": 1,
    }
    return WantedJob(**given | members)


def named(wanted: WantedJob) -> str:
    """The replication that its document is, by which schedulers keep checkpoints."""
    return parse_definition(document_of(wanted, LocalSide(), None)).base_id("server")


def test_another_generation_is_another_replication_and_another_attempt_the_same_one_changed() -> None:
    assert named(job()) != named(job(generation=2))
    assert named(job()) == named(job(attempt=2))
    assert named(job()) != named(job(id=8)), "two jobs are never one replication"
    parsed = [parse_definition(document_of(job(attempt=each), LocalSide(), None)) for each in (1, 2)]
    assert parsed[0] != parsed[1], "which is what makes a scheduler begin it anew"


@pytest.mark.parametrize(
    ("kind", "selector", "selected"),
    [
        ("collected", None, ["session:1", "consent:c", "device:d"]),
        ("published", None, ["participant:SRO/s1", "battery:b@1"]),
        ("custom", None, ["session:1", "consent:c", "device:d", "participant:SRO/s1", "battery:b@1", "x"]),
        ("custom", {"n": {"$gt": 1}}, ["x"]),
    ],
)
def test_kinds_select_by_id_so_that_deletions_are_replicated_too(
    kind: str, selector: Any, selected: list[str]
) -> None:
    ids = ["session:1", "consent:c", "device:d", "participant:SRO/s1", "battery:b@1", "x", "_design/x"]
    documents = [{"_id": doc_id, "_deleted": True, "n": 2 if "x" in doc_id else 0} for doc_id in ids]
    for generation in (1, 2):
        node = parse_selector(selector_of(job(kind=kind, selector=selector, generation=generation)))
        assert [each["_id"] for each in documents if matches(node, each)] == selected


def test_document_of_the_embedded_store_holds_no_secret_and_that_of_couchdb_has_to() -> None:
    credential = Credential(user="hub", password="s3cret")
    sealed = seal(SEALER, URL, credential)
    embedded = document_of(job(credential=sealed, direction="pull"), LocalSide(), credential)
    assert (embedded["source"]["url"], embedded["target"]) == (URL, "site-lima")
    assert "s3cret" not in str(embedded)
    source = parse_definition(embedded).source
    assert source.reference is not None
    assert look_up_with(SEALER)(source.url, source.reference) == {"Authorization": credential.header}
    # It opens for its own URL only, and with its own key only.
    for look_up, url in (
        (look_up_with(SEALER), "https://elsewhere.example/db"),
        (look_up_with(Sealer((Fernet.generate_key().decode(),))), URL),
    ):
        with pytest.raises(Unauthorized):
            look_up(url, source.reference)
    own = LocalSide("http://couch:5984", Credential(user="admin", password="pw"))
    couchdb = document_of(job(credential=sealed), own, credential)
    assert couchdb["source"] == {
        "url": "http://couch:5984/site-lima",
        "auth": {"basic": {"username": "admin", "password": "pw"}},
    }
    assert couchdb["target"]["auth"] == {"basic": {"username": "hub", "password": "s3cret"}}
    token = document_of(job(credential=b"x"), own, Credential(token="t0ken"))
    assert token["target"]["headers"] == {"Authorization": "Bearer t0ken"}


def test_what_differs_is_written_what_is_surplus_goes_and_what_is_others_stays() -> None:
    wanted = {f"replication-job:{n}": document_of(job(id=n), LocalSide(), None) for n in (1, 2, 3)}
    wanted["replication-job:1"]["continuous"] = False
    kept = {**wanted["replication-job:1"], "_rev": "1-a", "_replication_state": "completed", "owner": "x"}
    by_hand = {**wanted["replication-job:2"], "_rev": "4-d", "continuous": False}
    found = {
        "replication-job:1": kept,
        "replication-job:2": by_hand,
        "replication-job:9": {"_id": "replication-job:9", "_rev": "1-z"},
        "replication-job:mine": {"_id": "replication-job:mine", "_rev": "1-z"},
        f"replication-job:{'9' * 5000}": {"_id": "of nobody", "_rev": "1-z"},
        "theirs": {"_id": "theirs", "_rev": "1-z"},
    }
    planned = plan(wanted, found)
    assert [(each["_id"], each.get("_rev")) for each in planned.put] == [
        ("replication-job:2", "4-d"),
        ("replication-job:3", None),
    ]
    assert planned.delete == [("replication-job:9", "1-z")]
    as_wanted = {each["_id"]: {**each, "_rev": "1-a"} for each in wanted.values()}
    assert plan(wanted, as_wanted).put == []
    as_wanted["replication-job:2"]["_replication_state"] = "completed"
    assert [each["_id"] for each in plan(wanted, as_wanted).put] == ["replication-job:2"]


def test_look_has_numbers_crashes_and_the_next_retry_and_no_secret_or_document() -> None:
    reason = "unavailable: session:s-1 was not stored with s3cret"
    document = {"state": "crashing", "error_count": 3, "info": {"error": reason, "docs_written": 4}}
    history = [
        {"type": "crashed", "timestamp": "2026-11-26T04:00:10Z", "reason": reason},
        {"type": "started", "timestamp": "2026-11-26T04:00:00Z"},
        {"type": "crashed", "timestamp": "no time", "reason": "x"},
    ]
    look = look_of(document, {"history": history}, backoff=COUCHDB, secrets=["s3cret"])
    assert look.error == "unavailable: session:… was not stored with …"
    assert [crash.reason for crash in look.crashes] == [look.error]
    crashed_at = datetime(2026, 11, 26, 4, 0, 10, tzinfo=UTC)
    assert look.next_retry_at == crashed_at + timedelta(seconds=120)
    embedded = look_of(document, {"history": history}, backoff=EMBEDDED)
    assert embedded.next_retry_at == crashed_at + timedelta(seconds=20)
    assert (look.written, look.pending) == (4, None)
    # What makes no sense is nothing.
    odd = look_of({"state": 5, "info": [1]}, {"history": 7}, backoff=EMBEDDED)
    assert odd == look_of(None, None, backoff=EMBEDDED)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://centre/db/x",
        "https:///db/x",
        "https://centre:port/db/x",
        "https://u:p@centre/db/x",
        "https://@centre/db/x",
        "https://centre/db/x?a=1",
        "https://centre/db/x#f",
        "https://centre/db/x?",
        "https://centre/",
        "https://centre",
        "https://centre/db/_users",
        "https://centre/db/%5Fusers",
        "https://centre/db/../x",
        "https://centre/db/a b",
        "https://zentrüm/db/x",
        "https://centre/db/x\n",
        "http://hub.example:8000/api/x",
        "http://HUB.example:8000/%61pi/x",
        "http://hub.example:8000/db/site-lima",
        "http://couch:5984/site-lima",
        "http://hub.example.:8000/db/site-lima",
        "https://hub.example:8000/api/x",
        "http://hub.example/api/x",
        "http://localhost:8001/api/x",
        "http://LOCALHOST.:8001/db/site-lima",
        "http://any.localhost:8001/db/site-lima",
        "http://[::1]:8001/api/x",
        "http://127.0.0.2:8001/db/site-lima",
        "http://[::ffff:127.0.0.1]:8001/db/site-lima",
        "http://[::ffff:10.0.0.9]:5984/site-lima",
        "http://[0:0::1%25lo]:8001/x",
        "http://local%68ost:8001/x",
        "http://127.1:8001/x",
        "http://[fe80::1]:5984/x",
        "http://169.254.169.254/latest/site-lima",
        "http://[fd00:ec2::254]/latest/site-lima",
        "http://100.100.100.200/latest/site-lima",
        "http://2852039166/latest/site-lima",
        "http://0.0.0.0:5984/site-lima",
        "[",
    ],
)
def test_other_sides_that_are_not_taken(url: str) -> None:
    assert refusal_of_remote(url, site="lima", own=OWN) is not None


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "http://10.0.0.7:5984/site-lima",
        "http://192.168.1.2/db/site-lima",
        "http://hub.example:8000/db/site-quito",
        "http://[::1]:5984/x",
    ],
)
def test_other_sides_that_are_taken(url: str) -> None:
    assert refusal_of_remote(url, site="lima", own=OWN) is None


def test_in_production_the_other_side_is_another_machine() -> None:
    production = msgspec.structs.replace(OWN, production=True)
    for host in (
        "localhost",
        "localhost.",
        "a.localhost",
        "127.0.0.1",
        "127.8.8.8",
        "[::1]",
        "[::ffff:7f00:1]",
    ):
        url = f"http://{host}:5984/x"
        assert refusal_of_remote(url, site="lima", own=OWN) is None, url
        refusal = refusal_of_remote(url, site="lima", own=production)
        assert refusal == "It is this machine: in production the other side is another one."
    for url in (URL, "http://10.0.0.7:5984/site-lima", "http://100.64.0.3/x", "http://[fd00::7]:5984/x"):
        assert refusal_of_remote(url, site="lima", own=production) is None, url


def test_what_cannot_be_asked_for_says_which_member() -> None:
    for members, member in (
        ({"url": "https://centre/"}, "url"),
        ({"selector": {"type": "session"}}, "selector"),
        ({"kind": "custom", "selector": {"n": {"$near": 1}}}, "selector"),
        ({"credential": GivenCredential(user="a")}, "credential"),
        ({"credential": GivenCredential(user="a:b", password="x")}, "credential"),
        ({"credential": GivenCredential(user="a", password="x", token="t")}, "credential"),
        ({"credential": GivenCredential()}, "credential"),
        ({"credential": GivenCredential(token="a\nb")}, "credential"),
    ):
        given: dict[str, Any] = {"site": "lima", "name": "n", "kind": "collected", "url": URL, **members}
        with pytest.raises(Refused) as refused:
            wanted_job(NewJob(**given), SEALER, OWN)
        assert refused.value.member == member
    assert refusal_of_selector({"a": "x" * 20_000}) is not None
    kept = wanted_job(NewJob(site="lima", name="n", kind="published", url=f"{URL}/"), SEALER, OWN)
    assert (kept.url, kept.direction) == (URL, "pull")
