"""`/api/studies/{study}/sites` and `…/batteries`: where a study runs, and what its tablets get.

Whoever reaches a site by one of its studies sees its devices and its quarantine. So a study comes to a site
only by the hand of somebody who reaches that site already; a study's coordinator could otherwise take in
every site there is.
"""

from typing import Any

import msgspec

from reporting.instruments.battery_definitions import BatteryDefinition, named_banks
from reporting.publication.requests import battery_document, item_bank_document, publish_sites
from reporting.studies.rows import (
    StudyRow,
    count_taking_part,
    delete_study_battery,
    delete_study_site,
    end_memberships,
    hold_study_site,
    insert_study_battery,
    insert_study_site,
    select_published_battery,
    select_visits_with_battery,
    update_study,
)
from reporting.studies.sites import hold_site
from sync_server.api.acts import Reason
from sync_server.api.call import Call, Nothing
from sync_server.api.instrument_answers import path_version
from sync_server.api.route import Route, delete, put
from sync_server.api.study_rows import lock, publish_study, read_study
from sync_server.errors import NotFound, NotPossible


class Removal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason


async def add_site(call: Call[Nothing, Nothing]) -> StudyRow:
    """Have a study run at a site; the site is one that the caller reaches already."""
    study, site = call.path("study"), call.path("site")
    call.caller.require("studies.write", study)
    call.caller.require_at_site("studies.write", site)
    await lock(call, study)
    status = await call.connection.scalar(hold_site(site))
    if status is None:
        raise NotFound(f"There is no site {site}.")
    if status != "open":
        raise NotPossible(f"The site {site} is {status}.", details={"status": status})
    added = await call.connection.execute(insert_study_site(study, site))
    if added.one_or_none() is not None:
        await call.connection.execute(update_study(study))
        await call.record("study.add_site", "study", study, study=study, site=site)
        await call.connection.execute(publish_sites([site]))
    return await read_study(call, study)


async def remove_site(call: Call[Nothing, Removal]) -> StudyRow:
    """End a study at a site, with a reason.

    Not while participants of the study are screened or enrolled there. Roles at this site of the study end
    with it.
    """
    study, site = call.path("study"), call.path("site")
    call.caller.require("studies.write", study)
    await lock(call, study)
    if await call.connection.scalar(hold_study_site(study, site, to_end=True)) is None:
        raise NotFound(f"{study} does not run at {site}.")
    there = await call.connection.scalar(count_taking_part(study, site)) or 0
    if there:
        raise NotPossible(
            f"{there} participants of {study} take part at {site}: move, withdraw or complete them first.",
            details={"participants": there},
        )
    ended = (await call.connection.execute(end_memberships(study, site))).all()
    await call.connection.execute(delete_study_site(study, site))
    await call.connection.execute(update_study(study))
    await call.record(
        "study.remove_site",
        "study",
        study,
        study=study,
        site=site,
        reason=call.body.reason,
        before={"memberships": [{"person": row.person, "role": row.role} for row in ended]},
    )
    await call.connection.execute(publish_sites([site]))
    return await read_study(call, study)


async def add_battery(call: Call[Nothing, Nothing]) -> StudyRow:
    """Give a published battery to the tablets of a study's sites."""
    study, battery, version = _battery(call)
    call.caller.require("studies.write", study)
    await lock(call, study)
    row = (await call.connection.execute(select_published_battery(battery, version))).one_or_none()
    if row is None:
        raise NotFound(f"There is no battery {battery} in version {call.path('version')}.")
    if row.definition is None:
        raise NotPossible(f"Of {battery}@{version} only the id is known: publish it here.")
    added = await call.connection.execute(insert_study_battery(study, battery, version))
    if added.one_or_none() is not None:
        await call.connection.execute(update_study(study))
        await call.record("study.add_battery", "study", study, study=study, after=f"{battery}@{version}")
        await publish_study(call, study, _documents(battery, version, row.definition))
    return await read_study(call, study)


async def remove_battery(call: Call[Nothing, Nothing]) -> StudyRow:
    """Take a battery from the tablets of a study's sites, unless a visit definition names it."""
    study, battery, version = _battery(call)
    call.caller.require("studies.write", study)
    await lock(call, study)
    visits = list((await call.connection.scalars(select_visits_with_battery(study, battery, version))).all())
    if visits:
        raise NotPossible(f"Visits of {study} use it: {', '.join(visits)}.", details={"visits": visits})
    if (await call.connection.execute(delete_study_battery(study, battery, version))).one_or_none() is None:
        raise NotFound(f"{study} does not use {battery}@{call.path('version')}.")
    definition = await call.connection.scalar(select_published_battery(battery, version))
    await call.connection.execute(update_study(study))
    await call.record("study.remove_battery", "study", study, study=study, before=f"{battery}@{version}")
    await publish_study(call, study, _documents(battery, version, definition))
    return await read_study(call, study)


def _battery(call: Call[Any, Any]) -> tuple[str, str, int]:
    return call.path("study"), call.path("battery"), path_version(call)


def _documents(battery: str, version: int, definition: Any) -> list[str]:
    """The battery's document, and those of the item banks that it names."""
    banks = named_banks(msgspec.convert(definition, BatteryDefinition))
    return [battery_document(battery, version), *(item_bank_document(*bank) for bank in sorted(banks))]


ROUTES: list[Route] = [
    put("/api/studies/{study}/sites/{site}", add_site, right="studies.write", errors=(409,)),
    delete("/api/studies/{study}/sites/{site}", remove_site, right="studies.write", errors=(409,)),
    put(
        "/api/studies/{study}/batteries/{battery}/{version}",
        add_battery,
        right="studies.write",
        errors=(409,),
    ),
    delete(
        "/api/studies/{study}/batteries/{battery}/{version}",
        remove_battery,
        right="studies.write",
        errors=(409,),
    ),
]
