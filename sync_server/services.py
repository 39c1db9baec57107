"""Server, projector, relay and worker, started below a supervisor.

The supervisor imports none of them: each is a process that imports what it needs itself.
"""

import sys
from collections.abc import Mapping
from functools import partial

import aiohttp

from sync_server.embedded.system import EmbeddedSystem
from sync_server.jobs.queue_names import FILE_QUEUES, QUICK_QUEUES, SLOW_QUEUES
from sync_server.settings import own_base_url


async def start_services(
    system: EmbeddedSystem, *, host: str, port: int, tls: Mapping[str, str] | None = None
) -> None:
    """Start server, projector, relay and two workers as children of a running embedded system.

    `tls` are the settings of the service's TLS, LOCAL_PORT among them; None: without. The system's CouchDB
    holds the site databases; without one the embedded store does, whatever our environment says.
    """
    base_url = own_base_url("127.0.0.1", int(tls["LOCAL_PORT"])) if tls else own_base_url(host, port)
    # Empty ones count as unset. A CouchDB is asked without a detour by the service.
    store = {"COUCHDB_URL": "", "STORE_URL": f"{base_url}/db"}
    if system.couchdb is not None:
        store = {"COUCHDB_URL": system.couchdb.url, "STORE_URL": ""}
    environment = {"HOST": host, "PORT": str(port), **store, **(tls or {})}
    no_admin = {**environment, "COUCHDB_ADMIN_URL": ""}
    command = [sys.executable, "-m", "sync_server"]
    await system.start_service("serve", [*command, "serve"], no_admin, ready=partial(_answers, base_url))
    for name in ("project", "relay"):
        await system.start_service(name, [*command, name], no_admin)
    # A push waits for REDCap's permission to go on; publications must not wait behind it. The quick one
    # purges what is erased, which takes CouchDB's admin.
    for name, queues, settings in (
        ("work", QUICK_QUEUES, environment),
        ("work-redcap", SLOW_QUEUES, no_admin),
        ("work-reports", FILE_QUEUES, no_admin),
    ):
        queued = [*command, "work", "--queues", ",".join(queues)]
        await system.start_service(name, queued, settings)
    system.announce(base_url)


async def _answers(base_url: str) -> bool:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
            session.get(f"{base_url}/api/health") as response,
        ):
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
