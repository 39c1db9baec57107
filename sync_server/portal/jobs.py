"""Jobs of the outbox: what waits, what was given up and why, and what a person does about it."""

import msgspec

from sync_server.api.parameters import Text
from sync_server.portal.asking import api
from sync_server.portal.cookie import PATH
from sync_server.portal.forms import Field, Form
from sync_server.portal.pages import Look, Page, Values

JOBS = api("GET", "/api/jobs")
JOB = api("GET", "/api/jobs/{id}")
RETRY = api("POST", "/api/jobs/{id}/retry")

RETRY_LISTED_JOB = Form(name="retry_listed_job", calls=RETRY)
RETRY_JOB = Form(name="retry_job", calls=RETRY)
DISCARD_JOB = Form(
    name="discard_job",
    calls=api("POST", "/api/jobs/{id}/discard"),
    fields=(Field("reason", "long", hint=True, max_length=10_000),),
    danger=True,
)


class JobsFilters(msgspec.Struct, frozen=True, kw_only=True):
    """As the route takes them; `state` may be `any`."""

    state: Text = "dead"
    kind: Text | None = None
    study: Text | None = None
    site: Text | None = None
    page: Text = "1"


async def jobs(look: Look) -> Values:
    """Entries in a state, the newest first."""
    wanted: JobsFilters = look.filters
    state = None if wanted.state == "any" else wanted.state
    listed = await look.ask(
        JOBS, state=state, kind=wanted.kind, study=wanted.study, site=wanted.site, page=wanted.page
    )
    return {"listed": listed}


async def job(look: Look) -> Values:
    """One entry, with what was tried."""
    found = await look.ask(JOB)
    return {"job": found}


PAGES = [
    Page(
        name="jobs",
        path=f"{PATH}/jobs",
        template="jobs/jobs.html",
        view=jobs,
        reads=(JOBS,),
        forms=(RETRY_LISTED_JOB,),
        filters=JobsFilters,
        live=("list",),
    ),
    Page(
        name="job",
        path=f"{PATH}/jobs/{{id}}",
        template="jobs/job.html",
        view=job,
        reads=(JOB,),
        forms=(RETRY_JOB, DISCARD_JOB),
        live=("state", "history"),
        area="jobs",
    ),
]
