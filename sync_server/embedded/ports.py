"""The port of the embedded Postgres: chosen once, then kept, because researchers save the address.

Chosen ports lie below 32768, where Linux begins to number outgoing connections: a remembered port in that
range would now and then be taken by one of them just when the system starts.
"""

import hashlib
import socket
from pathlib import Path

from sync_server.embedded.errors import EmbeddedError, PortTaken

FIRST_PORT = 15_432
PORT_COUNT = 16_000
_TRIES = 200


def choose_port(data_directory: Path, *, given: int | None, remembered: int | None) -> int:
    """The port to use: the given one, else the remembered one, else a free one that suits the directory.

    Different directories start looking at different ports, so that systems started together do not collide.
    Raises PortTaken when the given or remembered port is in use.
    """
    wanted = given if given is not None else remembered
    if wanted is not None:
        if not is_free(wanted):
            raise PortTaken(wanted)
        return wanted
    offset = int.from_bytes(hashlib.sha256(bytes(data_directory)).digest()[:4], "big")
    for attempt in range(_TRIES):
        port = FIRST_PORT + (offset + attempt) % PORT_COUNT
        if is_free(port):
            return port
    raise EmbeddedError(f"None of {_TRIES} ports tried for Postgres is free; give one with --pg-port.")


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As Postgres does: connections of a server that just ended do not make its port count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
        return True
