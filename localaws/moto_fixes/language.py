"""Fixes of the language of the states: paths, data and errors."""

from __future__ import annotations

import datetime
import re
from functools import lru_cache
from typing import Any

from localaws.base.patches import Patches
from localaws.moto_fixes.registry import ASL, COMMON, SERVICE, STATES, Here, fix, loaded

# Paths and data


@fix
def one_entry_of_a_list_is_a_value(patches: Patches, here: Here) -> None:
    """`$.models[0].name` selects a value; moto makes a list of one of it. Each path is parsed once: that is slow."""
    module = loaded(f"{ASL}.utils.json_path")
    parse = lru_cache(maxsize=4096)(module.parse)
    definite = re.compile(r"\$(\.[A-Za-z_]\w*|\[\d+\]|\['[^']*'\])*")
    steps = lru_cache(maxsize=4096)(
        lambda path: [int(i) if i else q or n for n, i, q in re.findall(r"\.(\w+)|\[(\d+)\]|\['([^']*)'\]", path)]
    )

    def extract_json(path: str, data: Any) -> Any:
        if definite.fullmatch(path):
            found = data
            for step in steps(path):
                try:
                    found = found[step] if isinstance(found, (list if isinstance(step, int) else dict)) else _none()
                except (KeyError, IndexError):
                    raise module.NoSuchJsonPathError(json_path=path, data=data) from None
            return found
        matches = parse(path).find(data)
        if not matches and not re.search(r"[*:?@]|\.\.", path):
            raise module.NoSuchJsonPathError(json_path=path, data=data)
        values = [match.value for match in matches]
        return values[0] if len(values) == 1 and not re.search(r"[*:?@,]|\.\.", path) else values

    patches.everywhere("moto.stepfunctions", module.extract_json, extract_json)


def _none() -> Any:
    raise KeyError


@fix
def the_context_has_a_redrive_count_and_texts_for_times(patches: Patches, here: Here) -> None:
    """`$$.Execution.RedriveCount` is 0 at first, and `StartTime` a text; moto has none, and a date that is no JSON."""
    worker = loaded("moto.stepfunctions.parser.backend.execution_worker").ExecutionWorker
    plain = worker._get_evaluation_environment

    def environment(self: Any) -> Any:
        env = plain(self)
        execution = env.states.context_object.context_object_data["Execution"]
        execution["RedriveCount"] = 0
        if isinstance(execution["StartTime"], datetime.datetime):
            start = execution["StartTime"].astimezone(datetime.timezone.utc)
            execution["StartTime"] = start.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return env

    patches.attribute(worker, "_get_evaluation_environment", environment)


@fix
def a_choice_on_a_missing_path_fails(patches: Patches, here: Here) -> None:
    """Only IsPresent may look at what is not there; any other rule ends the execution. moto goes on to Default."""
    module = loaded(f"{STATES}.choice.comparison.comparison_variable")
    missing = loaded(f"{STATES}.choice.comparison.variable").NoSuchVariable
    present = loaded(f"{STATES}.choice.comparison.comparison_operator_type").ComparisonOperatorType.IsPresent
    plain = module.ComparisonVariable._eval_body

    def compare(self: Any, env: Any) -> None:
        if self.comparison_function.operator_type is not present:
            self.variable.eval(env)
            if isinstance(env.stack.pop(), missing):
                path = self.variable.string_sampler.literal_value
                cause = f"Invalid path '{path}': The choice state's condition path references an invalid value."
                raise _failure(env, "States.Runtime", cause)
        plain(self, env)

    patches.attribute(module.ComparisonVariable, "_eval_body", compare)


@fix
def a_choice_without_a_match_has_its_own_error(patches: Patches, here: Here) -> None:
    """States.NoChoiceMatched; moto says States.Runtime."""
    choice = loaded(f"{STATES}.choice.state_choice").StateChoice
    plain = choice._eval_state

    def choose(self: Any, env: Any) -> None:
        try:
            plain(self, env)
        except RuntimeError:
            raise _failure(env, "States.NoChoiceMatched", "No choice matched") from None

    patches.attribute(choice, "_eval_state", choose)


