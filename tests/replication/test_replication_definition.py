"""What a replication is asked to do, and how it is named."""

from typing import Any

import pytest

from replication.errors import BadRequest
from replication.replicator.backoff import HEALTHY_AFTER, LONGEST_WAIT, Event, crashes_in_a_row, next_start
from replication.replicator.definition import parse_definition
from replication.replicator.history import (
    START,
    Checkpoint,
    Session,
    checkpoint_after,
    common_sequence,
    read_checkpoint,
)


def asked(**members: Any) -> dict[str, Any]:
    return {"source": "a", "target": "http://other:5984/b", **members}


def test_credentials_of_a_url_become_a_header_and_are_not_shown() -> None:
    target = parse_definition(asked(target="http://ana:pa%3Ass@other:5984/b/")).target
    assert (target.url, target.shown, target.login) == ("http://other:5984/b", "http://other:5984/b/", "ana")
    assert dict(target.headers) == {"authorization": "Basic YW5hOnBhOnNz"}


def test_a_reference_is_no_login_and_no_part_of_the_replications_name() -> None:
    referring = {"url": "http://other/b", "auth": {"reference": "sealed"}}
    definition = parse_definition(asked(target=referring))
    assert (definition.target.reference, definition.target.login, definition.target.headers) == (
        "sealed",
        None,
        (),
    )
    assert "sealed" not in definition.target.shown
    other = parse_definition(asked(target={**referring, "auth": {"reference": "another"}}))
    assert other != definition
    assert other.base_id("server") == definition.base_id("server")


