"""`/api/schedules/reminders/{study}/templates`: what reminders say, by rule and language.

| what happens | answer |
|---|---|
| braces that are no placeholder | 422, with those that there are |
| a rule that the study does not have | 404 |
| changed since it was read | 412; without If-Match 428 |
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reporting.reminders.rows import (
    MOST_TEMPLATES,
    TEMPLATE_KEY,
    TEMPLATE_SORTABLE,
    TemplateRow,
    delete_template,
    one_template,
    select_templates,
    upsert_template,
)
from reporting.reminders.texts import LONGEST_SUBJECT, LONGEST_TEXT, UnknownPlaceholder, check
from sync_server.api.call import Call, ListQuery, Nothing, PageOf
from sync_server.api.reminder_rules import Language, path_code, require_seen, rules_of
from sync_server.api.route import Route, delete, get, put
from sync_server.api.study_rows import lock
from sync_server.errors import InvalidRequest, NotFound, NotPossible


class NewTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Placeholders: `{name}` `{visit}` `{due_on}` `{window_to}` `{site}` `{stop}`. `subject`: of a mail, the
    title of a push.
    """

    subject: Annotated[str, Meta(max_length=LONGEST_SUBJECT, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")] = ""
    text: Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT, pattern=r"\S")]


async def list_templates(call: Call[ListQuery, Nothing]) -> PageOf[TemplateRow]:
    """What the reminders of a study say. Where a rule has no template, a built-in text is sent."""
    matching = select_templates(require_seen(call))
    return await call.page(TemplateRow, matching, sortable=TEMPLATE_SORTABLE, key=TEMPLATE_KEY)


async def put_template(call: Call[Nothing, NewTemplate]) -> TemplateRow:
    """Make or change what a rule's reminders say in a language.

    `If-Match` is needed where there is one.
    """
    study, rule, language = call.path("study"), path_code(call, "rule"), _language(call)
    call.caller.require("visits.write", study)
    await lock(call, study)
    if rule not in await rules_of(call, study):
        raise NotFound(f"{study} has no rule {rule}.")
    before = await _read(call, study, rule, language)
    if before is not None:
        call.match(before.row_version)
    elif len((await call.connection.execute(select_templates(study))).all()) >= MOST_TEMPLATES:
        raise NotPossible(f"{study} has {MOST_TEMPLATES} templates already.")
    for name in ("subject", "text"):
        try:
            check(getattr(call.body, name))
        except UnknownPlaceholder as error:
            raise InvalidRequest(f"{error} ($.{name})", details={"path": f"$.{name}"}) from error
    fields = msgspec.structs.asdict(call.body)
    await call.connection.execute(upsert_template(study, rule, language, **fields))
    after = await _read(call, study, rule, language)
    if after is None:
        raise LookupError("a template that was written is there")
    about = f"{study}/{rule}/{language}"
    await call.record(
        "reminder_template.put", "reminder_template", about, study=study, before=before, after=after
    )
    return after


async def remove_template(call: Call[Nothing, Nothing]) -> None:
    """Delete what a rule's reminders say in a language."""
    study, rule, language = call.path("study"), path_code(call, "rule"), _language(call)
    call.caller.require("visits.write", study)
    await lock(call, study)
    before = await _read(call, study, rule, language)
    if before is None:
        raise NotFound(f"{study} has no template of {rule} in {language}.")
    call.match(before.row_version)
    await call.connection.execute(delete_template(study, rule, language))
    about = f"{study}/{rule}/{language}"
    await call.record("reminder_template.delete", "reminder_template", about, study=study, before=before)


def _language(call: Call[Any, Any]) -> str:
    try:
        return msgspec.convert(call.path("language"), Language)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            "A language is its tag, such as fr or pt-BR.", details={"path": "language"}
        ) from error


async def _read(call: Call[Any, Any], study: str, rule: str, language: str) -> TemplateRow | None:
    found = select_templates(study).where(one_template(rule, language))
    row = (await call.connection.execute(found)).one_or_none()
    return None if row is None else TemplateRow(*row)


_LIST = "/api/schedules/reminders/{study}/templates"
_ONE = f"{_LIST}/{{rule}}/{{language}}"

ROUTES: list[Route] = [
    get(_LIST, list_templates, right="visits.read"),
    put(_ONE, put_template, right="visits.write", errors=(409, 412, 428)),
    delete(_ONE, remove_template, right="visits.write", status=204, errors=(412, 428)),
]
