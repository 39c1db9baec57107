"""What a battery consists of, and whether it can be: checked against the modules and item banks there are.

    {"tasks": [{"task": "stroop", "params": {"test_trials": 48}},
               {"task": "vocabulary", "item_bank": {"id": "vocabulary", "version": 2}, "optional": true}]}

A published definition is complete: each task has all its parameters, the module's defaults among them, so
that a tablet needs nothing else and a later change of the module changes no battery.
"""

from collections.abc import Mapping, Set
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from reporting.instruments.json_values import UnusableJson
from reporting.instruments.modules import Module
from reporting.instruments.parameter_schemas import InvalidParameters, check_parameters

InstrumentId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$(?!\n)", max_length=64)]
"""Id of a battery, an item bank or a module: part of document ids and of paths.

`$` alone lets a line feed follow in Python; `\\Z` is not known to readers of the specification.
"""

VersionNumber = Annotated[int, Meta(ge=1, lt=2**31)]
LanguageTag = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$(?!\n)", max_length=35)]
Markdown = Annotated[str, Meta(max_length=20_000)]


class ItemBankRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published item bank."""

    id: InstrumentId
    version: VersionNumber


class BatteryTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One task of a battery."""

    task: InstrumentId
    params: dict[str, Any] = {}
    repetitions: Annotated[int, Meta(ge=1, le=100)] = 1
    instructions: Annotated[dict[LanguageTag, Markdown], Meta(max_length=50)] = {}
    """Markdown by language; empty: the app's own."""
    optional: bool = False
    """A completed session may lack it."""
    item_bank: ItemBankRef | None = None


class BatteryDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tasks in their order; the same task may come several times."""

    tasks: Annotated[list[BatteryTask], Meta(min_length=1, max_length=100)]
    description: Annotated[str, Meta(max_length=5000)] = ""


class InvalidBattery(ValueError):
    """A definition that cannot be done; `path` as in `$.definition.tasks[2].params.span`."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


def complete(
    definition: BatteryDefinition, modules: Mapping[str, Module], banks: Set[tuple[str, int]]
) -> BatteryDefinition:
    """The definition with all parameters; `banks` are those of the named ones that exist.

    Raises InvalidBattery.
    """
    return msgspec.structs.replace(
        definition,
        tasks=[
            _complete(task, modules, banks, f"$.definition.tasks[{index}]")
            for index, task in enumerate(definition.tasks)
        ],
    )


def named_tasks(definition: BatteryDefinition) -> set[str]:
    """The tasks that it names."""
    return {task.task for task in definition.tasks}


def named_banks(definition: BatteryDefinition) -> set[tuple[str, int]]:
    """The item banks that it names."""
    return {
        (task.item_bank.id, task.item_bank.version) for task in definition.tasks if task.item_bank is not None
    }


def required_tasks(definition: BatteryDefinition) -> list[str]:
    """The tasks without which a session of this battery is not complete, each once, in order."""
    return list(dict.fromkeys(task.task for task in definition.tasks if not task.optional))


def _complete(
    task: BatteryTask, modules: Mapping[str, Module], banks: Set[tuple[str, int]], path: str
) -> BatteryTask:
    module = modules.get(task.task)
    if module is None:
        raise InvalidBattery(f"{path}.task", f"there is no module {task.task}; see GET /api/modules")
    bank = task.item_bank
    if bank is not None and (bank.id, bank.version) not in banks:
        raise InvalidBattery(
            f"{path}.item_bank", f"no item bank {bank.id} is published in version {bank.version}"
        )
    params = {**module.defaults, **task.params}
    try:
        check_parameters(params, module.parameters, f"{path}.params")
    except (InvalidParameters, UnusableJson) as error:
        raise InvalidBattery(error.path, error.problem) from error
    return msgspec.structs.replace(task, params=params)
