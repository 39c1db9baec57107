"""How a service notices that its supervisor was killed.

`kill -9` of the supervisor leaves it no time to stop anybody. Every service therefore inherits the read end
of a pipe that only the supervisor can write to. Nobody ever writes: the kernel closes the pipe when the
supervisor is gone, however it went, and the service then shuts down as if it had been told to.
"""

import os
import signal
import threading
import time
from collections.abc import Callable

LIFELINE_VARIABLE = "LIFELINE_FD"
SHUTDOWN_GRACE_S = 30.0
EXIT_CODE_AFTER_GRACE = 70


def watch_lifeline(on_lost: Callable[[], None] | None = None, *, grace_s: float = SHUTDOWN_GRACE_S) -> bool:
    """Call `on_lost` (default: send this process SIGTERM) once the supervisor is gone.

    Call it early and from the main program. `on_lost` runs in a thread of its own; to reach an event loop it
    uses `call_soon_threadsafe`. A process still alive `grace_s` seconds later is ended with
    EXIT_CODE_AFTER_GRACE: an orphan must not hold the port or the files that the next start needs.
    Returns False, watching nothing, when no supervisor started this process.
    """
    # Taken out of the environment: a program that this process starts has no such descriptor.
    number = os.environ.pop(LIFELINE_VARIABLE, None)
    if number is None:
        return False
    descriptor = int(number)
    os.set_inheritable(descriptor, False)

    def watch() -> None:
        while os.read(descriptor, 64):
            pass
        (on_lost or _terminate_self)()
        time.sleep(grace_s)
        os._exit(EXIT_CODE_AFTER_GRACE)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
    return True


def _terminate_self() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
