"""The queues of RQ that workers listen to, told without importing what is done with them.

Whatever waits for another system's permission to go on has a worker of its own: the rest must not wait
behind it.
"""

from typing import Final

QUICK_QUEUES: Final = ("erasures", "mail", "publications", "reminders", "replications", "webhooks")

SLOW_QUEUES: Final = ("redcap",)
"""One worker does them one by one; REDCap's hosts give their turns slowly."""

FILE_QUEUES: Final = ("reports",)
"""Exports and reports: one may take minutes, and a worker holds its libraries in memory."""

QUEUES: Final = tuple(sorted((*QUICK_QUEUES, *SLOW_QUEUES, *FILE_QUEUES)))
"""Every queue."""
