"""In the place of a child: starts like one and then answers what no child answers."""

import sys

from replication.javascript import tasks
from replication.javascript.tasks import HEAD, READY, Answer, decode_task, encode_answer, framed, length_of

LIES = {
    "no length": b"\xff\xff\xff\xff",
    "no message": framed(b"\xc1"),
    "nothing": framed(encode_answer(Answer([]))),
    "more than asked": framed(encode_answer(Answer([True] * 2))),
    "an end": b"",
    "half an answer": framed(encode_answer(Answer([True])))[:-1],
}

if __name__ == "__main__":
    sys.stdout.buffer.write(framed(tasks.encode_answer(READY)))
    sys.stdout.buffer.flush()
    task = decode_task(sys.stdin.buffer.read(length_of(sys.stdin.buffer.read(HEAD))))
    sys.stdout.buffer.write(LIES[task.items[0].decode()])
    sys.stdout.buffer.flush()
