"""How a command imports what it runs."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imported_for_good() -> Iterator[None]:
    """What is imported inside is never looked at for garbage: neither while it is, nor later, nor at the end.

    Next to nothing of it is garbage before the process ends, and then all of it is. Looking for it again and
    again while it grows, and once more when the interpreter ends, is a third of what a process costs that
    starts, does little and ends.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
