"""When to try again, where deliveries may go, what is published: pure rules."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.outbox.policy import Failed, GiveUp, Policy, RetryAt, decide
from reporting.publication import desired
from reporting.webhooks.addresses import Reach, refusal_of_address, refusal_of_url
from reporting.webhooks.signature import signed_headers
from sync_server.jobs.queue_names import QUEUES
from sync_server.jobs.registry import FOR_A_DAY, KINDS, WEBHOOKS

NOW = datetime(2026, 5, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = Policy((MINUTE, 5 * MINUTE))


@pytest.mark.parametrize(
    ("failure", "attempts", "decision"),
    [
        (Failed("x"), 1, RetryAt(NOW + MINUTE)),
        (Failed("x"), 2, RetryAt(NOW + 5 * MINUTE)),
        (Failed("x"), 3, GiveUp()),
        (Failed("x", final=True), 1, GiveUp()),
        (Failed("x", retry_after=9 * MINUTE), 1, RetryAt(NOW + 9 * MINUTE)),
        (Failed("x", retry_after=timedelta(0)), 1, RetryAt(NOW + MINUTE)),
        (Failed("x", retry_after=timedelta(days=300)), 1, RetryAt(NOW + timedelta(hours=24))),
    ],
)
def test_what_follows_a_failure(failure: Failed, attempts: int, decision: RetryAt | GiveUp) -> None:
    assert decide(POLICY, failure, attempts=attempts, now=NOW) == decision


def test_kinds_are_tried_for_about_a_day_and_every_queue_has_a_kind() -> None:
    for policy in (FOR_A_DAY, WEBHOOKS):
        assert timedelta(hours=22) < sum(policy.delays, timedelta()) < timedelta(hours=25)
        assert list(policy.delays) == sorted(policy.delays)
    assert {kind.queue for kind in KINDS.values()} == set(QUEUES)
    assert {"publication", "event", "webhook"} <= KINDS.keys()


@given(st.integers(1, 60), st.integers(60, 3600), st.integers(1, 10**4))
def test_doubling_delays_reach_their_total_and_end(first: int, longest: int, total: int) -> None:
    seconds = timedelta(seconds=1)
    policy = Policy.doubling(
        first=first * seconds, longest=(first + longest) * seconds, total=total * seconds
    )
    whole = sum(policy.delays, timedelta())
    assert whole >= total * seconds > whole - policy.delays[-1]


@pytest.mark.parametrize(
    ("address", "development", "production", "private"),
    [
        ("93.184.216.34", True, True, True),
        ("2606:2800:220:1::1", True, True, True),
        ("127.0.0.1", True, False, False),
        ("::1", True, False, False),
        ("::ffff:127.0.0.1", True, False, False),
        ("10.1.2.3", True, False, True),
        ("192.168.0.9", True, False, True),
        ("fd00::1", True, False, True),
        ("169.254.169.254", False, False, False),
        ("::ffff:169.254.169.254", False, False, False),
        ("fe80::1%eth0", False, False, False),
        ("0.0.0.0", False, False, False),  # noqa: S104
        ("224.0.0.1", False, False, False),
        ("100.64.0.1", True, False, False),
        ("fd00:ec2::254", False, False, False),
        ("100.100.100.200", False, False, False),
        ("::ffff:168.63.129.16", False, False, False),
        ("192.0.0.192", False, False, False),
        ("64:ff9b::a9fe:a9fe", False, False, False),
    ],
)
def test_where_deliveries_may_go(address: str, development: bool, production: bool, private: bool) -> None:
    reaches = (Reach(production=False), Reach(production=True), Reach(production=True, private=True))
    allowed = [refusal_of_address(address, reach) is None for reach in reaches]
    assert allowed == [development, production, private]


def test_urls_are_https_in_production() -> None:
    assert refusal_of_url("http://example.org/x", Reach(production=False)) is None
    assert refusal_of_url("https://example.org/x?a=1", Reach(production=True)) is None
    assert "https" in (refusal_of_url("http://example.org/x", Reach(production=True)) or "")
    assert refusal_of_url("https://[::1/", Reach(production=False)) == "It is no URL."


def test_the_signature_is_that_of_the_scheme() -> None:
    # The example of the scheme's specification.
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def form(version: int, *, supersedes: bool = False) -> desired.FormRow:
    return desired.FormRow("SRO", "main", version, "", {}, supersedes)


def test_forms_are_published_from_the_last_one_that_supersedes_the_others() -> None:
    forms = [form(1), form(2, supersedes=True), form(3), form(4)]
    assert [each.version for each in desired.current_forms(forms)] == [2, 3, 4]
    assert desired.current_forms([]) == []
    assert [each.version for each in desired.current_forms([form(1), form(2)])] == [1, 2]


def test_item_banks_are_found_in_definitions_whatever_they_hold() -> None:
    bank = {"id": "words", "version": 2}
    assert desired.item_banks_of({"tasks": [{"item_bank": bank}, {"item_bank": bank}, {}, 7]}) == {
        ("words", 2)
    }
    odd: list[dict[str, Any]] = [{}, {"tasks": "x"}, {"tasks": [{"item_bank": "words"}, {"item_bank": {}}]}]
    for definition in odd:
        assert desired.item_banks_of(definition) == set()


def test_documents_are_compared_by_content_and_not_by_revision_or_order() -> None:
    one = {"_id": "study:a", "_rev": "1-a", "n": 1, "list": [1, 2], "flag": True}
    assert desired.canonical(one) == desired.canonical(
        {"flag": True, "list": [1, 2], "n": 1, "_id": "study:a"}
    )
    assert desired.canonical(one) != desired.canonical({**one, "flag": 1})
    assert desired.canonical(one) != desired.canonical({**one, "list": [2, 1]})
    assert desired.type_of("session:x") is desired.type_of("study:") is desired.type_of("study") is None


@pytest.mark.parametrize(
    "host",
    [
        "2852039166",
        "0xa9fea9fe",
        "169.254.43518",
        "169.254.169.254.",
        "0251.0376.0251.0376",
        "0xa9.254.1",
        "0",
    ],
)
def test_url_whose_host_is_a_number_that_is_no_written_out_address_is_refused(host: str) -> None:
    # No resolver is asked for such a host: the connection goes to the address that the number stands for.
    refusal = refusal_of_url(f"https://{host}/x", Reach(production=True, private=True))
    assert refusal == "A host that ends in a number has to be an IP address, written out."
    assert refusal_of_url("https://hooks.example0x.org./1", Reach(production=True)) is None


def test_address_that_is_tunnelled_to_another_is_judged_by_that() -> None:
    assert refusal_of_address("2002:a9fe:a9fe::1", Reach(production=True)) is not None
    assert refusal_of_address("2002:0808:0808::1", Reach(production=True)) is None
