"""The interpreter: what its code can reach, and how it is stopped."""

import json

import pytest

from replication.errors import CouchError, Forbidden, FunctionFailed, NotFound, NotImplementedHere
from replication.javascript import sandbox
from replication.javascript.pipe import KEPT
from replication.javascript.sandbox import Sandbox, sandbox_of


def passes(source: str, document: object = None) -> bool:
    made = Sandbox(json.dumps({"filters": {"f": source}}).encode())
    (verdict,) = made.passes(("filters", "f"), [json.dumps(document).encode()], b'{"query":{}}')
    return verdict


def failure(source: str) -> CouchError:
    with pytest.raises(CouchError) as raised:
        passes(source)
    return raised.value


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One second instead of five."""
    monkeypatch.setattr(sandbox, "CPU_SECONDS", 1)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "source",
    [
        "function () { while (true) {} }",
        "function () { try { while (true) {} } catch (e) { return true; } }",
        "function () { return /(a+)+$/.test('a'.repeat(40) + 'b'); }",
    ],
)
def test_what_never_ends_is_stopped(source: str) -> None:
    assert failure(source).error == "timeout"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("function () { var a = []; while (true) { a.push('x'.repeat(100000)); } }", "InternalError"),
        ("function () { return 'a'.repeat(1e9).length; }", "InternalError"),
        ("function () { return Array(1e9).fill(1).length; }", "InternalError"),
        ("function f() { return f(); }", "RangeError"),
        ("function () { return nothing.x; }", "ReferenceError"),
        ("function () { throw null; }", "unknown_error"),
        ("function () { throw 'text'; }", "unknown_error"),
        ("function () { throw {other: 1}; }", "unnamed_error"),
        ("function (", "compilation_error"),
        ("5", "compilation_error"),
        ("", "compilation_error"),
    ],
)
def test_what_fails_is_told(source: str, error: str) -> None:
    found = failure(source)
    assert isinstance(found, FunctionFailed)
    assert (found.status, found.error) == (500, error)


def test_nothing_of_the_machine_can_be_reached() -> None:
    names = ["std", "os", "process", "fetch", "WebSocket", "XMLHttpRequest", "Deno", "print", "scriptArgs"]
    assert passes(f"function () {{ return {json.dumps(names)}.every((name) => !(name in globalThis)); }}")


def test_what_replaces_its_surroundings_harms_only_itself() -> None:
    with pytest.raises(FunctionFailed):
        passes("function () { JSON.stringify = function () { return {}; }; JSON.parse = null; throw 1; }")
    assert passes("function () { return true; }")


def test_a_broken_interpreter_is_made_anew() -> None:
    source = "function (doc) { while (doc === 1 || doc.length) { doc += 'x'; } return true; }"
    design = json.dumps({"filters": {"f": source}}).encode()
    first = sandbox_of(design)
    with pytest.raises(FunctionFailed):
        list(first.passes(("filters", "f"), [b"1"], b"{}"))
    assert list(sandbox_of(design).passes(("filters", "f"), [b"2"], b"{}")) == [True]


def test_a_child_keeps_the_interpreters_it_used_last() -> None:
    """Seen by what a function leaves behind, which the functions of others do not find."""
    source = "function () { globalThis.n = (globalThis.n || 0) + 1; return n > 1; }"
    designs = [json.dumps({"filters": {"f": source}, "n": n}).encode() for n in range(KEPT + 1)]

    def was_there(design: bytes) -> bool:
        (verdict,) = sandbox_of(design).passes(("filters", "f"), [b"{}"], b"{}")
        return verdict

    assert [was_there(designs[0]), was_there(designs[0])] == [False, True]
    assert [was_there(design) for design in designs[1:]] == [False] * KEPT
    assert [was_there(design) for design in designs[2:]] == [True] * (KEPT - 1)
    assert not was_there(designs[0])


def test_a_function_that_is_not_there_and_one_that_refuses() -> None:
    made = Sandbox(b'{"validate_doc_update":"function (a) { throw {forbidden: {x: 1}}; }"}')
    with pytest.raises(NotFound, match="missing json key: filters"):
        list(made.passes(("filters", "f"), [b"{}"], b"{}"))
    with pytest.raises(Forbidden, match=r'\{"x":1\}'):
        made.validate(b"{}", b"null", b"{}", b"{}")


def test_without_the_engine_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "quickjs", None)
    with pytest.raises(NotImplementedHere, match=r"metricis-sync\[javascript\]"):
        Sandbox(b"{}")
