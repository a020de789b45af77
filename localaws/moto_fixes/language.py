"""Fixes of how states run: choices, errors, variables and the context."""

from __future__ import annotations

import copy
import json
from typing import Any

from localaws.base.patches import Patches
from localaws.moto_fixes.failed_evaluation import at
from localaws.moto_fixes.registry import ASL, COMMON, SERVICE, STATES, Here, failure, fix, loaded, timestamp

# Definitions


@fix
def a_refused_definition_changes_no_other(patches: Patches, here: Here) -> None:
    """moto keeps the scopes of QueryLanguage in a list of the class. A definition that is refused in the middle leaves
    its scope there, and every later one without a QueryLanguage is then read as JSONata.
    """
    preprocessor = loaded(f"{ASL}.parse.preprocessor").Preprocessor

    def begin(self: Any) -> None:
        self._query_language_per_scope = []

    patches.attribute(preprocessor, "__init__", begin)


# Choices and errors


@fix
def a_choice_knows_whether_a_rule_matched(patches: Patches, here: Here) -> None:
    """Without a match or a Default, the error is States.NoChoiceMatched; moto raises States.Runtime. Assign and Output
    next to Default apply only without a match; moto also applies them when a rule leads to Default's state.
    https://github.com/localstack/localstack/issues/12301 (moto's interpreter comes from LocalStack)
    """
    choice = loaded(f"{STATES}.choice.state_choice").StateChoice
    plain = choice._eval_state_output

    def choose(self: Any, env: Any) -> None:
        for rule in self.choices_decl.rules:
            rule.eval(env)
            if env.stack.pop() is True:
                env.heap["matched"] = True
                env.stack.append(rule.next_stmt.name)
                return
        if self.default_state is None:
            raise failure(env, "TaskFailed", "States.NoChoiceMatched", "No choice matched")
        env.stack.append(self.default_state.state_name)

    def output(self: Any, env: Any) -> None:
        matched = copy.copy(self)
        matched.default_state = None
        plain(matched if "matched" in env.heap else self, env)

    patches.attribute(choice, "_eval_state", choose)
    patches.attribute(choice, "_eval_state_output", output)


@fix
def errors_of_states_pass_through_branches(patches: Patches, here: Here) -> None:
    """A branch, an item or a Fail may end with a `States.` error; moto raises ValueError for such a name.
    https://github.com/localstack/localstack/issues/10489
    """
    name = loaded(f"{COMMON}.error_name.custom_error_name").CustomErrorName
    patches.attribute(name, "__init__", lambda self, error_name: setattr(self, "error_name", error_name))


@fix
def wildcards_match_what_they_match_on_aws(patches: Patches, here: Here) -> None:
    """States.TaskFailed matches all errors except States.Timeout; nothing catches States.Runtime or
    States.DataLimitExceeded. In moto, States.ALL catches these two, and States.TaskFailed matches no other `States.`
    error.
    """
    declared = loaded(f"{COMMON}.error_name.error_equals_decl").ErrorEqualsDecl

    def matches(self: Any, env: Any) -> None:
        error = env.stack.pop()
        error = error.error_name if error is not None else None
        names = {name.error_name for name in self.error_names}
        if error in ("States.Runtime", "States.DataLimitExceeded"):
            env.stack.append(False)
        elif "States.ALL" in names or error in names:
            env.stack.append(True)
        elif error in ("States.Timeout", "States.HeartbeatTimeout"):
            env.stack.append(error == "States.HeartbeatTimeout" and "States.Timeout" in names)
        else:
            env.stack.append("States.TaskFailed" in names)

    patches.attribute(declared, "_eval_body", matches)


@fix
def services_have_their_names_in_errors(patches: Patches, here: Here) -> None:
    """`S3.NoSuchKeyException`; moto says `s3.NoSuchKeyException`."""
    names = loaded(f"{SERVICE}.state_task_service_aws_sdk")._SERVICE_ERROR_NAMES
    for service, name in {
        "s3": "S3",
        "sns": "Sns",
        "sqs": "Sqs",
        "sagemaker": "SageMaker",
        "lambda": "Lambda",
        "ecr": "Ecr",
        "applicationautoscaling": "ApplicationAutoScaling",
        "sagemakerruntime": "SageMakerRuntime",
    }.items():
        patches.entry(names, service, name)


