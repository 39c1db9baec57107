"""The table of bad documents (documents.md), through the gateway of a running system, one line a test.

Each sends what is bad between two good sessions, and afterwards one more: the outcome is as stated, and the
good ones are projected.
"""

import asyncio
import io
import itertools
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec
import pytest

from replication.wire.decode import MAX_DOCUMENT_BYTES
from sync_server.demo.generate import generate_sessions
from tests.end_to_end.system import System, wait_until

_counter = itertools.count(1)


class Site:
    """A site of one test: its tablet, and good sessions around what is bad."""

    def __init__(self, system: System) -> None:
        number = next(_counter)
        self.name = f"bad{number}"
        self.system = system
        self.enrolment = system.enrol(self.name, "tab-1")
        self._good = list(generate_sessions(3, site=self.name, seed=number, trials_per_task=6))

    def session(self, name: str = "bad", **members: Any) -> dict[str, Any]:
        """A session that is good but for `members`."""
        (document,) = generate_sessions(1, site=self.name, seed=99, trials_per_task=6)
        return {**document, "_id": f"session:{name}", **members}

    def push(self, *bad: bytes | dict[str, Any], rev: str = "1-aa") -> tuple[int, Any]:
        """Push a good session, the bad documents, another good one, in one request → (status, answer)."""
        first, second, _ = (_with_rev(document, "1-60") for document in self._good)
        texts = [_with_rev(document, rev) if isinstance(document, dict) else document for document in bad]
        return asyncio.run(self._send(b",".join([first, *texts, second])))

    def check_good_ones(self, *, of_the_batch: bool = True) -> None:
        """A session pushed after the bad document, and those beside it, are projected."""
        status, _ = asyncio.run(self._send(_with_rev(self._good[2], "1-60")))
        assert status == 201
        expected = self._good if of_the_batch else self._good[2:]
        for document in expected:
            session_id = document["_id"].removeprefix("session:")
            self.wait_for("SELECT count(*) FROM sessions WHERE site = %s AND id = %s", session_id, value=1)

    def wait_for(self, query: str, *parameters: Any, value: Any) -> None:
        """Wait until the query (first parameter: the site) gives the value."""
        wait_until(
            lambda: self.system.value(query, self.name, *parameters) == value,
            30,
            lambda: self.system.value(query, self.name, *parameters),
        )

    def value(self, query: str, *parameters: Any) -> Any:
        return self.system.value(query, self.name, *parameters)

    async def _send(self, docs: bytes) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.enrolment['token']}", "Content-Type": "application/json"}
        body = b'{"new_edits":false,"docs":[' + docs + b"]}"
        url = self.enrolment["url"] + "/_bulk_docs"
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(url, data=io.BytesIO(body)) as answer,
        ):
            return answer.status, await answer.json()


def _with_rev(document: dict[str, Any], rev: str) -> bytes:
    return msgspec.json.encode({**document, "_rev": rev})


@pytest.fixture
def site(system: System) -> Site:
    return Site(system)


@pytest.mark.parametrize("bad", [b'{"_id": "session:bad", ', b'{"_id": "session:\xff\xfe"}'])
def test_not_json_or_not_utf8_is_400_for_the_request(site: Site, bad: bytes) -> None:
    status, answer = site.push(bad)
    assert (status, answer["error"]) == (400, "bad_request")
    assert answer["reason"]
    site.check_good_ones(of_the_batch=False)


def _too_large(site: Site) -> bytes:
    return _with_rev(site.session(padding="x" * MAX_DOCUMENT_BYTES), "1-aa")


def _too_deep(site: Site) -> bytes:
    return _with_rev(site.session(), "1-aa")[:-1] + b',"deep":' + b"[" * 600 + b"]" * 600 + b"}"


def _deeper_than_any_stack(site: Site) -> bytes:
    return _with_rev(site.session(), "1-aa")[:-1] + b',"deep":' + b"[" * 50_000 + b"]" * 50_000 + b"}"


