"""What REDCap said about the project or the host, not about a row: who is stopped by it.

| fault | follows |
|---|---|
| Banned | the throttle has noted it: nothing more, the sessions wait |
| NoRights | the project is paused, `rights` |
| DictionaryChanged | the dictionary is read anew: another one that fits → again; else paused, `dictionary` |
| UnknownOutcome, TooBig where nothing was sent | the sessions wait, however long: they are well |
| what is about rows, where no row was sent | failed |
"""

from datetime import timedelta
from typing import Final, NoReturn

import structlog

from reporting.outbox.policy import Failed, Postponed
from reporting.redcap.checking import problems
from reporting.redcap.dictionary import Dictionary
from reporting.redcap.faults import (
    BadRows,
    Banned,
    DictionaryChanged,
    Fault,
    NoRights,
    TooBig,
    UnknownOutcome,
)
from reporting.redcap.known import Known
from reporting.redcap.mapping import Mapping as StudyMapping
from reporting.redcap.projects import Cause, store_dictionary
from sync_server.redcap.batch import Batch, halt
from sync_server.redcap.client import About
from sync_server.redcap.pausing import pause_and_tell
from sync_server.redcap.throttle import BAN_LOOK

PAUSED_LOOK: Final = timedelta(minutes=15)
"""After which a session of a paused project looks again; going on enters it at once."""

AWAY_LOOK: Final = timedelta(seconds=30)
"""After which a host is asked again that did not answer; the breaker makes it longer."""

log = structlog.get_logger()


def text_of(fault: Fault) -> str:
    """What came back, for people."""
    if isinstance(fault, BadRows):
        return "; ".join(f"{line.field}: {line.message} ({line.value})" for line in fault.lines)
    return fault.text


async def stop(batch: Batch, fault: Fault) -> NoReturn:
    """Raises Halt with what becomes of the batch's other sessions."""
    if isinstance(fault, Banned):
        halt(Postponed(f"REDCap has banned this server: {fault.text}", BAN_LOOK))
    if isinstance(fault, NoRights):
        await pause_project(batch, "rights", fault.text)
    if isinstance(fault, DictionaryChanged):
        await _look_again(batch, fault)
    if isinstance(fault, UnknownOutcome | TooBig):
        halt(Postponed(f"REDCap does not answer: {fault.text}", AWAY_LOOK))
    halt(Failed(f"REDCap: {text_of(fault)}"))


async def pause_project(batch: Batch, cause: Cause, reason: str) -> NoReturn:
    """Raises Halt: the sessions wait until a person has mended it."""
    async with batch.engine.begin() as connection:
        await pause_and_tell(connection, batch.project, batch.study, cause, reason)
    halt(Postponed(f"The project is paused ({cause}): {reason}", PAUSED_LOOK))


async def learn(batch: Batch) -> Dictionary:
    """The project's dictionary, read for the first time; kept if the mapping fits. Raises Halt, NoTurn."""
    about = await batch.client.read_about()
    if not isinstance(about, About):
        await stop(batch, about)
    if wrong := misfits(batch.mapping, about.dictionary):
        await pause_project(batch, "mapping", wrong)
    await _keep(batch, about)
    return about.dictionary


def misfits(mapping: StudyMapping, dictionary: Dictionary) -> str:
    """What of the mapping does not fit the project, in a sentence; empty: it fits. Pure."""
    # What it says of our side was checked when it was saved.
    batteries = {each.battery: None for each in mapping.instruments if each.battery is not None}
    found = problems(mapping, dictionary, known=Known(batteries=batteries))
    return "; ".join(f"{each.path}: {each.message}" for each in found)


async def _keep(batch: Batch, about: About) -> None:
    stored = store_dictionary(
        batch.project, batch.study, about.dictionary, title=about.title, version=about.version
    )
    async with batch.engine.begin() as connection:
        await connection.execute(stored)


async def _look_again(batch: Batch, fault: DictionaryChanged) -> NoReturn:
    about = await batch.client.read_about()
    if not isinstance(about, About):
        if isinstance(about, DictionaryChanged):
            await pause_project(batch, "dictionary", fault.text)
        await stop(batch, about)
    wrong = misfits(batch.mapping, about.dictionary)
    if wrong or about.dictionary.sha256() == batch.dictionary.sha256():
        # The same dictionary and refused all the same: a person has to see why.
        await pause_project(batch, "dictionary", f"{fault.text}; {wrong}" if wrong else fault.text)
    await _keep(batch, about)
    halt(Postponed("The project was edited, and the mapping still fits.", timedelta()))
