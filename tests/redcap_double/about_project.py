"""What a project says of itself: its dictionary, forms, events, repeats, groups, users."""

from typing import Any

from tests.redcap_double.parameters import Parameters
from tests.redcap_double.project import Project, User
from tests.redcap_double.refusals import Refusal, invalid_parameter, missing_right

Rows = list[dict[str, Any]]


def _classic(what: str) -> Refusal:
    return Refusal(400, f"You cannot export {what} for classic projects")


def metadata(project: Project, user: User, parameters: Parameters) -> Rows:
    """The dictionary, or the rows of `fields` and `forms`."""
    _must_export(user)
    fields, forms = parameters.listed("fields"), parameters.listed("forms")
    if unknown := [name for name in fields if project.dictionary.field(name) is None]:
        raise invalid_parameter("fields", unknown)
    if unknown := [name for name in forms if name not in project.dictionary.forms]:
        raise invalid_parameter("forms", unknown)
    return [
        dict(one.row())
        for one in project.dictionary.fields
        if not (fields or forms) or one.name in fields or one.form in forms
    ]


def export_field_names(project: Project, user: User, parameters: Parameters) -> Rows:
    """The columns that fields have in exports, checkboxes one a choice."""
    _must_export(user)
    asked = parameters.text("field")
    return [
        {
            "original_field_name": column.field_name,
            "choice_value": column.code,
            "export_field_name": column.name,
        }
        for column in project.dictionary.columns().values()
        if asked in ("", column.field_name)
    ]


def instruments(project: Project, user: User, parameters: Parameters) -> Rows:
    """The forms."""
    _must_export(user)
    return [
        {"instrument_name": name, "instrument_label": label}
        for name, label in project.dictionary.forms.items()
    ]


def arms(project: Project, user: User, parameters: Parameters) -> Rows:
    """Refused for a classic project, as all that has to do with events."""
    _must_export(user)
    if not project.is_longitudinal:
        raise _classic("arms")
    asked = parameters.listed("arms")
    return [
        {"arm_num": arm.number, "name": arm.name}
        for arm in project.arms
        if not asked or str(arm.number) in asked
    ]


def events(project: Project, user: User, parameters: Parameters) -> Rows:
    """The events of `arms`, or all."""
    _must_export(user)
    if not project.is_longitudinal:
        raise _classic("events")
    asked = parameters.listed("arms")
    return [
        {
            "event_name": event.label,
            "arm_num": event.arm,
            "unique_event_name": event.name,
            "custom_event_label": None,
            "event_id": 1000 * project.number + at,
        }
        for at, event in enumerate(project.events, 1)
        if not asked or str(event.arm) in asked
    ]


def form_event_mapping(project: Project, user: User, parameters: Parameters) -> Rows:
    """Which forms are filled in at which event."""
    _must_export(user)
    if not project.is_longitudinal:
        raise _classic("form/event mappings")
    asked = parameters.listed("arms")
    return [
        {"arm_num": event.arm, "unique_event_name": event.name, "form": form}
        for event in project.events
        for form in event.forms
        if not asked or str(event.arm) in asked
    ]


def repeating_forms_events(project: Project, user: User, parameters: Parameters) -> Rows:
    """What repeats; form "" for a whole event. Refused where nothing does."""
    _must_export(user)
    if not project.is_repeating:
        raise Refusal(
            400,
            "You cannot export repeating instruments and events because the project does not contain any "
            "repeating instruments and events",
        )
    rows: Rows = []
    for event in project.event_names:
        if event not in project.repeating:
            continue
        repeating = project.repeating[event]
        forms = (
            [""] if repeating is None else [form for form in project.dictionary.forms if form in repeating]
        )
        for form in forms:
            named = {"event_name": event} if project.is_longitudinal else {}
            rows.append({**named, "form_name": form, "custom_form_label": ""})
    return rows


def groups(project: Project, user: User, parameters: Parameters) -> Rows:
    """The data access groups."""
    _must_export(user)
    if not user.data_access_groups:
        raise missing_right("Data Access Groups")
    return [
        {
            "data_access_group_name": group.label,
            "unique_group_name": group.name,
            "data_access_group_id": group.number,
        }
        for group in project.groups
    ]


def users(project: Project, user: User, parameters: Parameters) -> Rows:
    """All users and their rights."""
    _must_export(user)
    rows: Rows = []
    for one in project.users:
        group = project.group(one.group)
        forms = project.dictionary.forms
        rows.append(
            {
                "username": one.username,
                "email": f"{one.username}@example.org",
                "firstname": "",
                "lastname": "",
                "expiration": "",
                "data_access_group": one.group,
                "data_access_group_id": group.number if group else "",
                "design": 0,
                "data_access_groups": int(one.data_access_groups),
                "logging": int(one.logging),
                "api_export": int(one.api_export),
                "api_import": int(one.api_import),
                "record_create": int(one.record_create),
                "record_delete": int(one.record_delete),
                "lock_records_all_forms": 0,
                "lock_records": 0,
                "forms": dict.fromkeys(forms, 1),
                "forms_export": dict.fromkeys(forms, one.data_export),
            }
        )
    return rows


def project_info(project: Project, user: User, parameters: Parameters) -> dict[str, Any]:
    """One object, not a list."""
    _must_export(user)
    return {
        "project_id": project.number,
        "project_title": project.title,
        "creation_time": "2026-01-01 08:00:00",
        "production_time": "",
        "in_production": 0,
        "project_language": "English",
        "purpose": 2,
        "purpose_other": "",
        "project_notes": "",
        "custom_record_label": "",
        "secondary_unique_field": "",
        "is_longitudinal": int(project.is_longitudinal),
        "has_repeating_instruments_or_events": int(project.is_repeating),
        "surveys_enabled": 0,
        "scheduling_enabled": 0,
        "record_autonumbering_enabled": 1,
        "randomization_enabled": 0,
        "ddp_enabled": 0,
        "project_irb_number": "",
        "project_grant_number": "",
        "project_pi_firstname": "",
        "project_pi_lastname": "",
        "display_today_now_button": 1,
        "missing_data_codes": "",
        "external_modules": "",
        "bypass_branching_erase_field_prompt": 0,
    }


def log_rows(project: Project, user: User, parameters: Parameters) -> Rows:
    """The log, newest first; of `logtype`, `user`, `record`, `dag`, between `beginTime` and `endTime`."""
    _must_export(user)
    if not user.logging:
        raise missing_right("Logging")
    kinds = {"": "", "record": "", "record_add": "Create", "record_edit": "Update", "record_delete": "Delete"}
    kind = parameters.text("logtype")
    username, record, group = (parameters.text(name) for name in ("user", "record", "dag"))
    begin, end = parameters.moment("beginTime"), parameters.moment("endTime")
    return [
        dict(row.row())
        for row in reversed(project.records.log)
        if kind in kinds
        and row.action.startswith(kinds[kind])
        and username in ("", row.username)
        and record in ("", row.record)
        and group in ("", row.group)
        and (begin is None or row.at >= begin)
        and (end is None or row.at <= end)
    ]


def _must_export(user: User) -> None:
    if not user.api_export:
        raise missing_right("API Export")
