"""`sync-server load`: what it pushes, what it tells, and that running it again goes on."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from sync_server.cli.load import SHOWN_PROBLEMS
from sync_server.enrolment import Enrolment
from tests.gateway.processes import Ended, Service, invoke

LINES = [msgspec.json.encode({"_id": f"session:s{n}", "type": "session", "n": n}) for n in range(20)]


class Loading(NamedTuple):
    """A running service, a tablet's login, and a directory for files."""

    enrolment: Enrolment
    directory: Path

    def file(self, name: str, *lines: bytes) -> str:
        """A file of these lines, gzipped if its name says so."""
        text = b"".join(line + b"\n" for line in lines)
        path = self.directory / name
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
        return str(path)

    def load(self, *arguments: str, password: str | None = None, **environ: str) -> Ended:
        """Run `load` as the tablet."""
        login = ("--url", self.enrolment.url, "--user", self.enrolment.username)
        environ.setdefault("SYNC_PASSWORD", password or self.enrolment.password)
        return invoke("load", *arguments, *login, env=environ)

    def summary(self, *arguments: str) -> dict[str, Any]:
        """What `load --json` tells."""
        told: dict[str, Any] = json.loads(self.load(*arguments, "--json").out)
        return told


@pytest.fixture
def loading(shared_service: Service, own_site: str, tmp_path: Path) -> Loading:
    return Loading(asyncio.run(shared_service.enrol(own_site)), tmp_path)


def test_files_are_pushed_once_however_often_they_are_loaded(loading: Loading) -> None:
    half = loading.file("half.ndjson", *LINES[:10])
    whole = loading.file("whole.ndjson.gz", *LINES, b"")
    told = loading.load(half)
    assert (told.code, told.err) == (0, "")
    assert told.out == "10 documents: 10 stored, 0 there already, 0 refused, 0 unreadable.\n"
    resumed = loading.summary(half, whole, "--batch", "3")
    assert [resumed[name] for name in ("documents", "stored", "known")] == [30, 10, 20]
    assert resumed["problems"] == []
    assert loading.summary(whole)["known"] == 20


def test_bad_lines_and_refusals_are_told_one_by_one_and_the_rest_is_pushed(loading: Loading) -> None:
    bad = [b"not json", b"[]", b'{"type":"session"}', b'{"_id":7}', b'{"_id":"session:\xff"}', b"{"]
    refused = [b'{"_id":"study:x"}', b'{"_id":"session:gone","_rev":"2-bb","_deleted":true}']
    strange = [b'{"_id":"session:rev","_rev":"abc"}']
    file = loading.file("mixed.ndjson", LINES[0], *bad, *refused, *strange, LINES[1])
    told = loading.summary(file)
    counts = {"documents": 11, "stored": 2, "known": 0, "refused": 3, "unreadable": 6}
    assert {name: told[name] for name in counts} == counts
    where = sorted(problem["where"] for problem in told["problems"])
    assert where == [*(f"mixed.ndjson:{n}" for n in range(2, 8)), "session:gone", "session:rev", "study:x"]
    assert all(problem["reason"] for problem in told["problems"])
    again = loading.load(file)
    assert again.code == 1
    assert "mixed.ndjson:2: " in again.err
    assert "study:x: forbidden: a tablet may not write" in again.err


def test_many_problems_are_counted_and_not_all_listed(loading: Loading) -> None:
    file = loading.file("bad.ndjson", *[b"x"] * (SHOWN_PROBLEMS + 5))
    ended = loading.load(file, "--dry-run")
    assert ended.code == 1
    assert ended.err.count("bad.ndjson:") == SHOWN_PROBLEMS
    assert "and 5 more" in ended.err


def test_a_file_that_is_cut_or_is_no_gzip_is_told_after_what_could_be_read(loading: Loading) -> None:
    lines = [
        msgspec.json.encode({**msgspec.json.decode(line), "noise": str(hash(line)) * 500}) for line in LINES
    ]
    whole = Path(loading.file("whole.ndjson.gz", *lines)).read_bytes()
    cut = loading.directory / "cut.ndjson.gz"
    cut.write_bytes(whole[:-100])
    broken = loading.directory / "broken.ndjson.gz"
    broken.write_bytes(whole[:200] + b"\xff" * 200 + whole[400:])
    none = Path(loading.file("none.ndjson", b"{}")).rename(loading.directory / "none.ndjson.gz")
    for path in (cut, broken, none):
        ended = loading.load(str(path), "--dry-run")
        ended.failed_with(f"{path.name}: cannot be read to its end")
    told = loading.summary(str(cut), loading.file("good.ndjson", LINES[0]))
    assert (told["stored"] > 0, told["unreadable"]) == (True, 1)


def test_a_dry_run_needs_no_server_and_no_login(tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    file.write_bytes(b"\n".join(LINES))
    ended = invoke("load", str(file), "--dry-run")
    assert (ended.code, ended.out) == (0, "20 documents read, 0 unreadable; nothing was sent.\n")


def test_the_password_is_asked_for_or_comes_from_the_environment_or_the_url(loading: Loading) -> None:
    file = loading.file("x.ndjson", LINES[0])
    url, user, password = loading.enrolment.url, loading.enrolment.username, loading.enrolment.password
    asked = invoke("load", file, "--url", url, "--user", user, stdin=password + "\n")
    assert (asked.code, password in asked.out + asked.err) == (0, False)
    inside = invoke("load", file, "--url", loading.enrolment.pouchdb_url)
    assert inside.code == 0
    given = invoke("load", file, "--url", url + "/", "--user", user, "--password", password)
    assert given.code == 0


def test_wrong_destinations_are_told_at_once_and_show_no_password(loading: Loading) -> None:
    file = loading.file("x.ndjson", LINES[0])
    loading.load(file, password="wrong").failed_with("Stopped after 0 documents: unauthorized")
    other = loading.enrolment.url + "x"
    secret = loading.enrolment.password
    for url, fragment in (
        (other, "forbidden: this credential opens another database"),
        ("http://127.0.0.1:1/db/site-lima", "no answer"),
        (loading.enrolment.url.replace("/db/", "/api/"), "not_found"),
        ("ftp://x/db/site-lima", "has to be the URL of a database"),
        ("http://x:y/db/site-lima", "has to be the URL of a database"),
        ("http://127.0.0.1:1", "has to be the URL of a database"),
        ("site-lima", "has to be the URL of a database"),
    ):
        ended = invoke("load", file, "--url", url, "--user", "tab-1", "--password", secret)
        ended.failed_with(fragment)
        assert secret not in ended.out + ended.err
    invoke("load", file, "--user", "x").failed_with("--url")
    invoke("load", file, "--url", other).failed_with("--user")
    invoke("load", file, "--url", other, "--user", "a:b", "--password", "x").failed_with("--user")
    invoke("load", str(loading.directory / "nothing"), "--url", other).failed_with("does not exist")
