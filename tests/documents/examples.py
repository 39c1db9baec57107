"""Small valid documents, to be made wrong in one place."""

from typing import Any
from zlib import crc32

import msgspec

SITE = "lima"


def a_trial(trial_index: int, **members: Any) -> dict[str, Any]:
    """A trial as jsPsych 6 logs it."""
    return {
        "trial_index": trial_index,
        "rt": 400 + trial_index,
        "key_press": 37,
        "correct": 1,
        "exp_stage": "test",
        "condition": "congruent" if trial_index % 2 else "incongruent",
        "time_elapsed": 1000 * trial_index,
        "trial_type": "poldrack-categorize",
        **members,
    }


def a_task_run(task: str = "simon", *, run: int = 1, trials: int = 4, **members: Any) -> dict[str, Any]:
    """A task run with trials 1 to `trials`."""
    return {"task": task, "run": run, "trials": [a_trial(index + 1) for index in range(trials)], **members}


def a_session(name: str = "s1", **members: Any) -> dict[str, Any]:
    """A completed session with one run of simon. Two of them never begin in the same second: see `begin`."""
    return {
        "_id": f"session:{name}",
        "type": "session",
        "schema": 1,
        "study": "SRO",
        "site": SITE,
        "participant": "s012",
        "visit": "baseline",
        "battery": {"id": "self-regulation", "version": 1},
        "device": {"id": "lima-tab-2", "app": "1.0.0", "os": "Android 14", "model": "SM-T510"},
        "language": "en",
        "started_at": begin(name),
        "ended_at": "2016-07-22T03:20:10Z",
        "utc_offset_minutes": -300,
        "status": "completed",
        "tasks": [a_task_run()],
        **members,
    }


def begin(name: str) -> str:
    """When the session of this name began: one participant's sessions of one second would be duplicates."""
    seconds = 0 if name == "s1" else 1 + crc32(name.encode()) % 900
    return f"2016-07-22T03:{1 + (35 + seconds) // 60:02}:{(35 + seconds) % 60:02}Z"


def a_consent(name: str = "c1", **members: Any) -> dict[str, Any]:
    """A signed consent."""
    return {
        "_id": f"consent:{name}",
        "type": "consent",
        "schema": 1,
        "site": SITE,
        "participant": "s012",
        "form": {"id": "adult", "version": 2},
        "signed_at": "2016-07-22T03:00:00Z",
        **members,
    }


def a_patch(
    name: str, number: int, patch: dict[str, Any], base: dict[str, Any], **members: Any
) -> dict[str, Any]:
    """A patch of session `name`."""
    return a_correction(name, number, kind="patch", patch=patch, base=base, **members)


def a_resolution(name: str, number: int, *values: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A resolution of session `name`."""
    return a_correction(name, number, kind="resolution", values=list(values), **members)


def a_correction(name: str, number: int, **members: Any) -> dict[str, Any]:
    """What every correction has."""
    return {
        "_id": f"correction:{name}:{number}",
        "type": "correction",
        "schema": 1,
        "site": SITE,
        "session": name,
        "reason": "seen on the paper form",
        "author": "c@clinic.example",
        "role": "coordinator",
        "made_at": "2016-07-23T08:00:00Z",
        "request_id": "r1",
        **members,
    }


def a_device(name: str = "lima-tab-2", **members: Any) -> dict[str, Any]:
    """A tablet's own status."""
    return {"_id": f"device:{name}", "type": "device", "schema": 1, "app": "1.0.0", **members}


def encode(document: Any) -> bytes:
    """As it is stored."""
    return msgspec.json.encode(document)


def nested(levels: int) -> Any:
    """An array in an array in an array…"""
    value: Any = "innermost"
    for _ in range(levels):
        value = [value]
    return value
