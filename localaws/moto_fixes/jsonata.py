"""Fixes of states in JSONata: moto parses them, and has nothing that evaluates their expressions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from localaws.base.patches import Patches
from localaws.moto_fixes.failed_evaluation import at, failure, path
from localaws.moto_fixes.registry import ASL, COMMON, STATES, Here, fix, loaded
from localaws.stepfunctions.jsonata import QueryEvaluationError, Undefined, evaluate
from localaws.stepfunctions.jsonata_fields import problems

MAP = f"{STATES}.exec.state_map"

# Values


@fix
def expressions_are_evaluated(patches: Patches, here: Here) -> None:
    """moto would hand the text to an engine in a JVM, with the variables' values spliced into it."""
    strings = loaded(f"{COMMON}.string.string_expression")
    no_path = loaded(f"{ASL}.utils.json_path").NoSuchJsonPathError

    def value(self: Any, env: Any) -> None:
        try:
            env.stack.append(evaluate(self.expression, _variables(env)))
        except QueryEvaluationError as problem:
            field = "/".join(path())
            raise failure(env, problem.cause(field), field) from None

    def variable(self: Any, env: Any) -> None:
        try:
            env.stack.append(evaluate(self.expression, _variables(env)))
        except Undefined:
            raise no_path(json_path=self.expression, data=env.states.get_input()) from None

    patches.attribute(strings.StringJSONata, "_eval_body", value)
    patches.attribute(strings.StringVariableSample, "_eval_body", variable)
    _fields_are_known(patches)


def _variables(env: Any) -> dict[str, Any]:
    store = env.variable_store
    return {**store._outer_scope, **store._inner_scope, "states": env.states._states_data}


def _fields_are_known(patches: Patches) -> None:
    """An error names its field as `Output/models`; moto's components do not know where they stand."""

    def inside(owner: Any, name: Callable[[Any], str], method: str = "_eval_body") -> None:
        plain = getattr(owner, method)

        def evaluated(self: Any, env: Any) -> Any:
            with at(name(self)):
                return plain(self, env)

        patches.attribute(owner, method, evaluated)

    for module, owner, field in (
        (f"{COMMON}.outputdecl", "Output", "Output"),
        (f"{COMMON}.assign.assign_decl", "AssignDecl", "Assign"),
        (f"{COMMON}.parargs", "Arguments", "Arguments"),
        (f"{MAP}.items.items", "ItemsArray", "Items"),
        (f"{MAP}.items.items", "ItemsJSONata", "Items"),
        (f"{MAP}.item_selector", "ItemSelector", "ItemSelector"),
        (f"{STATES}.fail.error_decl", "Error", "Error"),
        (f"{STATES}.fail.cause_decl", "Cause", "Cause"),
        (f"{STATES}.exec.state_task.credentials", "RoleArn", "Credentials/RoleArn"),
        (f"{STATES}.wait.wait_function.timestamp", "Timestamp", "Timestamp"),
    ):
        inside(getattr(loaded(module), owner), lambda self, field=field: field)  # type: ignore[misc]
    for module, owner in (
        (f"{COMMON}.jsonata.jsonata_template_binding", "JSONataTemplateBinding"),
        (f"{COMMON}.assign.assign_template_binding", "AssignTemplateBinding"),
    ):
        inside(getattr(loaded(module), owner), lambda self: str(self.identifier))
    for module, owner in (
        (f"{COMMON}.jsonata.jsonata_template_value_array", "JSONataTemplateValueArray"),
        (f"{COMMON}.assign.assign_template_value_array", "AssignTemplateValueArray"),
    ):
        patches.attribute(getattr(loaded(module), owner), "_eval_body", _array)


def _array(self: Any, env: Any) -> None:
    values = []
    for index, value in enumerate(self.values):
        with at(str(index)):
            value.eval(env)
        values.append(env.stack.pop())
    env.stack.append(values)


