"""What the routes of REDCap share."""

from typing import Any

from sync_server.api.call import Call
from sync_server.keys import ENGINE, SEALER, SETTINGS
from sync_server.redcap.study_connections import Redcaps


def redcaps_of(call: Call[Any, Any]) -> Redcaps:
    """What asking a REDCap takes, of this service."""
    app = call.request.app
    return Redcaps(app[SETTINGS], app[ENGINE], app[SEALER])
