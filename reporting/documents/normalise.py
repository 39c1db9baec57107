"""One trial as jsPsych 6, 7 or 8 logged it → one shape.

| member | becomes |
|---|---|
| `rt` absent, null or negative | no response: `rt_ms` None |
| `response`, or else `key_press` | `response`; where both say something, `key_press` stays in `extra` |
| `correct` 0, 1, true, false | a boolean; null or absent: None |
| `phase`, or else `exp_stage` | `stage`; neither: `test` |
| `condition`, a string | `condition`; anything else stays in `extra` |
| `time_elapsed`, a number | `time_elapsed_ms`; anything else stays in `extra` |
| everything else | `extra`, as logged |

A member that is null says the same as one that is absent. The raw row is never changed: it belongs to the
document, and a conflict compares it.
"""

from typing import Any

from reporting.documents.trials import Trial


def normalise_trial(raw: dict[str, Any]) -> Trial:
    """A valid trial (see `reporting.documents.validate`) as rows and scores read it."""
    extra = raw.copy()
    take = extra.pop
    trial_index = take("trial_index")
    rt = take("rt", None)
    correct = take("correct", None)

    response = take("response", None)
    if response is None:
        response = take("key_press", None)
    stage = take("phase", None)
    if stage is None:
        stage = take("exp_stage", None)

    condition = take("condition", None)
    if condition is not None and not isinstance(condition, str):
        extra["condition"] = condition
        condition = None

    time_elapsed = take("time_elapsed", None)
    time_elapsed_ms = None
    if time_elapsed is not None:
        time_elapsed_ms = _milliseconds(time_elapsed)
        if time_elapsed_ms is None:
            extra["time_elapsed"] = time_elapsed

    return Trial(
        trial_index,
        "test" if stage is None else stage,
        None if rt is None or rt < 0 else float(rt),
        None if correct is None else bool(correct),
        response,
        condition,
        time_elapsed_ms,
        extra,
    )


def _milliseconds(value: object) -> float | None:
    if type(value) is int or type(value) is float:
        try:
            return float(value)
        except OverflowError:  # an integer beyond float64
            return None
    return None
