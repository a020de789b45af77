"""Fixes of states in JSONata: moto parses them but has no engine (https://github.com/getmoto/moto/issues/10105)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from localaws.base.patches import Patches
from localaws.moto_fixes.failed_evaluation import at, evaluation_failed, path
from localaws.moto_fixes.registry import ASL, COMMON, STATES, Here, fix, loaded
from localaws.stepfunctions.jsonata import QueryEvaluationError, evaluate

MAP = f"{STATES}.exec.state_map"


@fix
def expressions_are_evaluated(patches: Patches, here: Here) -> None:
    """Our engine evaluates them; moto splices the variables' values into the text and calls an engine it lacks."""
    strings = loaded(f"{COMMON}.string.string_expression")

    def value(self: Any, env: Any) -> None:
        store = env.variable_store
        variables = {**store._outer_scope, **store._inner_scope, "states": env.states._states_data}
        try:
            env.stack.append(evaluate(self.expression, variables))
        except QueryEvaluationError as problem:
            field = "/".join(path())
            raise evaluation_failed(env, problem.cause(field), field) from None

    patches.attribute(strings.StringJSONata, "_eval_body", value)
    _name_fields(patches)


def _name_fields(patches: Patches) -> None:
    """An error names its field as `Output/models`; moto's components do not know which field they are."""

    def inside(module: str, owner: str, name: Callable[[Any], str]) -> None:
        component = getattr(loaded(module), owner)
        plain = component._eval_body

        def evaluated(self: Any, env: Any) -> Any:
            with at(name(self)):
                return plain(self, env)

        patches.attribute(component, "_eval_body", evaluated)

    for module, owner, field in (
        (f"{COMMON}.outputdecl", "Output", "Output"),
        (f"{COMMON}.parargs", "Arguments", "Arguments"),
        (f"{COMMON}.timeouts.timeout", "TimeoutSecondsJSONata", "TimeoutSeconds"),
        (f"{MAP}.max_concurrency", "MaxConcurrencyJSONata", "MaxConcurrency"),
        (f"{MAP}.items.items", "ItemsJSONata", "Items"),
        (f"{MAP}.items.items", "ItemsArray", "Items"),
        (f"{MAP}.item_selector", "ItemSelector", "ItemSelector"),
        (f"{STATES}.choice.comparison.comparison", "ConditionStringJSONata", "Condition"),
        (f"{STATES}.wait.wait_function.seconds", "SecondsJSONata", "Seconds"),
        (f"{STATES}.fail.error_decl", "Error", "Error"),
        (f"{STATES}.fail.cause_decl", "Cause", "Cause"),
    ):
        inside(module, owner, lambda self, field=field: field)  # type: ignore[misc] # mypy cannot infer the default
    for template in ("jsonata.jsonata", "assign.assign"):
        binding = "JSONataTemplate" if "jsonata" in template else "AssignTemplate"
        inside(f"{COMMON}.{template}_template_binding", f"{binding}Binding", lambda self: str(self.identifier))
        array = getattr(loaded(f"{COMMON}.{template}_template_value_array"), f"{binding}ValueArray")
        patches.attribute(array, "_eval_body", _array)


def _array(self: Any, env: Any) -> None:
    values = []
    for index, value in enumerate(self.values):
        with at(str(index)):
            value.eval(env)
        values.append(env.stack.pop())
    env.stack.append(values)


@fix
def strings_of_a_definition_are_json(patches: Patches, here: Here) -> None:
    """moto reads a string's escapes as Python escapes, which splits emojis, or not at all."""
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
