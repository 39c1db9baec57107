"""What each table holds of a subject, and how it is erased. Every table is here: a test walks them.

`targets` are the subject's documents (`erasure_targets`), found before anything is deleted, so that a run
that was interrupted finds the same rows again. Of a `shared` document, in which other people have leaves, the
rows go as well and are made anew from what is left; what happened with it (ingest log, corrections) stays.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    Text,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from reporting import tables
from reporting.erasure.subject import SESSION, Subject
from reporting.publication.requests import participant_document, visit_document
from reporting.tables import erasure_targets, losing_revisions, outbox, outbox_attempts
from reporting.webhooks.events import KIND as EVENT

Condition = Callable[[Table, Subject], ColumnElement[bool]]


class Erased(NamedTuple):
    """Rows that meet the condition are deleted."""

    condition: Condition


class Otherwise(NamedTuple):
    """Something else is done with the rows; `how` says what, and where."""

    how: str


class Kept(NamedTuple):
    """The table holds nothing of a participant; `why` says why not."""

    why: str


Rule = Erased | Otherwise | Kept


def touched(subject: Subject) -> Select[str, str]:
    """Statement: (site, document id) of the documents that are the subject's, or in which leaves are."""
    t = erasure_targets.c
    return select(t.site, t.doc_id).where(t.erasure == subject.erasure)


def targets(subject: Subject) -> Select[str, str]:
    """Statement: (site, document id) of the documents that are the subject's and nobody else's."""
    return touched(subject).where(~erasure_targets.c.shared)


def shared(subject: Subject) -> Select[str, str]:
    """Statement: (site, document id) of the documents in which leaves are the subject's and others stay."""
    return touched(subject).where(erasure_targets.c.shared)


def touched_sessions(subject: Subject) -> Select[str, str]:
    """Statement: (site, session id) of the sessions among the touched."""
    t = erasure_targets.c
    return select(t.site, func.substr(t.doc_id, len(SESSION) + 1)).where(
        t.erasure == subject.erasure, t.doc_id.startswith(SESSION)
    )


def target_sessions(subject: Subject) -> Select[str, str]:
    """Statement: (site, session id) of the subject's own sessions."""
    return touched_sessions(subject).where(~erasure_targets.c.shared)


def names_subject(column: ColumnElement[Any], subject: Subject) -> ColumnElement[bool]:
    """Condition: somewhere in a JSON column is a member `participant` with the code, or the id of one of the
    subject's sessions or documents.
    """
    by_code = func.jsonb_path_exists(
        column,
        cast("$.**.participant ? (@ == $v)", JSONPATH),
        func.jsonb_build_object("v", literal(subject.participant, Text)),
    )
    t = erasure_targets.c
    by_id = (
        select(t.doc_id)
        .where(
            t.erasure == subject.erasure,
            ~t.shared,
            func.jsonb_path_exists(
                column,
                cast("$.** ? (@ == $v || @ == $w)", JSONPATH),
                func.jsonb_build_object(
                    "v",
                    t.doc_id,
                    "w",
                    func.substr(t.doc_id, func.strpos(t.doc_id, ":") + 1),
                ),
            ),
        )
        .exists()
    )
    return or_(by_code, by_id)


def _by_document(table: Table, subject: Subject) -> ColumnElement[bool]:
    return tuple_(table.c.site, table.c.doc_id).in_(targets(subject))


def _by_touched_document(table: Table, subject: Subject) -> ColumnElement[bool]:
    return tuple_(table.c.site, table.c.doc_id).in_(touched(subject))


def _by_session(table: Table, subject: Subject) -> ColumnElement[bool]:
    name = "id" if table is tables.sessions else "session_id"
    return tuple_(table.c.site, table.c[name]).in_(touched_sessions(subject))


def _by_own_session(table: Table, subject: Subject) -> ColumnElement[bool]:
    return tuple_(table.c.site, table.c.session_id).in_(target_sessions(subject))


def _by_code(table: Table, subject: Subject) -> ColumnElement[bool]:
    name = "code" if table is tables.participants else "participant"
    return and_(table.c.study == subject.study, table.c[name] == subject.participant)


def _sessions(table: Table, subject: Subject) -> ColumnElement[bool]:
    return or_(_by_session(table, subject), _by_code(table, subject))


