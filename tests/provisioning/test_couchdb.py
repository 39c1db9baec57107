"""Provisioning a real Apache CouchDB, where `TEST_COUCHDB_URL` names one."""

import asyncio

from tests.contract.couch import Couch
from tests.gateway.processes import Ended, invoke
from tests.provisioning.conftest import Deployment


async def provision(d: Deployment, *o: str, **more: str) -> Ended:
    return await asyncio.to_thread(invoke, "provision", *o, env=d.env | more)


async def test_try(theirs: Couch, deployment: Deployment) -> None:
    for o in (["--check"], ["--yes"], ["--check"], ["--yes"], ["--check", "--json"]):
        r = await provision(deployment, *o)
        print(o, r.code, r.out, r.err)
    r = await provision(deployment, "--yes", COUCHDB_DIRECT="1")
    print(r.code, r.out, r.err)
    r = await provision(deployment, "--yes", COUCHDB_DIRECT="1")
    print(r.code, r.out, r.err)
    r = await provision(deployment, "--yes")
    print(r.code, r.out, r.err)
    assert 0