@fix
def a_stopped_execution_stays_stopped(patches: Patches, here: Here) -> None:
    """A Task that ends after the execution was stopped or timed out changes nothing; moto turns it to FAILED."""
    state = loaded(f"{STATES}.exec.execute_state").ExecutionState
    environment = loaded(f"{ASL}.eval.environment").Environment
    plain, set_error = state._evaluate_with_timeout, environment.set_error

    def evaluate(self: Any, env: Any) -> None:
        try:
            plain(self, env)
        except Exception:  # any error of a Task whose execution has ended
            if env.is_running():
                raise

    def fail(self: Any, error: Any) -> None:
        if self.is_running():
            set_error(self, error)

    patches.attribute(state, "_evaluate_with_timeout", evaluate)
    patches.attribute(environment, "set_error", fail)


# Variables and `$states`


@fix
def output_sees_the_variables_of_before(patches: Patches, here: Here) -> None:
    """Assign and Output are evaluated in parallel: an assigned value becomes visible in the next state."""

    def assign(self: Any, env: Any) -> None:
        values: dict[str, Any] = {}
        with at("Assign"):
            for binding in self.declaration_bindings:
                binding.eval(env)
                values.update(env.stack.pop())
        env.heap["assigned"] = values

    def then_assigned(owner: Any) -> None:
        plain = owner._eval_state_output

        def output(self: Any, env: Any) -> None:
            plain(self, env)
            for name, value in env.heap.pop("assigned", {}).items():
                env.variable_store.set(name, value)

        patches.attribute(owner, "_eval_state_output", output)

    patches.attribute(loaded(f"{COMMON}.assign.assign_decl").AssignDecl, "_eval_body", assign)
    then_assigned(loaded(f"{STATES}.state").CommonStateField)
    then_assigned(loaded(f"{STATES}.exec.execute_state").ExecutionState)
    then_assigned(loaded(f"{STATES}.choice.state_choice").StateChoice)


@fix
def assigned_variables_are_json(patches: Patches, here: Here) -> None:
    """The history has each variable's value as JSON; moto only puts quotes around a string, and escapes nothing."""
    store = loaded(f"{ASL}.eval.variable_store").VariableStore

    def assigned(self: Any) -> dict[str, str]:
        return {
            name: json.dumps(self.get(name), ensure_ascii=False, separators=(",", ":"))
            for name in sorted(self._declaration_tracing)
        }

    patches.attribute(store, "get_assigned_variables", assigned)


@fix
def there_is_no_result_before_the_end(patches: Patches, here: Here) -> None:
    """`$states.result` and `$states.errorOutput` are undefined until there is one; in moto they are null."""
    states = loaded(f"{ASL}.eval.states").States
    plain = states.reset

    def reset(self: Any, input_value: Any) -> None:
        plain(self, input_value)
        self._states_data.pop("result", None)
        self._states_data.pop("errorOutput", None)

    patches.attribute(states, "reset", reset)


@fix
def the_context_is_whole(patches: Patches, here: Here) -> None:
    """A Task in a Map sees `Map.Item`; RetryCount and RedriveCount start at 0; the start is text, not a datetime."""
    environment = loaded(f"{ASL}.eval.environment").Environment
    state = loaded(f"{STATES}.state").CommonStateField
    worker = loaded("moto.stepfunctions.parser.backend.execution_worker").ExecutionWorker
    plain, plain_input = environment.as_inner_frame_of.__func__, state._eval_state_input
    outermost = worker._get_evaluation_environment

    def first(self: Any) -> Any:
        env = outermost(self)
        execution = env.states.context_object.context_object_data["Execution"]
        execution.update(RedriveCount=0, StartTime=timestamp(execution["StartTime"]))
        return env

    def frame_of(cls: Any, env: Any, *values: Any, **named: Any) -> Any:
        frame = plain(cls, env, *values, **named)
        frame.entered = getattr(env, "entered", 0)
        outer = env.states.context_object.context_object_data
        if "Map" in outer:
            frame.states.context_object.context_object_data["Map"] = outer["Map"]
        return frame

    def enter(self: Any, env: Any) -> None:
        env.states.context_object.context_object_data["State"]["RetryCount"] = 0
        plain_input(self, env)

    patches.attribute(worker, "_get_evaluation_environment", first)
    patches.attribute(environment, "as_inner_frame_of", classmethod(frame_of))
    patches.attribute(state, "_eval_state_input", enter)
