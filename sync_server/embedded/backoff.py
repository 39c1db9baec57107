"""How long a child that died waits for its next start.

A crash a day should cost nothing, a crash loop should neither burn the processor nor fill the log: the delay
doubles with every failure in a row, and a child that stayed up for a while starts from the shortest again.
"""

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
STEADY_AFTER_S = 60.0


def failures_in_row(before: int, uptime_s: float) -> int:
    """The count of failures in a row after one more, of a child that had been up for `uptime_s` seconds."""
    return 1 if uptime_s >= STEADY_AFTER_S else before + 1


def delay_s(failures: int) -> float:
    """Seconds until the next start after `failures` (1 or more) failures in a row."""
    # The exponent is capped because 2.0 ** 1024 overflows, and a child may well fail for a month.
    return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, 16))
