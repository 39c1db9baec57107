"""What a schema of parameters may say, and parameters checked against it: no database."""

from typing import Any

import pytest

from reporting.instruments.battery_definitions import (
    BatteryDefinition,
    BatteryTask,
    InvalidBattery,
    ItemBankRef,
    complete,
    required_tasks,
)
from reporting.instruments.built_in_modules import BUILT_IN
from reporting.instruments.json_values import UnusableJson
from reporting.instruments.modules import Module
from reporting.instruments.parameter_schemas import InvalidParameters, check_parameters, check_schema

SPAN = {"type": "object", "properties": {"span": {"type": "integer", "minimum": 1}}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "path", "problem"),
    [
        ({"$ref": "http://127.0.0.1/schema.json"}, "$.parameters", "$ref"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, "$.parameters.properties.a", "$ref"),
        ({"type": "object", "anyOf": [{"patternProperties": {}}]}, "$.parameters.anyOf[0]", "pattern"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "$.parameters.properties.a.type", "text"),
        ({"type": "object", "properties": {"a": 3}}, "$.parameters.properties.a", "a schema is an object"),
        ({"type": "array"}, "$.parameters.type", "names"),
        ({"type": "object", "properties": {"a": {"pattern": "(?=a)"}}}, "", "RE2"),
        ({"type": "object", "title": "x" * 40_000}, "$.parameters", "bytes"),
        ({"type": "object", "maxProperties": 2**60}, "$.parameters.maxProperties", "2^53"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}, "", "$schema"),
        (nested(20), "", "deeper"),
    ],
)
def test_a_schema_that_says_too_much_or_nothing_is_refused(
    schema: dict[str, Any], path: str, problem: str
) -> None:
    with pytest.raises(UnusableJson) as caught:
        check_schema(schema)
    assert problem in caught.value.problem
    assert caught.value.path.startswith(path)


@pytest.mark.parametrize(
    ("value", "allowed", "refused"),
    [
        ({"type": "string", "pattern": "^(a+)+$"}, "aaa", "a" * 5000 + "!"),
        ({"type": "array", "uniqueItems": True}, [1, 2], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]),
        ({"type": "number", "multipleOf": 0.5}, 2.5, 2.25),
        ({"oneOf": [{"const": 1}, {"type": "string"}]}, "x", 2),
    ],
)
def test_parameters_are_what_their_schema_allows(value: dict[str, Any], allowed: Any, refused: Any) -> None:
    schema = {"type": "object", "properties": {"p": value}}
    check_schema(schema)
    check_parameters({"p": allowed}, schema, "$.params")
    with pytest.raises(InvalidParameters) as caught:
        check_parameters({"p": refused}, schema, "$.params")
    assert caught.value.path == "$.params.p"


@pytest.mark.parametrize("module", BUILT_IN.values(), ids=lambda module: module.id)
def test_a_built_in_module_has_a_schema_that_its_defaults_fit(module: Any) -> None:
    check_schema(module.parameters)
    check_parameters(module.defaults, module.parameters, "$.defaults")
    with pytest.raises(InvalidParameters):
        check_parameters({"misspelt": 1}, module.parameters, "$.params")


def test_a_complete_battery_has_all_parameters_and_requires_what_is_not_optional() -> None:
    definition = BatteryDefinition(
        tasks=[
            BatteryTask(task="span", params={"span": 4}),
            BatteryTask(task="span"),
            BatteryTask(task="words", optional=True, item_bank=ItemBankRef("words", 1)),
        ]
    )
    modules = {"span": Module(SPAN, {"span": 3, "speed": 1}), "words": Module({"type": "object"}, {})}
    whole = complete(definition, modules, {("words", 1)})
    assert [task.params for task in whole.tasks] == [{"span": 4, "speed": 1}, {"span": 3, "speed": 1}, {}]
    assert required_tasks(whole) == ["span"]
    assert complete(whole, modules, {("words", 1)}) == whole
    with pytest.raises(InvalidBattery) as caught:
        complete(definition, modules, set())
    assert caught.value.path == "$.definition.tasks[2].item_bank"
    with pytest.raises(InvalidBattery) as caught:
        complete(definition, {"words": modules["words"]}, {("words", 1)})
    assert caught.value.path == "$.definition.tasks[0].task"