def _consents(table: Table, subject: Subject) -> ColumnElement[bool]:
    by_id = tuple_(table.c.site, literal("consent:", Text) + table.c.id).in_(targets(subject))
    return or_(_by_code(table, subject), by_id)


def _losing(table: Table, subject: Subject) -> ColumnElement[bool]:
    body = losing_revisions.c.body
    named = and_(
        body["participant"].astext == subject.participant,
        or_(
            body["study"].astext == subject.study,
            and_(body["study"].astext.is_(None), table.c.site.in_(sorted(subject.nameless_sites))),
        ),
    )
    return or_(_by_touched_document(table, subject), named)


def _outbox(_: Table, subject: Subject) -> ColumnElement[bool]:
    o = outbox.c
    study, code = subject.study, subject.participant
    ids = [
        o.key.endswith(f"/{participant_document(study, code)}", autoescape=True),
        o.key.contains(f"/{visit_document(study, code, '')}", autoescape=True),
    ]
    in_study = or_(o.study == study, o.study.is_(None))
    return or_(*ids, _events(subject), and_(in_study, names_subject(o.payload, subject)))


def _events(subject: Subject) -> ColumnElement[bool]:
    """By their keys: of old events nothing else is left."""
    key, t = outbox.c.key, erasure_targets.c
    happened = func.substr(key, func.strpos(key, ":") + 1)
    to_participant = and_(
        or_(key.startswith("participant."), key.startswith("visit.")),
        happened.startswith(f"{subject.study}/{subject.participant}/", autoescape=True),
    )
    to_document = (
        select(t.doc_id)
        .where(
            t.erasure == subject.erasure,
            ~t.shared,
            or_(
                happened == t.site + "/" + func.substr(t.doc_id, func.strpos(t.doc_id, ":") + 1),
                func.starts_with(happened, t.site + "/" + t.doc_id + "/"),
            ),
        )
        .exists()
    )
    return and_(outbox.c.kind == EVENT, or_(to_participant, to_document))


def _attempts(_: Table, subject: Subject) -> ColumnElement[bool]:
    return outbox_attempts.c.entry.in_(select(outbox.c.id).where(_outbox(outbox, subject)))


def foreign_flags(subject: Subject) -> ColumnElement[bool]:
    """Condition: flags of other people's sessions that name one of the subject's (repeated trials)."""
    q = tables.quality_flags.c
    is_own = tuple_(q.site, q.session_id).in_(target_sessions(subject))
    return and_(~is_own, names_subject(cast(q.detail, JSONB), subject))


def _every_row(_: Table, __: Subject) -> ColumnElement[bool]:
    # Stored answers are sealed, so whose they are cannot be seen; they are kept for a day at most.
    return true()


def _redcap_ledger(table: Table, subject: Subject) -> ColumnElement[bool]:
    of_session = tuple_(table.c.site, table.c.session_id).in_(touched_sessions(subject))
    return or_(of_session, and_(table.c.study == subject.study, table.c.record.in_(_records(subject))))


def _records(subject: Subject) -> Select[str]:
    p = tables.participants.c
    return select(p.redcap_id).where(
        p.study == subject.study, p.code == subject.participant, p.redcap_id.is_not(None)
    )


def _redcap_attempts(table: Table, subject: Subject) -> ColumnElement[bool]:
    ledger = tables.redcap_ledger
    return table.c.ledger.in_(select(ledger.c.id).where(_redcap_ledger(ledger, subject)))


def _redcap_pulled(table: Table, subject: Subject) -> ColumnElement[bool]:
    projects = tables.redcap_projects.c
    in_study = table.c.project.in_(select(projects.project).where(projects.study == subject.study))
    # Why nobody was made of a record may name the code.
    word = rf"(^|[^A-Za-z0-9._-]){re.escape(subject.participant)}($|[^A-Za-z0-9_-])"
    named = and_(table.c.participant.is_(None), table.c.problem.op("~")(word))
    own = or_(table.c.participant == subject.participant, table.c.record.in_(_records(subject)))
    return and_(in_study, or_(own, named))


_NOBODY = Kept("about studies, sites and people of the team, not about participants")
_PROGRESS = Kept("positions and counts")