@fix
def a_key_named_like_a_keyword_is_a_key(patches: Patches, here: Here) -> None:
    """`"RoleArn.$": "$.role"` in Parameters is a path; moto takes the keyword of Credentials for a plain text."""
    module = loaded(f"{ASL}.parse.preprocessor")
    strings = loaded(f"{COMMON}.string.string_expression")
    plain = module.Preprocessor.visitPayload_binding_value

    def visit(self: Any, ctx: Any) -> Any:
        binding = plain(self, ctx)
        text = getattr(binding.payload_value, "val", None)
        if not binding.field.endswith(".$") or not isinstance(text, str):
            return binding
        if text.startswith("$$"):
            expression = strings.StringContextPath(context_object_path=text)
        elif text.startswith("$"):
            expression = strings.StringJsonPath(json_path=text)
        else:
            function, _ = module.IntrinsicParser.parse(text)
            expression = strings.StringIntrinsicFunction(intrinsic_function_derivation=text, function=function)
        return module.PayloadBindingStringExpressionSimple(
            field=binding.field[:-2], string_expression_simple=expression
        )

    patches.attribute(module.Preprocessor, "visitPayload_binding_value", visit)


# Errors


def _failure(env: Any, error: str, cause: str) -> Exception:
    """The exception with which moto's components fail a state."""
    failure = loaded(f"{COMMON}.error_name.failure_event")
    api = loaded("moto.stepfunctions.parser.api")
    details = loaded(f"{ASL}.eval.event.event_detail").EventDetails
    name = object.__new__(loaded(f"{COMMON}.error_name.custom_error_name").CustomErrorName)
    name.error_name = error
    event = failure.FailureEvent(
        env=env,
        error_name=name,
        event_type=api.HistoryEventType.TaskFailed,
        event_details=details(taskFailedEventDetails=api.TaskFailedEventDetails(error=error, cause=cause)),
    )
    exception: Exception = failure.FailureEventException(failure_event=event)
    return exception


@fix
def errors_of_states_pass_through_branches(patches: Patches, here: Here) -> None:
    """A `States.` error of a branch or an iteration, or of a Fail's ErrorPath, is an error like others; moto raises."""
    name = loaded(f"{COMMON}.error_name.custom_error_name").CustomErrorName
    patches.attribute(name, "__init__", lambda self, error_name: setattr(self, "error_name", error_name))


@fix
def wildcards_match_what_they_match_on_aws(patches: Patches, here: Here) -> None:
    """States.TaskFailed matches all but States.Timeout; nothing catches States.Runtime or too much data. In moto
    States.ALL does, and States.TaskFailed matches no other `States.` error.
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
def a_failing_function_is_an_intrinsic_failure(patches: Patches, here: Here) -> None:
    """States.IntrinsicFailure, which can be caught; moto says States.Runtime."""
    function = loaded(f"{ASL}.component.intrinsic.function.statesfunction.states_function").StatesFunction
    no_path = loaded(f"{ASL}.utils.json_path").NoSuchJsonPathError
    failed = loaded(f"{COMMON}.error_name.failure_event").FailureEventException
    plain = function.eval

    def evaluate(self: Any, env: Any) -> None:
        try:
            plain(self, env)
        except (failed, no_path):
            raise
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as problem:
            name = self.name.function_type.name()
            cause = f"The function '{name}' had the following error: {problem}"
            raise _failure(env, "States.IntrinsicFailure", cause) from None

    patches.attribute(function, "eval", evaluate)


@fix
def services_have_their_names_in_errors(patches: Patches, here: Here) -> None:
    """`S3.NoSuchKeyException`; moto says `s3.NoSuchKeyException`."""
    names = loaded(f"{SERVICE}.state_task_service_aws_sdk")._SERVICE_ERROR_NAMES
    for service, name in {"s3": "S3", "sns": "Sns", "sqs": "Sqs", "sagemaker": "SageMaker", "lambda": "Lambda"}.items():
        patches.entry(names, service, name)


@fix
def a_stopped_execution_stays_stopped(patches: Patches, here: Here) -> None:
    """What a Task does after the execution was stopped or timed out changes nothing; moto makes it FAILED."""
    state = loaded(f"{STATES}.exec.execute_state").ExecutionState
    plain = state._evaluate_with_timeout
    set_error = loaded(f"{ASL}.eval.environment").Environment.set_error

    def evaluate(self: Any, env: Any) -> None:
        try:
            plain(self, env)
        except Exception:  # whatever a Task that is not wanted any more ends with
            if env.is_running():
                raise

    def fail(self: Any, error: Any) -> None:
        if self.is_running():
            set_error(self, error)

    patches.attribute(state, "_evaluate_with_timeout", evaluate)
    patches.attribute(loaded(f"{ASL}.eval.environment").Environment, "set_error", fail)