def _foreign_type(site: Site) -> bytes:
    return _with_rev({**site.session(), "_id": "study:mine", "type": "study"}, "1-aa")


def _other_tablets_device(site: Site) -> bytes:
    return _with_rev({**site.session(), "_id": "device:tab-2", "type": "device"}, "1-aa")


def _deletion(site: Site) -> bytes:
    return _with_rev({"_id": site.session()["_id"], "_deleted": True}, "2-bb")


@pytest.mark.parametrize(
    "make",
    [_too_large, _too_deep, _deeper_than_any_stack, _foreign_type, _other_tablets_device, _deletion],
)
def test_what_the_limits_or_the_policy_forbid_is_refused_by_itself_and_recorded(
    site: Site, make: Callable[[Site], bytes]
) -> None:
    status, rows = site.push(make(site))
    assert status == 201
    assert [row["error"] for row in rows] == ["forbidden"]
    assert rows[0]["reason"]
    recorded = "SELECT reason FROM ingest_log WHERE site = %s AND outcome = 'refused'"
    assert site.value(recorded) == rows[0]["reason"]
    site.check_good_ones()


def test_another_sites_database_or_no_credential_is_401_or_403(site: Site, system: System) -> None:
    other = Site(system)
    token = {"Authorization": f"Bearer {other.enrolment['token']}"}
    for headers, status in (({}, 401), (token, 403)):
        assert asyncio.run(_status(site.enrolment["url"] + "/_bulk_docs", headers)) == status
    site.push()
    site.check_good_ones()


async def _status(url: str, headers: dict[str, str]) -> int:
    body = {"new_edits": False, "docs": []}
    async with aiohttp.ClientSession(headers=headers) as http, http.post(url, json=body) as answer:
        assert (await answer.json()).keys() == {"error", "reason"}
        return answer.status


@pytest.mark.parametrize(
    ("member", "sent", "note"),
    [
        ("language", rb'"en\ud800"', "surrogate"),
        ("extra", b"1e999", "float64"),
        ("extra", b"1" + b"0" * 400, "float64"),
    ],
)
def test_what_no_store_can_keep_is_normalised_flagged_and_kept_as_sent(
    site: Site, member: str, sent: bytes, note: str
) -> None:
    document = site.session()
    document.pop(member, None)
    bad = _with_rev(document, "1-aa")[:-1] + b',"' + member.encode() + b'":' + sent + b"}"
    status, rows = site.push(bad)
    assert (status, rows) == (201, [])
    site.wait_for("SELECT count(*) FROM sessions WHERE site = %s AND id = 'bad'", value=1)
    original, reason = site.value(
        "SELECT ARRAY[encode(original, 'hex'), reason] FROM ingest_log"
        " WHERE site = %s AND doc_id = 'session:bad'"
    )
    assert bytes.fromhex(original) == bad
    assert note in reason
    assert site.value("SELECT count(*) FROM quality_flags WHERE site = %s AND code = 'normalised'") == 1
    if member == "language":
        assert site.value("SELECT language FROM sessions WHERE site = %s AND id = 'bad'") == "en\ufffd"
    site.check_good_ones()


def test_nul_is_stored_as_sent_and_projected_as_u_fffd_with_a_flag(site: Site) -> None:
    status, rows = site.push(site.session(language="en\x00"))
    assert (status, rows) == (201, [])
    site.wait_for("SELECT count(*) FROM sessions WHERE site = %s AND id = 'bad'", value=1)
    assert site.value("SELECT language FROM sessions WHERE site = %s AND id = 'bad'") == "en\ufffd"
    assert site.value("SELECT count(*) FROM quality_flags WHERE site = %s AND code = 'nul_replaced'") == 1
    site.check_good_ones()


