"""The sites of one projector: listed, shared with other projectors, woken by hints, and told how they stand.

Three workers beside those of the sites, whatever the number of sites:

| worker | does |
|---|---|
| `listing` | asks which site databases there are, every polling interval |
| `hints` | waits for the names of those that changed, and wakes their sites |
| `sharing` | looks whose the sites are; writes states; notes through when idle sites are complete |

| what happens | outcome |
|---|---|
| a hint names a database that is not listed | the list is looked at |
| a hint does not say which | every site is woken |
| a hint is lost | the site is polled within `_HINTED_INTERVALS` polling intervals |
| the sites cannot be listed yet | no member: its share would be projected by nobody |
| there are no hints: 404, or answers at once that tell nothing | every site is polled every interval |
| a site is above the share, or gone | no further turn; its lock goes when the turn that runs is over |
| the connection with the locks is lost | no site is this projector's, until it holds locks again |
"""

from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import psycopg
import structlog

from reporting.errors import FeedRefused, FeedUnavailable, SourceReplaced, StaleBatch
from reporting.projection.batch import Checkpoint
from reporting.projection.feed import SiteDatabase, SiteFeed
from reporting.projection.ownership import SiteLocks, Survey
from reporting.projection.sharing import lock_key, share_out
from reporting.projection.site_states import Failing, Standing, after_failure, after_success
from reporting.projection.turns import Turns, retry_after
from reporting.projection.watermarks import Sighting

_HINTED_INTERVALS: Final = 5
_HINT_TIMEOUT_S: Final = 10.0

# Hints within so short a time are taken together.
_HINT_PAUSE_S: Final = 0.02

# At every so many looks it is written through when idle sites are complete.
_IDLE_LOOKS: Final = 3

# Workers of sites have a prefix that no other has, whatever a site is called.
_SITE: Final = "site "
_LISTING: Final = "listing"
_HINTS: Final = "hints"
_SHARING: Final = "sharing"

log = structlog.get_logger()


@dataclass
class Site:
    """A site of this projector, and what it remembers of it between turns."""

    database: SiteDatabase
    checkpoint: Checkpoint | None = None
    """As this process committed it; None: to be read from Postgres."""
    has_replays: bool = False
    """There may be documents to project again."""
    page_is_next: bool = False
    """Feed pages and replays take turns, so that neither waits for the other's backlog."""
    standing: Standing | None = None
    """None before the first turn has ended."""
    is_told: bool = True
    """The standing is written."""
    sighting: Sighting | None = None
    """The feed had nothing more: to be noted."""

    @property
    def is_doubtful(self) -> bool:
        """Its last turn failed: the next may well hang."""
        return self.standing is not None and self.standing.failures > 0


