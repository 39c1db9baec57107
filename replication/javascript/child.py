"""The process that functions of design documents run in: `python -m replication.javascript.child`.

It reads tasks from its standard input and writes an answer to each to its standard output, until the input
ends. Whatever a function does, the process outlives the service by no more than the time of one call: it
watches the input while a function runs, and has set itself an alarm that the kernel delivers.
"""

import contextlib
import os
import resource
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

from replication.javascript import tasks
from replication.javascript.interpreter import Interpreter
from replication.javascript.tasks import HEAD, KILL_AFTER, READY, SLICE_SECONDS, Answer, Task, length_of

ADDRESS_SPACE = 1024 * 1024 * 1024
"""Bytes: a few interpreters at their limit, two documents of the largest size, and Python."""


def main() -> None:
    """Answer until nobody asks any more."""
    _limit()
    # Nothing but answers may go to the pipe.
    with os.fdopen(os.dup(1), "wb", buffering=0) as answers:
        os.dup2(2, 1)
        threading.Thread(target=_end_with_the_service, daemon=True).start()
        with contextlib.suppress(BrokenPipeError):
            _serve(sys.stdin.buffer, answers)


def _serve(asked: BinaryIO, answers: BinaryIO) -> None:
    interpreters: dict[int, Interpreter] = {}
    _send(answers, READY)
    while len(head := asked.read(HEAD)) == HEAD:
        task = tasks.decode_task(asked.read(length_of(head)))
        signal.setitimer(signal.ITIMER_REAL, task.seconds + KILL_AFTER)
        answer = _done(task, interpreters)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(answers, answer)


def _send(answers: BinaryIO, answer: Answer) -> None:
    frame = memoryview(tasks.framed(tasks.encode_answer(answer)))
    while frame:
        frame = frame[answers.write(frame) :]


def _done(task: Task, interpreters: dict[int, Interpreter]) -> Answer:
    if task.design is not None:
        # The old one first: two at their limit would need its memory twice.
        interpreters.pop(task.slot, None)
        interpreters[task.slot] = Interpreter()
        loaded = interpreters[task.slot].load(task.design, task.seconds)
        if loaded.error is not None:
            del interpreters[task.slot]
            return Answer([], loaded.error, loaded.reason, broken=True)
    interpreter = interpreters[task.slot]
    values: list[bool] = []
    until = time.monotonic() + SLICE_SECONDS
    for item in task.items:
        outcome = interpreter.call(task.call, [task.path, item, *task.more], task.seconds)
        if outcome.error is not None:
            if interpreter.broken:
                del interpreters[task.slot]
            return Answer(values, outcome.error, outcome.reason, interpreter.broken)
        values.append(outcome.value)
        if time.monotonic() > until:
            break
    return Answer(values)


def _limit() -> None:
    # Ignored and blocked signals are inherited; these end the process, or else go to the whole group.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    for stops_the_service in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stops_the_service, signal.SIG_IGN)
    # Not every system has every limit.
    for limit, value in ((resource.RLIMIT_AS, ADDRESS_SPACE), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))
    with contextlib.suppress(OSError):
        # Should the machine's memory end, rather this process than the service.
        Path("/proc/self/oom_score_adj").write_text("500")


def _end_with_the_service() -> None:
    # The engine runs without Python's lock: this thread gets its turn while a function takes its time.
    poll = select.poll()
    poll.register(0, 0)  # no event but the end of the other side
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main()
