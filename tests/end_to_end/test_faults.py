"""Projector, store and Postgres are killed while documents, conflicts, deletions and poison arrive.

At the end nothing is missing, nothing is there twice, and the tables are those that a rebuild makes.
"""

import asyncio
import json
import urllib.request
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from tests.end_to_end import proof
from tests.end_to_end.system import System, running, wait_until
from tests.end_to_end.traffic import POISON, Traffic

SITES = ("accra", "bogota", "cusco")
WRITES = 120
"""A site."""
KILLS = 9
KILLED = ("project", "serve", "postgres")


@pytest.mark.timeout(600)
def test_kills_at_random_while_anything_arrives_lose_and_repeat_nothing(tmp_path: Path) -> None:
    random = Random(20161122)
    with running(tmp_path / "data") as system:
        traffic = {site: _traffic(system, site, seed) for seed, site in enumerate(SITES)}
        asyncio.run(_write_and_kill(system, traffic, random))
        assert all(each.conflicts and each.deletions and each.poisoned for each in traffic.values())
        _wait_until_serving(system)
        for site, each in traffic.items():
            found = asyncio.run(proof.store_revisions(system, f"site-{site}"))
            expected = {doc_id: set(leaves) for doc_id, leaves in each.leaves.items()}
            assert {doc_id: set(revs) for doc_id, revs in found.items()} == expected
        _wait_until_nothing_is_pending(system)
        _prove_complete(system)
        _prove_equal_to_a_rebuild(system)


def test_ten_kinds_of_poison_one_after_another_never_pause_the_feed(tmp_path: Path) -> None:
    with running(tmp_path / "data") as system:
        traffic = _traffic(system, "lima", 3)
        (good,) = traffic.sessions(1)
        for number, name in enumerate(sorted(POISON)):
            bad = POISON[name].spoil({**good, "_id": f"session:bad-{number}"})
            asyncio.run(traffic.write_all(bad, {**good, "_id": f"session:good-{number}"}))
            _wait_for_session(system, f"good-{number}")
            _check_outcome(system, f"bad-{number}", name)
        assert len(POISON) == 10
        _prove_complete(system)


def _wait_for_session(system: System, name: str) -> None:
    wait_until(lambda: system.value("SELECT count(*) FROM sessions WHERE id = %s", name) == 1, 30)


def _check_outcome(system: System, name: str, kind: str) -> None:
    poison = POISON[kind]
    rows = system.value("SELECT count(*) FROM sessions WHERE id = %s", name)
    assert rows == poison.is_projected, kind
    if not poison.is_projected:
        told = "SELECT code FROM quarantine WHERE doc_id = %s"
        assert system.value(told, f"session:{name}") == poison.code, kind
    elif poison.code:
        told = "SELECT count(*) FROM quality_flags WHERE session_id = %s AND code = %s"
        assert system.value(told, name, poison.code) == 1, kind


def _traffic(system: System, site: str, seed: int) -> Traffic:
    system.enrol(site, "tab-1")
    return Traffic(site, system.base_url, system.service_headers(), seed)


async def _write_and_kill(system: System, traffic: dict[str, Traffic], random: Random) -> None:
    done = 0

    async def write(each: Traffic) -> None:
        nonlocal done
        async with aiohttp.ClientSession() as http:
            for _ in range(WRITES):
                await each.step(http)
                done += 1

    async def kill() -> None:
        for turn in range(KILLS):
            while done < WRITES * len(SITES) * turn // KILLS:  # noqa: ASYNC110 (the writers go on meanwhile)
                await asyncio.sleep(0.02)
            await asyncio.sleep(random.random())
            child = KILLED[turn % len(KILLED)]
            await asyncio.to_thread(_kill, system, child)
            for each in traffic.values():
                each.renew(system.service_headers())

    await asyncio.gather(kill(), *(write(each) for each in traffic.values()))


def _kill(system: System, child: str) -> None:
    before = system.record.children[child]
    system.kill(child)
    wait_until(lambda: system.record.children.get(child) not in (None, before), 60)


def _wait_until_serving(system: System) -> None:
    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{system.base_url}/api/health") as answer:  # noqa: S310 (loopback)
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_until(answers, 60)


def _wait_until_nothing_is_pending(system: System) -> None:
    def is_done() -> bool:
        told = _reconciled(system)
        # A projector that was killed again and again may not have begun a site yet.
        is_read = not told["not_compared"] and all(not site["counts"]["pending"] for site in told["sites"])
        return is_read and system.value("SELECT count(*) = 0 FROM replays") is True

    wait_until(is_done, 90)


def _reconciled(system: System) -> dict[str, Any]:
    told = system.run("reconcile", "--full", "--json", "--data-dir", str(system.data_dir), check=False)
    reconciled: dict[str, Any] = json.loads(told)
    return reconciled


def _prove_complete(system: System) -> None:
    told = _reconciled(system)
    assert told["not_compared"] == {}
    assert told["sites"]
    for site in told["sites"]:
        assert {name: site["counts"][name] for name in ("missing", "double", "incomplete")} == {
            "missing": 0,
            "double": 0,
            "incomplete": 0,
        }, site


def _prove_equal_to_a_rebuild(system: System) -> None:
    before = proof.fingerprint(system)
    told = json.loads(system.run("rebuild", "--json", "--data-dir", str(system.data_dir)))
    assert [site["replaced"] for site in told] == [0] * len(SITES), told
    assert proof.fingerprint(system) == before
