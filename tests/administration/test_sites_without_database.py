"""Sites whose database the service may not make: an Apache CouchDB lets only its server admins."""

from pathlib import Path

import pytest

from replication.errors import Forbidden
from sync_server.keys import SITE_DATABASES
from sync_server.site_erasing import CouchSiteStore
from tests.administration.office import Member, Office
from tests.contract.couch import embedded_in
from tests.provisioning.restricted import as_no_admin


async def test_a_site_is_made_all_the_same_and_its_tablets_wait_until_it_is_provisioned(
    office: Office, tmp_path: Path
) -> None:
    admin, nobody = office.as_("admin"), Member(office.api.sending(), "")
    client = office.gateway.app[SITE_DATABASES]
    own = client._base
    async with embedded_in(tmp_path / "restricted", as_no_admin) as restricted:
        client._base = restricted.base
        try:
            assert (await admin.post("/api/sites", {"code": "lima"})).status == 201
            listed = (await admin.get("/api/sites/lima")).body
            assert (listed["status"], listed["state"]) == ("open", None)
            wanted = {"site": "lima", "device": "tab-1", "role": "tablet"}
            code = (await admin.post("/api/sync/enrolments", wanted)).body["code"]
            asked = {"code": code, "installation": "installation-of-the-app-0001"}
            refused = await nobody.post("/api/sync/enrol", asked)
            assert refused.error == (503, "unavailable")
            assert "run `sync-server provision`" in refused.body["error"]["message"]
            with pytest.raises(Forbidden, match="COUCHDB_ADMIN_URL"):
                await CouchSiteStore(client).purge("site-lima", {"session:a": ["1-a"]})
        finally:
            client._base = own
    await client.create("site-lima")
    # Nothing of it was committed: the code is still good.
    assert (await nobody.post("/api/sync/enrol", asked)).status == 201
