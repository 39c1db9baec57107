"""Files in fields of type file; the field's value in exports is the file's name."""

from datetime import datetime

from tests.redcap_double.importing import LOCKED_FORM
from tests.redcap_double.parameters import Parameters
from tests.redcap_double.project import Project, User
from tests.redcap_double.records import Place
from tests.redcap_double.refusals import Refusal, missing_right


def _place(project: Project, user: User, parameters: Parameters) -> tuple[Place, str]:
    """The row and the field's name. Raises `Refusal`."""
    record, name = parameters.text("record"), parameters.text("field")
    field = project.dictionary.field(name)
    if field is None or field.type != "file":
        raise Refusal(400, f"The field '{name}' does not exist or is not a 'file' field")
    event = parameters.text("event", project.event_names[0])
    if event not in project.event_names:
        raise Refusal(400, f"The following values of redcap_event_name are invalid: {event}")
    own = user.group
    if not project.records.has(record) or (own and project.records.groups.get(record) != own):
        raise Refusal(400, f"The record '{record}' does not exist")
    instance = parameters.text("repeat_instance", "1")
    if not (instance.isascii() and instance.isdecimal() and int(instance)):
        raise Refusal(400, f"The repeat_instance '{instance}' is not a positive whole number")
    if field.form in project.repeating_forms(event):
        return Place(record, event, field.form, int(instance)), name
    if project.event_repeats(event):
        return Place(record, event, "", int(instance)), name
    return Place(record, event), name


def _key(place: Place, name: str) -> tuple[str, str, int, str]:
    return place.record, place.event, place.instance, name


def export_file(project: Project, user: User, parameters: Parameters) -> tuple[str, bytes]:
    """Name and content. Raises `Refusal`."""
    if not user.api_export:
        raise missing_right("API Export")
    place, name = _place(project, user, parameters)
    found = project.files.get(_key(place, name))
    if found is None:
        raise Refusal(400, f"There is no file to download for this record in the field '{name}'")
    return found


def import_file(
    project: Project, user: User, parameters: Parameters, upload: tuple[str, bytes] | None, now: datetime
) -> None:
    """Store it in the place of the one that is there. Raises `Refusal`."""
    if upload is None:
        raise Refusal(400, "No valid file was uploaded")
    place, name = _changeable(project, user, parameters)
    project.files[_key(place, name)] = upload
    project.records.write(place, {name: upload[0]}, at=now, username=user.username)


def delete_file(project: Project, user: User, parameters: Parameters, now: datetime) -> None:
    """Remove it. Raises `Refusal`."""
    place, name = _changeable(project, user, parameters)
    if project.files.pop(_key(place, name), None) is None:
        raise Refusal(400, f"There is no file to delete for this record in the field '{name}'")
    project.records.write(place, {name: ""}, at=now, username=user.username)


def _changeable(project: Project, user: User, parameters: Parameters) -> tuple[Place, str]:
    if not user.api_import:
        raise missing_right("API Import/Update")
    place, name = _place(project, user, parameters)
    field = project.dictionary.field(name)
    if field is not None and project.records.is_locked(place, field.form):
        raise Refusal(400, LOCKED_FORM)
    return place, name
