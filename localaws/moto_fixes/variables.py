"""Fixes of variables and of what `$states` has."""

from __future__ import annotations

import copy
import datetime
import json
from typing import Any

from localaws.base.patches import Patches
from localaws.moto_fixes.failed_evaluation import at
from localaws.moto_fixes.registry import ASL, COMMON, STATES, Here, fix, loaded


@fix
def output_sees_the_variables_of_before(patches: Patches, here: Here) -> None:
    """Assign and Output are evaluated side by side: what a state assigns is there from the next state on."""
    state, executing = loaded(f"{STATES}.state").CommonStateField, loaded(f"{STATES}.exec.execute_state").ExecutionState
    outer = loaded(f"{ASL}.eval.variable_store").IllegalOuterScopeWrite

    def assign(self: Any, env: Any) -> None:
        values: dict[str, Any] = {}
        for binding in self.declaration_bindings:
            binding.eval(env)
            values.update(env.stack.pop())
        for name in values.keys() & env.variable_store._outer_scope.keys():
            raise outer(variable_identifier=name, variable_value=values[name])
        env.heap["assigned"] = values

    def then_assigned(owner: Any) -> None:
        plain = owner._eval_state_output

        def output(self: Any, env: Any) -> None:
            plain(self, env)
            for name, value in env.heap.pop("assigned", {}).items():
                env.variable_store.set(name, value)

        patches.attribute(owner, "_eval_state_output", output)

    def placed(self: Any, env: Any) -> None:
        with at("Assign"):
            assign(self, env)

    patches.attribute(loaded(f"{COMMON}.assign.assign_decl").AssignDecl, "_eval_body", placed)
    for owner in (state, executing, loaded(f"{STATES}.choice.state_choice").StateChoice):
        then_assigned(owner)


@fix
def assigned_variables_are_json(patches: Patches, here: Here) -> None:
    """The history has each variable's value as JSON; moto puts quotes around a string, whatever is in it."""
    store = loaded(f"{ASL}.eval.variable_store").VariableStore

    def assigned(self: Any) -> dict[str, str]:
        return {
            name: json.dumps(self.get(name), ensure_ascii=False, separators=(",", ":"))
            for name in sorted(self._declaration_tracing)
        }

    patches.attribute(store, "get_assigned_variables", assigned)


@fix
def default_is_for_no_match(patches: Patches, here: Here) -> None:
    """Assign and Output beside Default are for the case that no rule matched; in moto also where a rule leads there."""
    rule = loaded(f"{STATES}.choice.choice_rule").ChoiceRule
    choice = loaded(f"{STATES}.choice.state_choice").StateChoice
    plain, output = rule._eval_body, choice._eval_state_output

    def compare(self: Any, env: Any) -> None:
        plain(self, env)
        if self.next_stmt and env.stack[-1] is True:
            env.heap["matched"] = True

    def state_output(self: Any, env: Any) -> None:
        matched = copy.copy(self)
        matched.default_state = None
        output(matched if "matched" in env.heap else self, env)

    patches.attribute(rule, "_eval_body", compare)
    patches.attribute(choice, "_eval_state_output", state_output)


@fix
def there_is_no_result_before_the_end(patches: Patches, here: Here) -> None:
    """`$states.result` and `$states.errorOutput` are undefined where there is none; moto makes them null."""
    states = loaded(f"{ASL}.eval.states").States
    plain = states.reset

    def reset(self: Any, input_value: Any) -> None:
        plain(self, input_value)
        self._states_data.pop("result", None)
        self._states_data.pop("errorOutput", None)

    patches.attribute(states, "reset", reset)


@fix
def the_context_is_whole(patches: Patches, here: Here) -> None:
    """A Task in a Map sees `Map.Item`; EnteredTime ends with Z; RetryCount is 0 at first, in all states."""
    environment = loaded(f"{ASL}.eval.environment").Environment
    state = loaded(f"{STATES}.state").CommonStateField
    plain, plain_input = environment.as_inner_frame_of.__func__, state._eval_state_input

    def frame_of(cls: Any, env: Any, *values: Any, **named: Any) -> Any:
        frame = plain(cls, env, *values, **named)
        frame.entered = getattr(env, "entered", 0)
        outer = env.states.context_object.context_object_data
        if "Map" in outer:
            frame.states.context_object.context_object_data["Map"] = outer["Map"]
        return frame

    def enter(self: Any, env: Any) -> None:
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        told = env.states.context_object.context_object_data["State"]
        told.update(EnteredTime=now.replace("+00:00", "Z"), RetryCount=0)
        plain_input(self, env)

    patches.attribute(environment, "as_inner_frame_of", classmethod(frame_of))
    patches.attribute(state, "_eval_state_input", enter)
