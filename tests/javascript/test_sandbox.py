"""The interpreter: what its code can reach, and how it is stopped."""

import json
import threading

import pytest

from replication.errors import CouchError, Forbidden, FunctionFailed, NotFound, NotImplementedHere
from replication.javascript import sandbox
from replication.javascript.sandbox import KEPT_A_THREAD, Sandbox, sandbox_of


def passes(source: str, document: object = None) -> bool:
    made = Sandbox(json.dumps({"filters": {"f": source}}).encode())
    return made.passes(("filters", "f"), json.dumps(document).encode(), b'{"query":{}}')


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
        first.passes(("filters", "f"), b"1", b"{}")
    assert sandbox_of(design).passes(("filters", "f"), b"2", b"{}")


def test_a_thread_keeps_the_interpreters_it_used_last() -> None:
    designs = [json.dumps({"filters": {}, "n": n}).encode() for n in range(KEPT_A_THREAD + 1)]
    first = sandbox_of(designs[0])
    assert sandbox_of(designs[0]) is first
    for design in designs[1:]:
        sandbox_of(design)
    assert sandbox_of(designs[0]) is not first
    found: list[Sandbox] = []
    other = threading.Thread(target=lambda: found.append(sandbox_of(designs[0])))
    other.start()
    other.join()
    assert found[0] is not sandbox_of(designs[0])


def test_a_function_that_is_not_there_and_one_that_refuses() -> None:
    made = Sandbox(b'{"validate_doc_update":"function (a) { throw {forbidden: {x: 1}}; }"}')
    with pytest.raises(NotFound, match="missing json key: filters"):
        made.passes(("filters", "f"), b"{}", b"{}")
    with pytest.raises(Forbidden, match=r'\{"x":1\}'):
        made.validate(b"{}", b"null", b"{}", b"{}")


def test_without_the_engine_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "quickjs", None)
    with pytest.raises(NotImplementedHere, match=r"metricis-sync\[javascript\]"):
        Sandbox(b"{}")
