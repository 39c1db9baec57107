"""The tasks that this server scores, as modules that every installation has. Nobody changes them.

Their parameters are those that the published tasks vary; what a tablet's app takes besides them is its own
module's business.
"""

from typing import Any

import msgspec

from reporting.scoring.registry import DEFINITIONS


class BuiltInModule(msgspec.Struct, frozen=True):
    """A module without a row."""

    id: str
    title: str
    description: str
    parameters: dict[str, Any]
    defaults: dict[str, Any]


def _whole(low: int, high: int, title: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high, "title": title}


_TIMED = {
    "practice_trials": _whole(0, 200, "Practice trials"),
    "test_trials": _whole(1, 1000, "Test trials"),
    "response_window_ms": _whole(100, 60_000, "Time to answer, in milliseconds"),
}


def _module(
    task: str, title: str, description: str, defaults: dict[str, Any], **more: dict[str, Any]
) -> BuiltInModule:
    known = {**_TIMED, **more}
    schema = {
        "type": "object",
        "properties": {name: known[name] for name in defaults},
        "additionalProperties": False,
    }
    return BuiltInModule(task, title, description, schema, defaults)


_ALL = (
    _module(
        "simple_reaction_time",
        "Simple reaction time",
        "Answer as soon as the stimulus appears.",
        {"practice_trials": 5, "test_trials": 50, "response_window_ms": 2000},
    ),
    _module(
        "choice_reaction_time",
        "Choice reaction time",
        "Answer with the key that belongs to the stimulus.",
        {"practice_trials": 20, "test_trials": 150, "response_window_ms": 2000},
    ),
    _module(
        "attention_network_task",
        "Attention network task",
        "Which way does the middle arrow point? With cues and flankers.",
        {"practice_trials": 24, "test_trials": 144, "response_window_ms": 1700},
    ),
    _module(
        "stroop",
        "Stroop",
        "Name the colour of the letters, not the word.",
        {"practice_trials": 24, "test_trials": 96, "response_window_ms": 1500},
    ),
    _module(
        "simon",
        "Simon",
        "Answer by colour, wherever the stimulus is.",
        {"practice_trials": 20, "test_trials": 100, "response_window_ms": 1500},
    ),
    _module(
        "digit_span",
        "Digit span",
        "Repeat a growing list of digits, forward or in reverse.",
        {"test_trials": 14, "start_length": 3, "digit_ms": 800, "conditions": ["forward", "reverse"]},
        start_length=_whole(1, 20, "Digits of the first list"),
        digit_ms=_whole(100, 5000, "For how long each digit is shown, in milliseconds"),
        conditions={
            "type": "array",
            "items": {"enum": ["forward", "reverse"]},
            "minItems": 1,
            "uniqueItems": True,
            "title": "Conditions, in order",
        },
    ),
    _module(
        "adaptive_n_back",
        "Adaptive n-back",
        "Is this letter the one of n letters ago? n follows the participant.",
        {"blocks": 20, "trials_per_block": 20, "start_load": 1, "response_window_ms": 2000},
        blocks=_whole(1, 100, "Blocks"),
        trials_per_block=_whole(5, 200, "Trials of a block"),
        start_load=_whole(1, 10, "n of the first block"),
    ),
)

BUILT_IN = {module.id: module for module in _ALL}
"""By id."""

if BUILT_IN.keys() != DEFINITIONS.keys():
    raise AssertionError("every task that has a scoring definition is a built-in module, and no other")