RULES: Mapping[str, Rule] = {
    "redcap_attempts": Erased(_redcap_attempts),
    "redcap_ledger": Erased(_redcap_ledger),
    "redcap_pulled": Erased(_redcap_pulled),
    "sessions": Erased(_sessions),
    "task_runs": Erased(_by_session),
    "trial_rows": Erased(_by_session),
    "trial_extras": Erased(_by_session),
    "scores": Erased(_by_session),
    "score_history": Erased(_by_own_session),
    "quality_flags": Erased(_by_session),
    "conflicts": Erased(_by_session),
    "corrections": Erased(lambda t, s: or_(_by_document(t, s), _by_own_session(t, s))),
    "quarantine": Erased(_by_touched_document),
    "losing_revisions": Erased(_losing),
    "documents": Erased(_by_touched_document),
    "ingest_log": Erased(_by_document),
    "waivers": Erased(_by_document),
    "replays": Erased(_by_document),
    "consents": Erased(_consents),
    "consent_withdrawals": Erased(_by_code),
    "consent_changes": Erased(_by_code),
    "idempotency_keys": Erased(_every_row),
    "visits": Erased(_by_code),
    "reminders": Erased(_by_code),
    "reminder_opt_outs": Erased(_by_code),
    "reminder_timezones": Erased(_by_code),
    "participants": Erased(_by_code),
    "outbox_attempts": Erased(_attempts),
    "outbox": Erased(_outbox),
    "rescorings": Otherwise("examples of the subject's sessions are taken out of the difference (`rows`)"),
    "audit_log": Otherwise("details are removed, who did what when stays (`audit_details`)"),
    "audit_chain": Otherwise("the salts of those details are removed, the digests stay (`audit_details`)"),
    "erasures": Otherwise("the code is removed at the end; who asked for it and why stays (`execution`)"),
    "erasure_targets": Otherwise("removed at the end (`execution`)"),
    "erasure_steps": Kept("counts"),
    "erasure_hub_tasks": Kept("devices"),
    "erasure_hub_documents": Otherwise(
        "removed once the hub has purged them, or was wiped (`reporting.hubs`)"
    ),
    "erased_subjects": Kept("fingerprints, which name nobody"),
    "erased_documents": Kept("fingerprints, which name nobody"),
    "device_status": Kept("what a tablet tells of itself"),
    "checkpoints": _PROGRESS,
    "site_states": _PROGRESS,
    "proofs": _PROGRESS,
    "studies": _NOBODY,
    "sites": _NOBODY,
    "study_sites": _NOBODY,
    "study_batteries": _NOBODY,
    "batteries": _NOBODY,
    "battery_drafts": _NOBODY,
    "task_modules": _NOBODY,
    "item_banks": _NOBODY,
    "item_bank_drafts": _NOBODY,
    "consent_forms": _NOBODY,
    "consent_form_drafts": _NOBODY,
    "visit_definitions": _NOBODY,
    "reminder_rules": _NOBODY,
    "reminder_settings": _NOBODY,
    "reminder_templates": _NOBODY,
    "users": _NOBODY,
    "memberships": _NOBODY,
    "logins": _NOBODY,
    "refresh_tokens": _NOBODY,
    "mail_links": _NOBODY,
    "address_changes": _NOBODY,
    "second_factors": _NOBODY,
    "recovery_codes": _NOBODY,
    "attempts": _NOBODY,
    "devices": _NOBODY,
    "hubs": _NOBODY,
    "device_labels": _NOBODY,
    "device_activity": _NOBODY,
    "enrolment_codes": _NOBODY,
    "webhooks": _NOBODY,
    "redcap_connections": _NOBODY,
    "redcap_mappings": _NOBODY,
    "redcap_projects": _NOBODY,
    "redcap_hosts": _PROGRESS,
    "replication_jobs": _NOBODY,
    "replication_job_events": Kept("states and errors of replications, which name documents by count only"),
    "duties": _PROGRESS,
    "research_files": Otherwise(
        "files of the study are removed, requests that name the code are emptied (`rows`)"
    ),
    "research_grants": _NOBODY,
    "research_policies": _NOBODY,
}
"""By table, in the order of deletion: what is found by other rows before these."""


def erased_tables() -> list[tuple[Table, Condition]]:
    """The tables whose rows are deleted, attempts before their entries."""
    found = []
    for name, rule in RULES.items():
        if isinstance(rule, Erased):
            found.append((tables.metadata.tables[name], rule.condition))
    return found
