"""Carrying a plan out, and looking again whether it took."""

import time
from collections.abc import Callable
from typing import Final

from sync_server.provisioning.desired import Desired
from sync_server.provisioning.looking import look
from sync_server.provisioning.plan import Plan, Step, make_plan
from sync_server.provisioning.server import ProvisioningError, Refused, Server

SETTLE_SECONDS: Final = 10.0
"""A node reads users again a moment after they changed, and another node's configuration is told over."""
_LOOK_SECONDS: Final = 0.5


def apply(server: Server, plan: Plan, *, tell: Callable[[Step], None]) -> None:
    """Make the steps in order; `tell` is called after each. Raises ProvisioningError: what was done stays."""
    for step in plan.steps:
        for request in step.requests:
            try:
                server.send(request)
            except Refused as error:
                if error.status == 409:
                    raise ProvisioningError(
                        f"{step.difference.where} was changed by somebody else meanwhile: run this again."
                    ) from error
                raise
        tell(step)


def what_is_left(server: Server, nodes: list[str], desired: Desired) -> Plan:
    """What still differs after the plan was carried out. Raises ProvisioningError."""
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        plan = make_plan(desired, look(server, nodes, desired))
        if not plan.steps or time.monotonic() > until:
            return plan
        time.sleep(_LOOK_SECONDS)