@fix
def results_have_the_type_of_their_field(patches: Patches, here: Here) -> None:
    """A Condition is a boolean, seconds are integers. moto fails with States.Runtime, and rounds seconds."""

    def number(field: str) -> Callable[[Any, Any], int]:
        def seconds(self: Any, env: Any) -> int:
            value = _typed(self, env, field, "number")
            if value != int(value) or value < 0:
                cause = f"returned {value}. Expected an integer that is not negative."
                raise failure(env, QueryEvaluationError(self.string_jsonata.expression, cause).cause(field), field)
            return int(value)

        return seconds

    for module, owner, method, field in (
        (f"{STATES}.wait.wait_function.seconds", "SecondsJSONata", "_get_wait_seconds", "Seconds"),
        (f"{COMMON}.timeouts.timeout", "TimeoutSecondsJSONata", "_eval_seconds", "TimeoutSeconds"),
        (f"{COMMON}.timeouts.heartbeat", "HeartbeatSecondsJSONata", "_eval_seconds", "HeartbeatSeconds"),
        (f"{MAP}.max_concurrency", "MaxConcurrencyJSONata", "_eval_max_concurrency", "MaxConcurrency"),
    ):
        patches.attribute(getattr(loaded(module), owner), method, number(field))
    condition = loaded(f"{STATES}.choice.comparison.comparison").ConditionStringJSONata

    def boolean(self: Any, env: Any) -> None:
        env.stack.append(_typed(self, env, "Condition", "boolean"))

    def items(self: Any, env: Any) -> None:
        env.stack.append(_typed(self, env, "Items", "array"))

    patches.attribute(condition, "_eval_body", boolean)
    patches.attribute(loaded(f"{MAP}.items.items").ItemsJSONata, "_eval_body", items)
    _timestamps_fail_as_expressions(patches)


_TYPES = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}


def _typed(component: Any, env: Any, field: str, expected: str) -> Any:
    with at(field):
        component.string_jsonata.eval(env)
    value = env.stack.pop()
    found = _TYPES.get(type(value), "null")
    if found != expected:
        shown = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        problem = f"returned an unexpected result type. Expected '{expected}', but was '{found}' for value: {shown}"
        raise failure(env, QueryEvaluationError(component.string_jsonata.expression, problem).cause(field), field)
    return value


def _timestamps_fail_as_expressions(patches: Patches) -> None:
    module = loaded(f"{STATES}.wait.wait_function.timestamp")
    expression = loaded(f"{COMMON}.string.string_expression").StringJSONata
    plain = module.Timestamp._create_failure_event

    def failed(self: Any, env: Any, timestamp_str: str) -> Any:
        if not isinstance(self.string, expression):
            return plain(self, env, timestamp_str)
        words = "The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time format string"
        return failure(env, f"{words}: {timestamp_str}", "Timestamp").failure_event

    is_pattern = module.Timestamp._is_valid_timestamp_pattern
    patches.attribute(module.Timestamp, "_create_failure_event", failed)
    patches.attribute(
        module.Timestamp,
        "_is_valid_timestamp_pattern",
        staticmethod(lambda timestamp: isinstance(timestamp, str) and is_pattern(timestamp)),
    )


# Definitions


@fix
def strings_of_a_definition_are_json(patches: Patches, here: Here) -> None:
    """moto reads a string's escapes as Python does, which splits an emoji, or not at all."""
    module = loaded(f"{ASL}.antlt4utils.antlr4utils")
    preprocessor = loaded(f"{ASL}.parse.preprocessor").Preprocessor
    null = loaded(f"{ASL}.antlr.runtime.ASLLexer").ASLLexer.NULL

    def text(parser_rule_context: Any) -> str:
        quoted = parser_rule_context.getText()
        whole = quoted if quoted[:1] == '"' == quoted[-1:] else f'"{quoted}"'
        return str(json.loads(whole, strict=False))

    def text_or_null(parser_rule_context: Any) -> str | None:
        return None if module.is_terminal(parser_rule_context, null) else text(parser_rule_context)

    patches.everywhere("moto.stepfunctions", module.from_string_literal, text)
    patches.attribute(preprocessor, "_inner_string_of", staticmethod(text_or_null))


@fix
def expressions_are_checked_with_their_definition(patches: Patches, here: Here) -> None:
    """A definition is refused for an expression that cannot be parsed, or has `$states.result` where there is none."""
    backend = loaded("moto.stepfunctions.parser.models").StepFunctionsParserBackend
    base = loaded("moto.stepfunctions.exceptions").AWSError
    invalid = type("InvalidDefinition", (base,), {"TYPE": "InvalidDefinition", "STATUS": 400})
    plain = backend._validate_definition

    def validate(definition: str) -> None:
        plain(definition)
        for problem in problems(json.loads(definition)):
            raise invalid(f"Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: {problem}'")

    patches.attribute(backend, "_validate_definition", staticmethod(validate))