def _duplicate_trial(site: Site) -> dict[str, Any]:
    document = site.session()
    document["tasks"][0]["trials"][1]["trial_index"] = document["tasks"][0]["trials"][0]["trial_index"]
    return document


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda site: site.session(tasks="none"), "$.tasks"),
        (lambda site: site.session(schema=999), "$.schema"),
        (lambda site: site.session(site="elsewhere"), "$.site"),
        (_duplicate_trial, "$.tasks[0].trials[1].trial_index"),
        (lambda site: site.session(ended_at="2001-01-01T00:00:00Z"), "$.ended_at"),
    ],
)
def test_a_wrong_document_is_stored_and_quarantined_with_code_path_message_and_revision(
    site: Site, make: Callable[[Site], dict[str, Any]], path: str
) -> None:
    status, rows = site.push(make(site))
    assert (status, rows) == (201, [])
    quarantined = "FROM quarantine WHERE site = %s AND doc_id = 'session:bad'"
    site.wait_for(f"SELECT count(*) {quarantined}", value=1)
    found_path, rev, code, message = site.value(f"SELECT ARRAY[path, rev, code, message] {quarantined}")
    assert (found_path, rev) == (path, "1-aa")
    assert code
    assert message
    assert site.value("SELECT count(*) FROM sessions WHERE site = %s AND id = 'bad'") == 0
    site.check_good_ones()


@pytest.mark.parametrize(
    ("code", "appears"),
    [
        ("unknown_study", "INSERT INTO studies (code) VALUES ('NEW%s')"),
        ("unknown_participant", "INSERT INTO participants (study, code) VALUES ('NEW%s', 'p1')"),
        ("unknown_battery", "INSERT INTO batteries (id, version) VALUES ('NEW%s', 1)"),
    ],
)
def test_an_unknown_reference_is_projected_with_a_flag_until_it_appears(
    site: Site, code: str, appears: str
) -> None:
    number = next(_counter)
    document = site.session(
        study=f"NEW{number}", participant="p1", battery={"id": f"NEW{number}", "version": 1}
    )
    site.push(document)
    flagged = "SELECT count(*) FROM quality_flags WHERE site = %s AND session_id = 'bad' AND code = %s"
    site.wait_for(flagged, code, value=1)
    with site.system.connect() as connection:
        connection.execute((appears % number).encode())
    site.wait_for(flagged, code, value=0)
    site.check_good_ones()


def test_two_leaves_are_projected_as_their_union_and_a_contradiction_is_listed(site: Site) -> None:
    one, other = site.session(), site.session()
    one["tasks"][0]["trials"], other["tasks"][0]["trials"] = (
        one["tasks"][0]["trials"][:4],
        other["tasks"][0]["trials"][2:],
    )
    other["tasks"][0]["trials"][0]["rt"] = 4321
    site.push(one)
    site.push(other, rev="1-bb")
    whole = sum(len(run["trials"]) for run in site.session()["tasks"])
    site.wait_for("SELECT count(*) FROM trials WHERE site = %s AND session_id = 'bad'", value=whole)
    site.wait_for("SELECT count(*) FROM conflicts WHERE site = %s AND session_id = 'bad'", value=1)
    kept = "SELECT other_value::text FROM conflicts WHERE site = %s"
    winner = "SELECT winner_rev FROM conflicts WHERE site = %s"
    assert site.value(winner) == "1-bb"
    assert site.value(kept) != "4321"
    site.check_good_ones()


def test_rows_of_a_document_that_disappears_at_the_source_stay_marked(site: Site) -> None:
    site.push(site.session())
    site.wait_for("SELECT count(*) FROM sessions WHERE site = %s AND id = 'bad'", value=1)
    asyncio.run(_delete(site))
    gone = "SELECT count(*) FROM sessions WHERE site = %s AND id = 'bad' AND source_missing_at IS NOT NULL"
    site.wait_for(gone, value=1)
    assert site.value("SELECT count(*) FROM trials WHERE site = %s AND session_id = 'bad'") > 0
    site.check_good_ones()


async def _delete(site: Site) -> None:
    headers = site.system.service_headers()
    url = site.enrolment["url"] + "/session:bad?rev=1-aa"
    async with aiohttp.ClientSession(headers=headers) as http, http.delete(url) as answer:
        assert answer.status == 200
