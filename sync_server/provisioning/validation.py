"""The design document by which a site database itself refuses what the policy forbids.

Made from `sync_server.policy.POLICY`, the one table of who may write what, so that the two cannot drift. In
front of it the gateway has judged already, and writes as the service; the function is for whoever reaches
CouchDB without the gateway: a tablet in direct mode, a member that somebody added by hand.

| writer | may write |
|---|---|
| `_admin`, the service | everything |
| a hub | session, consent, device documents; no deletions |
| a tablet | the same, of device documents its own only |
| anybody else | nothing |

CouchDB does not ask it about `_local` documents, and lets only admins of the database write design documents.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from sync_server.identity.couch_roles import device_role
from sync_server.identity.device_credentials import DeviceRole
from sync_server.policy import POLICY, Rights

DESIGN_ID: Final = "_design/metricis"

_FUNCTION: Final = """\
function (newDoc, oldDoc, userCtx, secObj) {
  // Generated from the policy of metricis-sync by `sync-server provision`; changes by hand are undone.
  var writable = %s;
  var ownDevice = %s;
  var types = null, role = null;
  for (var i = 0; i < userCtx.roles.length; i++) {
    var name = userCtx.roles[i];
    if (name === "_admin" || (writable.hasOwnProperty(name) && writable[name] === null)) { return; }
    if (role === null && writable.hasOwnProperty(name)) { role = name; types = writable[name]; }
  }
  if (role === null) {
    throw({forbidden: "this login has no role that may write here"});
  }
  var colon = newDoc._id.indexOf(":");
  var type = newDoc._id.substring(0, colon), own = newDoc._id.substring(colon + 1);
  if (colon < 0 || own === "" || types.indexOf(type) < 0) {
    throw({forbidden: "a device may write " + types.join(", ") + " documents"});
  }
  if (newDoc._deleted) {
    throw({forbidden: "documents are not deleted from a tablet; a withdrawal is a coordinator's act"});
  }
  if (type === "device" && role === ownDevice && own !== userCtx.name) {
    throw({forbidden: "a tablet writes its own device document only: device:" + userCtx.name});
  }
}"""


def validation_function(policy: Mapping[DeviceRole, Rights] = POLICY) -> str:
    """`validate_doc_update`, in JavaScript of 1999: CouchDB's oldest engine has to read it."""
    writable = {
        device_role(role): None if rights.writable is None else list(rights.writable)
        for role, rights in policy.items()
    }
    return _FUNCTION % (json.dumps(writable), json.dumps(device_role("tablet")))


def design_document() -> dict[str, Any]:
    """The design document, without a revision."""
    return {"_id": DESIGN_ID, "language": "javascript", "validate_doc_update": validation_function()}
