"""The link: the hub's contacts with the centre, again and again, from its start to its end.

`contact` says what is done in which order and what a failure means; here it is done. Everything that a
contact changes is in the store or in the records before the centre is told that it is, and every request may
be repeated: so a contact can be cut off anywhere, by the network or by the power.

| cut off | the next contact |
|---|---|
| after the journal was sent, before it is marked | sends it again |
| within a replication | goes on from its checkpoint |
| within an erasure | does it again; the centre has the task until it is told that all of it is purged |
| the centre's database is another one than before | the journal is sent again, receipts are fetched again |
| after receipts were fetched, before they are kept | fetches them again |
"""

import asyncio
import contextlib
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import structlog

from replication.errors import CouchError
from reporting.erasure.names import REASON
from sync_server.hub import contact, journal, receipts, site_list
from sync_server.hub.centre import Centre, FetchedReceipt, Report, TabletSeen
from sync_server.hub.contact import NEWS, REPLICATION, Step, StepFailure
from sync_server.hub.erasing import Eraser
from sync_server.hub.journal import Told
from sync_server.hub.parts import Hub, now
from sync_server.hub.records import RecordsFailed, read_meta, write_meta
from sync_server.hub.replicating import Copied, Replications
from sync_server.hub.status import app_version, documents_waiting, forget_pushed, keep_pushed
from sync_server.hub.tablets import SeenTablet, kept_tablets

GATHER_S: Final = 1.0
"""From a document that wakes the link to the contact: its neighbours go along, and a busy day at the clinic
stays within the requests that the centre takes of a device.
"""
_INSTANCE: Final = "centre's instance"

MOST_TABLETS: Final = 1000
"""Told to the centre at once."""

log = structlog.get_logger()


def _doubt(connection: sqlite3.Connection) -> None:
    journal.doubt(connection)
    forget_pushed(connection)


def _latest(seen: Sequence[SeenTablet]) -> list[TabletSeen]:
    """As many as the centre takes."""
    latest = sorted(seen, key=lambda each: each.last_seen, reverse=True)[:MOST_TABLETS]
    return [TabletSeen(each.device, each.last_seen) for each in latest]


