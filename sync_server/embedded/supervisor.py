"""The children of one system: started in order, each kept running by itself, stopped in reverse order.

A child that dies never takes another with it: services reconnect to a server that comes back.
"""

import asyncio
import os
from collections.abc import Callable

import structlog

from sync_server.embedded import server_log
from sync_server.embedded.keeper import Child, Keeper

_LOG_CHECK_S = 60.0

log = structlog.get_logger()


class Supervisor:
    """Runs children until `stop`. Use it in one event loop, in a thread that outlives the children.

    `on_change` is called whenever a child starts or ends.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._keepers: list[Keeper] = []
        # Both ends are closed in every child but where a child is given the reading end on purpose.
        self._lifeline, self._lifeline_held_open = os.pipe()
        self._log_tender = asyncio.create_task(self._tend_logs(), name="server logs")

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the children that run now, by name, in the order of their start."""
        return {keeper.child.name: keeper.pid for keeper in self._keepers if keeper.pid is not None}

    async def start(self, child: Child) -> None:
        """Start `child` and return once it is ready; it is kept running from then on. Raises StartFailed."""
        keeper = Keeper(child, lifeline=self._lifeline, on_change=self._on_change)
        self._keepers.append(keeper)
        await keeper.start()

    async def stop(self) -> None:
        """End all children, the last started first."""
        self._log_tender.cancel()
        for keeper in reversed(self._keepers):
            await keeper.stop()
            log.info("child_stopped", child=keeper.child.name)
        self._keepers.clear()
        os.close(self._lifeline_held_open)
        os.close(self._lifeline)

    async def _tend_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_S)
            for keeper in self._keepers:
                if keeper.child.log is not None:
                    server_log.shorten(keeper.child.log)