class Roster:
    """Whoever composes it adds its workers to `turns` with `begin`, and reports how turns of sites end."""

    def __init__(
        self,
        feed: SiteFeed,
        locks: SiteLocks,
        turns: Turns,
        turn: Callable[[Site], Coroutine[Any, Any, float]],
        *,
        poll_seconds: float,
        look_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._feed = feed
        self._locks = locks
        self._turns = turns
        self._turn = turn
        self._poll_seconds = poll_seconds
        self._look_seconds = look_seconds
        self._clock = clock
        self._sites: dict[str, Site] = {}
        self._found: dict[str, SiteDatabase] | None = None
        self._gone: set[str] | None = None
        """Sites that went since it was last written; None: whatever went before this process began."""
        self._hinted = True
        self._looks = 0
        self._looks_failed = 0
        self.moment: datetime | None = None
        """Postgres's clock, some seconds ago at most; None: not known."""

    def begin(self) -> None:
        """Take part in the turns."""
        self._turns.add(_LISTING, self._list)
        self._turns.add(_HINTS, self._follow_hints)
        self._turns.add(_SHARING, self._share)

    @property
    def databases(self) -> list[SiteDatabase]:
        """Of this projector's sites."""
        return [site.database for site in self._sites.values()]

    def wake_for_replays(self, sites: Collection[str]) -> None:
        """There are documents of these sites to project again; those of other projectors are passed over."""
        for name in {_SITE + site for site in sites} & self._sites.keys():
            self._sites[name].has_replays = True
            self._turns.wake([name])

    def until_poll(self, site: Site) -> float:
        """Seconds until an idle site is due, unless a hint wakes it: sites differ, so that they spread."""
        longest = self._poll_seconds * (_HINTED_INTERVALS if self._hinted else 1)
        return longest * (0.5 + lock_key(site.database.site) % 1000 / 2000)

    def note_success(self, site: Site, *, rereading: bool) -> None:
        """A turn has ended well."""
        self._note(site, after_success(rereading=rereading))

    def note_failure(self, name: str, failure: Exception, failures: int, delay: float) -> None:
        """A turn of the worker `name` has failed. Workers that are no sites have no state."""
        site = self._sites.get(name)
        if site is not None:
            error = f"{type(failure).__name__}: {failure}"
            standing = after_failure(
                site.standing, _failing(failure), error=error, failures=failures, next_try_s=delay
            )
            self._note(site, standing)

    def _note(self, site: Site, standing: Standing) -> None:
        before, site.standing = site.standing, standing
        if standing == before:
            return
        site.is_told = False
        if before is None or standing.state is not before.state:
            log.info(
                "site state changed",
                site=site.database.site,
                state=standing.state,
                before=before and before.state,
                error=standing.error,
            )

    async def _list(self) -> float:
        """Which site databases there are; what is new or gone is shared out at once."""
        found = {_SITE + each.site: each for each in await self._feed.databases()}
        if found != self._found:
            if self._found is not None and self._gone is not None:
                self._gone |= {self._found[name].site for name in self._found.keys() - found.keys()}
            self._found = found
            self._turns.wake([_SHARING])
        return self._poll_seconds

    async def _follow_hints(self) -> float:
        """Wake the sites that changed. Polling does without: a feed that has no hints must not stop it."""
        began = self._clock()
        try:
            changed = await self._feed.wait(_HINT_TIMEOUT_S)
        except FeedUnavailable as failure:
            if self._hinted:
                log.warning("no hints of changes", error=str(failure), polled_every_s=self._poll_seconds)
            self._hinted = False
            return self._poll_seconds
        # An answer at once that nothing changed will come at once for ever: those are no hints.
        self._hinted = changed is None or bool(changed) or self._clock() - began > _HINT_TIMEOUT_S / 2
        self._turns.wake(list(self._sites) if changed is None else self._named(changed))
        return _HINT_PAUSE_S if self._hinted else self._poll_seconds

    def _named(self, databases: Collection[str]) -> list[str]:
        """This projector's workers for these databases; one that is not listed has the list looked at."""
        listed = {each.database: name for name, each in (self._found or {}).items()}
        if not listed.keys() >= set(databases):
            self._turns.wake([_LISTING])
        return [listed[each] for each in databases if listed.get(each) in self._sites]

    async def _share(self) -> float:
        """See whose the sites are, and tell how those of this projector stand."""
        if self._found is None:
            # Who cannot list the sites takes none: as a member it would keep a share that nobody projects.
            return self._look_seconds
        try:
            survey = await self._locks.survey()
            self.moment = survey.at
            await self._exchange(survey, self._found)
            await self._tell(self._found)
        except psycopg.OperationalError as failure:
            return self._let_go(failure)
        self._looks_failed = 0
        return self._look_seconds

    async def _exchange(self, survey: Survey, found: Mapping[str, SiteDatabase]) -> None:
        """Give away what is above the share, once its turn is over, and take what is free up to it."""
        keys = {name: lock_key(each.site) for name, each in found.items()}
        exchange = share_out(
            set(keys.values()),
            mine=survey.mine,
            others=survey.others,
            members=survey.members,
            member=survey.member,
        )
        for name in [name for name in self._sites if keys.get(name) not in exchange.keep]:
            self._drop(name)
            log.info("site given away", site=name.removeprefix(_SITE), projectors=survey.members)
        running = {name.removeprefix(_SITE) for name in self._turns.running if name.startswith(_SITE)}
        owned = await self._locks.exchange(exchange, busy={lock_key(site) for site in running})
        for name in [name for name in found if name not in self._sites and keys[name] in owned]:
            site = self._sites[name] = Site(found[name])
            self._turns.add(name, partial(self._turn, site))
            log.info("site taken over", site=found[name].site, projectors=survey.members)

    def _drop(self, name: str) -> None:
        self._turns.remove(name)
        del self._sites[name]

    def _let_go(self, failure: psycopg.OperationalError) -> float:
        """Without locks, no site is this projector's. Turns that run are finished: batches are fenced."""
        self._looks_failed += 1
        delay = min(self._look_seconds, retry_after(self._looks_failed))
        log.warning("site locks lost", sites=len(self._sites), error=str(failure), next_try_in_s=delay)
        for name in list(self._sites):
            self._drop(name)
        # Another Postgres may answer next, with another clock.
        self.moment = None
        return delay

    async def _tell(self, found: Mapping[str, SiteDatabase]) -> None:
        """Write what changed in the standing of sites, and through when idle ones are complete."""
        if self._gone is None:
            await self._locks.forget_all_but([each.site for each in found.values()])
        else:
            await self._locks.forget(gone=self._gone)
        self._gone = set()
        untold = [site for site in self._sites.values() if not site.is_told]
        for site in untold:
            site.is_told = True
        await self._locks.tell(
            {site.database.site: site.standing for site in untold if site.standing is not None}
        )
        self._looks += 1
        if self._looks % _IDLE_LOOKS == 0:
            await self._advance_idle()

    async def _advance_idle(self) -> None:
        seen = {name: site.sighting for name, site in self._sites.items() if site.sighting is not None}
        for name in seen:
            self._sites[name].sighting = None
        for changed in await self._locks.advance_idle(list(seen.values())):
            name = _SITE + changed
            site = self._sites.get(name)
            # Unless the site has gone on meanwhile, by this process itself.
            if site is not None and site.checkpoint == seen[name].checkpoint:
                site.checkpoint = None
                self._turns.wake([name])


def _failing(failure: Exception) -> Failing:
    """The kind of a failure, in the first row that fits."""
    if isinstance(failure, StaleBatch | SourceReplaced):
        return Failing.DROPPED
    if isinstance(failure, FeedRefused):
        return Failing.DEFECT
    if isinstance(failure, FeedUnavailable | TimeoutError | psycopg.OperationalError):
        return Failing.OUTAGE
    return Failing.DEFECT
