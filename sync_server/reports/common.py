"""What all reports have: a title, what is on every page, and where the data came from."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, cast, get_args

from reporting.reports.contents import FlagCount, Kind, Provenance, StudyHeading, VisitCount
from reporting.research.score_variables import TASK_LABELS
from reporting.research.shared_variables import FLAG_CODE
from reporting.research.variables import Language, Variable
from sync_server.reports.blocks import note, section
from sync_server.reports.flow import Block, Furniture, draw
from sync_server.reports.grid import Column, table
from sync_server.reports.lines import ELLIPSIS
from sync_server.reports.sheets import About, Sheets
from sync_server.reports.texts import PRODUCT
from sync_server.reports.wording import Wording

_BEGIN: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""When a file says it was made whose data are complete through no known moment."""

_FLAG_LABELS: Final = {value.code: value.label for value in FLAG_CODE}


def make_pdf(
    blocks: Sequence[Block],
    say: Wording,
    *,
    kind: Kind,
    subject: str,
    study: StudyHeading,
    provenance: Provenance,
) -> bytes:
    """The file. `subject`: who or what it is about, for its title."""
    title = f"{say(f'kind_{kind}')} · {study.code}" + (f" · {subject}" if subject != study.code else "")
    sheets = Sheets(
        About(
            title=title,
            author=PRODUCT,
            subject=say(f"subject_{kind}"),
            language=say.language,
            moment=provenance.newest or _BEGIN,
        )
    )
    through = provenance.complete_through
    lower = say("through", moment=say.moment(through)) if through else say("through_unknown")
    furniture = Furniture(
        upper_left=title,
        upper_right=study.title,
        lower_left=f"{PRODUCT} · {lower}",
        number=lambda number, total: say("page", number=number, total=total),
    )
    draw(sheets, blocks, furniture)
    return sheets.finished()


def language_of(value: object) -> Language:
    """English or French. ValueError for anything else."""
    for known in get_args(Language):
        if value == known:
            return cast(Language, known)
    raise ValueError(f"reports are in en or fr, not {value!r}")


def task_name(task: str, say: Wording) -> str:
    """What a task is called."""
    return say.label(TASK_LABELS[task]) if task in TASK_LABELS else task


def score_name(variable: Variable, say: Wording) -> str:
    """What a score is called within its task."""
    whole, task = say.label(variable.label), task_name(variable.task or "", say)
    name = whole.removeprefix(task).lstrip().lstrip(":").lstrip()
    return name[:1].upper() + name[1:]


def flag_name(code: str, say: Wording) -> str:
    """What a quality flag means."""
    if code not in _FLAG_LABELS:
        return code
    label = say.label(_FLAG_LABELS[code])
    return label[:1].upper() + label[1:]


def visit_name(visit: str, title: str) -> str:
    """A visit's title with its code, where they differ by more than capitals."""
    if not title:
        return visit
    return title if title.casefold() == visit.casefold() else f"{title} ({visit})"


def study_title(study: StudyHeading) -> str:
    """A study's code with its title."""
    return f"{study.code} – {study.title}" if study.title else study.code


def site_title(site: str, name: str | None) -> str:
    """A site's name with its code."""
    return f"{name} ({site})" if name else site


def short_revision(rev: str) -> str:
    """A revision's generation with the begin of its hash."""
    return rev if len(rev) <= 12 else rev[:11] + ELLIPSIS


def visits_total(counts: Sequence[VisitCount]) -> tuple[int, int]:
    """Completed, and completed or missed."""
    completed = sum(each.completed for each in counts)
    return completed, completed + sum(each.missed for each in counts)


def provenance_section(provenance: Provenance, say: Wording, *, about: Kind) -> list[Block]:
    """What the report was made from. Of a site or a study nobody's code or date is in it."""
    blocks = section(say("section_provenance"))
    blocks += note(
        _policy(provenance, say)
        if provenance.is_identified or about == "participant"
        else say("provenance_aggregated")
    )
    blocks += note(
        say(
            "provenance_sessions",
            sessions=say.number(provenance.sessions),
            digest=provenance.revisions_digest,
        )
    )
    versions = ", ".join(
        f"{task_name(each.task, say)} {'/'.join(map(str, each.versions))}" for each in provenance.scoring
    )
    if versions:
        blocks += note(say("provenance_scoring", versions=versions))
    for site in provenance.standing:
        text = say(
            "provenance_standing",
            site=site_title(site.site, site.name),
            through=say.moment(site.complete_through) if site.complete_through else say("never"),
            outstanding=say.number(site.documents_outstanding),
            quarantined=say.number(site.quarantined),
        )
        blocks += note(text)
    return blocks + note(say("provenance_glyphs"))


def _policy(provenance: Provenance, say: Wording) -> str:
    if provenance.is_identified:
        return say("provenance_identified")
    participants, _, dates = provenance.policy.partition("/")
    if not dates:
        return say("dates_withheld")
    return say(
        "provenance_deidentified",
        participants=say(f"policy_{participants}"),
        dates=say(f"policy_{dates}"),
    )


def flags_table(flags: Sequence[FlagCount], say: Wording) -> list[Block]:
    """Quality flags, how serious, how often."""
    columns = [
        Column(say("remark"), 4),
        Column(say("level"), 1.6),
        Column(say("raised"), 1, is_number=True),
        Column(say("in_sessions"), 1, is_number=True),
    ]
    rows = [
        [
            flag_name(each.code, say),
            say(f"level_{each.level}"),
            say.number(each.flags),
            say.number(each.sessions),
        ]
        for each in flags
    ]
    return table(columns, rows, empty=say("no_flags"))