class Link:
    """`run` it until it is cancelled."""

    def __init__(self, hub: Hub, centre: Centre, replications: Replications, eraser: Eraser) -> None:
        self._hub = hub
        self._centre = centre
        self._replications = replications
        self._eraser = eraser
        self._running: dict[Step, asyncio.Task[Copied]] = {}
        self._steps: dict[Step, Callable[[], Awaitable[None]]] = {
            Step.STATUS: self._report,
            Step.SITE_LIST: self._fetch_site_list,
            Step.ERASURES: self._erase,
            Step.JOURNAL: self._send_journal,
            Step.RECEIPTS: self._fetch_receipts,
        }

    async def run(self) -> None:
        """One contact after the other."""
        try:
            while True:
                self._hub.wake.clear()
                try:
                    await self.contact()
                except Exception:
                    # A defect in one contact is no reason to have no other: tablets depend on the link.
                    log.exception("contact failed")
                    await self._stop_replications()
                await self._wait()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End what goes on in the background."""
        await self._stop_replications()

    async def contact(self) -> None:
        """One contact, as far as it gets."""
        for step in NEWS:
            if not await self._did(step, self._steps[step]):
                return
        for step in REPLICATION:
            if step not in self._running:
                begin = self._push if step is Step.PUSH else self._pull
                self._running[step] = asyncio.create_task(begin(), name=f"hub {step.value}")
        # A backlog of hours goes on beside later contacts: revocations and erasures do not wait for it.
        await asyncio.wait(self._running.values(), timeout=self._hub.settings.every)
        for step in [step for step, task in self._running.items() if task.done()]:
            if not await self._did(step, self._ended(step)):
                return
        await self._did(Step.RECEIPTS, self._steps[Step.RECEIPTS])

    async def _did(self, step: Step, work: Callable[[], Awaitable[None]]) -> bool:
        """Do a step; whether the contact goes on."""
        hub = self._hub
        try:
            await work()
        except (CouchError, RecordsFailed, OSError, ValueError) as error:
            # What a reason quotes is for the log; anybody may read the page.
            log.warning("step failed here", step=step.value, error=str(error))
            failure = StepFailure("failed", f"{type(error).__name__} at the hub; the log says more")
        except StepFailure as error:
            failure = error
        else:
            hub.state = contact.succeeded(hub.state, step)
            return True
        if contact.ends(failure):
            was_up = hub.state.up
            hub.state = contact.ended(hub.state, step, failure, now())
            write = log.warning if was_up else log.info
            write("link down", step=step.value, reason=failure.why, failures=hub.state.failures)
            await self._stop_replications()
            return False
        known = hub.state.problems.get(step.value) == failure.why
        hub.state = contact.failed(hub.state, step, failure.why)
        # The same again every few seconds, for days where the centre is older, would bury all else.
        write = log.debug if known else log.warning
        write("step failed", step=step.value, reason=failure.why)
        return True

    async def _wait(self) -> None:
        hub = self._hub
        seconds = contact.wait_s(hub.state, every=hub.settings.every, chance=random.random())  # noqa: S311
        if not hub.state.up:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await hub.wake.wait()
        await asyncio.sleep(min(GATHER_S, hub.settings.every))

    async def _report(self) -> None:
        hub = self._hub
        kept = await hub.records.do(kept_tablets)
        report = Report(
            urls=hub.urls,
            ca_fingerprint=hub.fingerprint,
            app=app_version(),
            documents_waiting=await documents_waiting(hub),
            tablets=_latest(hub.tablets.now(kept)),
            storage_free_bytes=shutil.disk_usage(hub.settings.data_dir).free,
            clock=now().isoformat(),
        )
        try:
            there = await self._centre.report(report)
        except StepFailure as failure:
            if not contact.ends(failure):
                self._answered()  # an older centre, which does not ask hubs how they are
            raise
        self._answered()
        offset = round((now() - there).total_seconds(), 1)
        self._hub.state = contact.with_clock(self._hub.state, offset)

    def _answered(self) -> None:
        if not self._hub.state.up:
            log.info("link up", centre=self._hub.settings.centre)
        self._hub.state = contact.answered(self._hub.state, now())

    async def _fetch_site_list(self) -> None:
        hub = self._hub
        # Asked for by what is on the disk: a list that could not be kept is in force, and is fetched again.
        since = await hub.records.do(site_list.kept_version)
        fetched = await self._centre.site_list(since)
        if fetched is None:
            return
        hub.site_list.replace(fetched)
        hub.open_requests.cut_unless(hub.site_list.in_force)
        await hub.records.do(lambda c: site_list.save(c, fetched))
        log.info("site list fetched", credentials=len(fetched.credentials))

    async def _erase(self) -> None:
        for task in await self._centre.erasures():
            await self._eraser.erase(task.documents)
            done = await self._centre.erased(task)
            # Not done: the next contact is told all of it.
            log.info("erased", task=task.id, documents=len(task.documents), done=done)

    async def _send_journal(self) -> None:
        await self._notice_another_instance()
        while True:
            entries = await self._hub.records.do(journal.untold)
            if not entries:
                return
            await self._record(entries)
            numbers = [number for number, _ in entries]
            await self._hub.records.do(partial(journal.mark_told, numbers=numbers))

    async def _notice_another_instance(self) -> None:
        """A centre that was put back to a backup may have lost what it confirmed: it is told again."""
        instance = (await self._replications.centre_instance()).encode()
        kept = await self._hub.records.do(lambda c: read_meta(c, _INSTANCE))
        if kept == instance:
            return
        if kept is not None:
            log.warning("the centre's database is another one: the journal is sent again")
            await self._hub.records.do(_doubt)
        await self._hub.records.do(lambda c: write_meta(c, _INSTANCE, instance))

    async def _record(self, entries: Sequence[tuple[int, Told]]) -> None:
        """Hand entries in; one that the centre cannot take is passed over, or all others would wait."""
        try:
            await self._centre.record([entry for _, entry in entries])
        except StepFailure as failure:
            if failure.kind != "rejected":
                raise
            if len(entries) == 1:
                log.error("journal entry rejected", entry=entries[0][0], reason=failure.why)  # noqa: TRY400
                return
            half = len(entries) // 2
            await self._record(entries[:half])
            await self._record(entries[half:])

    async def _push(self) -> Copied:
        copied = await self._replications.push()
        await self._hub.records.do(lambda c: keep_pushed(c, copied.through))
        return copied

    async def _pull(self) -> Copied:
        return await self._replications.pull()

    def _ended(self, step: Step) -> Callable[[], Awaitable[None]]:
        task = self._running.pop(step)

        async def result() -> None:
            copied = task.result()
            if copied.written or copied.refused:
                log.info("replicated", step=step.value, written=copied.written, refused=copied.refused)

        return result

    async def _stop_replications(self) -> None:
        tasks = list(self._running.values())
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch_receipts(self) -> None:
        hub = self._hub
        at = now()
        asked = await hub.records.do(lambda c: receipts.wanted(c, at))
        if not asked:
            return
        told = await self._centre.receipts(asked)
        await hub.records.do(lambda c: receipts.save(c, told, at))
        await self._erase_refused(told)

    async def _erase_refused(self, told: list[FetchedReceipt]) -> None:
        """A new document of somebody who was erased: the centre has refused it, and here it must not stay."""
        again = {each.id: () for each in told if each.state == "refused" and each.reason == REASON}
        if again:
            await self._eraser.erase(again)
            log.info("erased what the centre refused", documents=len(again))