def test_login_of_an_object_goes_before_that_of_its_url() -> None:
    basic = {"username": "bob", "password": "secret"}
    side = {"url": "http://ana:x@other/b", "auth": {"basic": basic}, "headers": {"X-Trace": "1"}}
    target = parse_definition(asked(target=side)).target
    assert target.login == "bob"
    assert dict(target.headers)["x-trace"] == "1"


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"source": None}, "`source`"),
        ({"source": {"headers": {}}}, "`source`"),
        ({"target": "ftp://x/y"}, "`target`"),
        ({"target": "http:///y"}, "`target`"),
        ({"target": "http://x:port/y"}, "`target`"),
        ({"target": "http://x"}, "`target`"),
        ({"target": {"url": "http://x/y", "auth": {"basic": {"username": "a"}}}}, "`target.auth`"),
        ({"target": {"url": "http://x/y", "auth": {}}}, "`target.auth`"),
        ({"target": {"url": "http://x/y", "auth": {"reference": ""}}}, "`target.auth`"),
        (
            {
                "target": {
                    "url": "http://x/y",
                    "auth": {"reference": "r", "basic": {"username": "a", "password": "b"}},
                }
            },
            "`target.auth`",
        ),
        ({"target": {"url": "http://x/y", "headers": ["a"]}}, "`target.headers`"),
        ({"target": "http://[::1/y"}, "`target`"),
        ({"target": "http://\u2100/y"}, "`target`"),
        ({"target": {"url": "http://x/y", "headers": {"a": "b\r\nc: d"}}}, "`target.headers`"),
        ({"target": {"url": "http://x/y", "headers": {"a b": "c"}}}, "`target.headers`"),
        ({"continuous": "yes"}, "`continuous`"),
        ({"doc_ids": "a"}, "`doc_ids`"),
        ({"doc_ids": [1]}, "`doc_ids`"),
        ({"doc_ids": ["a"], "selector": {}}, "`selector`"),
        ({"selector": "x"}, "`selector`"),
        ({"filter": "a/b", "selector": {}}, "`filter`"),
        ({"query_params": {"a": [1]}}, "`query_params`"),
        ({"checkpoint_interval": 0}, "`checkpoint_interval`"),
        ({"worker_batch_size": True}, "`worker_batch_size`"),
        ({"proxy": "http://p"}, "`proxy`"),
        ({"winning_revs_only": True}, "`winning_revs_only`"),
    ],
)
def test_what_cannot_be_done_is_refused_and_named(members: dict[str, Any], named: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_definition(asked(**members))
    assert named in refused.value.reason


@pytest.mark.parametrize("url", ["http://ana:sec/ret@x/y", "http://ana:secret@\u2100/y"])
def test_a_refusal_quotes_no_password(url: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_definition(asked(target=url))
    assert "sec" not in refused.value.reason


def test_same_replication_has_the_same_id_however_it_is_spelled() -> None:
    one = parse_definition(asked(doc_ids=["a", "b"]))
    other = parse_definition(asked(doc_ids=["b", "a"], target="http://other:5984/b/", since_seq=4))
    assert one.base_id("server") == other.base_id("server")


@pytest.mark.parametrize(
    "members",
    [
        {"source": "c"},
        {"target": "http://ana@other:5984/b"},
        {"doc_ids": ["a"]},
        {"selector": {"type": "x"}},
        {"filter": "d/f"},
        {"filter": "d/f", "query_params": {"k": 1}},
    ],
)
def test_other_replications_have_other_ids(members: dict[str, Any]) -> None:
    assert parse_definition(asked(**members)).base_id("s") != parse_definition(asked()).base_id("s")


def test_continuous_replication_shares_checkpoints_with_one_that_ends() -> None:
    one, other = parse_definition(asked()), parse_definition(asked(continuous=True))
    assert one.base_id("s") == other.base_id("s")
    assert other.job_id("s") == one.job_id("s") + "+continuous"


# --- checkpoints -------------------------------------------------------------------------------------------


def a_session(name: str, recorded: str) -> Session:
    return Session(session_id=name, start_time="", end_time="", recorded_seq=recorded)


def a_checkpoint(*sessions: tuple[str, str]) -> Checkpoint:
    newest, *older = [a_session(*each) for each in sessions]
    return checkpoint_after(newest, older)


def test_equal_last_sessions_go_on_from_their_sequence() -> None:
    both = a_checkpoint(("s2", "20"), ("s1", "10"))
    assert common_sequence(both, both) == "20"


def test_side_that_was_put_back_goes_on_from_the_newest_common_session() -> None:
    source = a_checkpoint(("s3", "30"), ("s2", "20"), ("s1", "10"))
    target = a_checkpoint(("s2", "20"), ("s1", "10"))
    assert common_sequence(source, target) == "20"
    assert common_sequence(target, source) == "20"


@pytest.mark.parametrize("other", [None, a_checkpoint(("x", "99"))])
def test_nothing_in_common_begins_at_the_start(other: Checkpoint | None) -> None:
    assert common_sequence(a_checkpoint(("s1", "10")), other) == START


@pytest.mark.parametrize(
    "document", [None, {}, {"session_id": 5}, {"session_id": "a", "history": [{"session_id": 7}]}]
)
def test_what_is_no_checkpoint_is_none(document: dict[str, Any] | None) -> None:
    assert read_checkpoint(document) is None


def test_numeric_sequences_of_other_servers_are_read() -> None:
    session = {
        "session_id": "a",
        "start_time": "",
        "end_time": "",
        "recorded_seq": 7,
        "end_last_seq": [7, "x"],
    }
    read = read_checkpoint({"session_id": "a", "source_last_seq": 7, "history": [session]})
    assert read is not None
    assert (read.source_last_seq, read.history[0].end_last_seq) == ("7", '[7,"x"]')


def test_session_that_records_again_replaces_itself_and_history_is_bounded() -> None:
    before = [a_session(f"s{number}", "0") for number in range(60)]
    after = checkpoint_after(a_session("s0", "5"), before)
    assert [each.session_id for each in after.history[:2]] == ["s0", "s1"]
    assert len(after.history) == 50


# --- waits -------------------------------------------------------------------------------------------------


def crashed_runs(*seconds: float) -> tuple[Event, ...]:
    """Runs that lasted so long, the last one first."""
    at, history = 0.0, []
    for lasted in reversed(seconds):
        history += [Event("started", at), Event("crashed", at + lasted)]
        at += lasted + 10
    return tuple(reversed(history))


def test_waits_double_up_to_the_longest() -> None:
    waits = []
    for crashes in range(1, 14):
        history = crashed_runs(*[1.0] * crashes)
        waits.append(next_start(history) - history[0].at)
    assert waits[:4] == [5, 10, 20, 40]
    assert waits[-1] == LONGEST_WAIT


def test_run_that_was_healthy_is_a_new_beginning() -> None:
    assert crashes_in_a_row(crashed_runs(1, 1, HEALTHY_AFTER, 1, 1)) == 3
    assert crashes_in_a_row(crashed_runs(HEALTHY_AFTER, 1, 1)) == 1


def test_job_that_was_stopped_for_another_is_due_at_once() -> None:
    history = (Event("stopped", 50), Event("started", 40), *crashed_runs(1, 1))
    assert next_start(history) == 0
