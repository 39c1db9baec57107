"""The children that run functions for this process."""

import psutil


def running() -> list[psutil.Process]:
    """Those that are there now; other children of a test run are none of them."""
    return [one for one in psutil.Process().children() if "replication.javascript.child" in one.cmdline()]
