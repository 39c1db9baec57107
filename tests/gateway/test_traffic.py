"""What a process counts of its devices' requests."""

import asyncio

from sync_server.keys import TRAFFIC
from tests.gateway.gateway import Gateway, session


def counted(gateway: Gateway, name: str, **labels: str) -> float | None:
    return gateway.app[TRAFFIC].registry.get_sample_value(name, labels)


async def feeds_are(gateway: Gateway, number: int) -> None:
    async with asyncio.timeout(30):
        while counted(gateway, "metricis_feeds_open") != number:  # noqa: ASYNC110 (the counter tells nobody)
            await asyncio.sleep(0.01)


async def test_documents_are_counted_by_site_as_they_were_judged(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    refused = {"_id": "study:s", "_rev": "1-a"}
    await gateway.push(lima, session("a"), session("b"), refused, token=tablet)
    pushed = "metricis_pushed_documents_total"
    assert counted(gateway, pushed, site="lima", outcome="received") == 2
    assert counted(gateway, pushed, site="lima", outcome="refused") == 1
    route = "/db/{db}/_bulk_docs"
    assert counted(gateway, "metricis_requests_total", route=route, method="POST", status="201") == 1


async def test_feeds_are_counted_while_they_wait_also_when_their_device_goes_away(
    gateway: Gateway, lima: str, tablet: str
) -> None:
    async def wait(feed: str) -> None:
        query = {"feed": feed, "since": "now", "heartbeat": "100"}
        await gateway.call("GET", f"/{lima}/_changes", token=tablet, query=query)

    assert counted(gateway, "metricis_feeds_open") == 0
    waiting = [asyncio.create_task(wait(feed)) for feed in ("longpoll", "continuous")]
    await feeds_are(gateway, 2)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await feeds_are(gateway, 0)
