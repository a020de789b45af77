"""What moto 5.2.5 does otherwise than AWS, fixed in one place: each fix is a function that tells what AWS does.

tests/local/test_moto_fixes.py shows for each what happens without it; when moto is right by itself, that test fails and
the fix goes. `apply` puts all of them in place until `Patches.undo`.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import json
import logging
import re
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stepgluon import limits
from stepgluon.garbage import paused
from stepgluon.local.patching import Patches

_ASL = "moto.stepfunctions.parser.asl"
_STATES = f"{_ASL}.component.state"
_COMMON = f"{_ASL}.component.common"
_SERVICE = f"{_STATES}.exec.state_task.service"


@dataclass(frozen=True)
class Here:
    """What the fixes need to know of this place."""

    client: Callable[[str, str, str], Any]  # service, region, role -> a client of the local AWS
    seconds: float  # how long a second of a Retry's or Wait's waiting lasts here
    execution_ended: Callable[[Any], None] = lambda execution: None


Fix = Callable[[Patches, Here], None]
FIXES: dict[str, Fix] = {}


def fix(function: Fix) -> Fix:
    FIXES[function.__name__] = function
    return function


def apply(patches: Patches, here: Here, without: str = "") -> None:
    import moto.stepfunctions.parser.models
    import moto.stepfunctions.responses  # noqa: F401

    from stepgluon.local import moto_services  # noqa: F401 - adds its own

    for name, fix in FIXES.items():
        if name != without:
            fix(patches, here)


def loaded(name: str) -> Any:
    __import__(name)
    return sys.modules[name]


def load_without_batch() -> None:
    """Loading moto's interpreter loads its Batch, which reads EC2's tables of instance types: half of the start-up.

    No workflow of ours uses Batch; a stand-in says so, where it was not loaded yet.
    """
    name = f"{_SERVICE}.state_task_service_batch"
    if name not in sys.modules:
        stand_in = types.ModuleType(name)
        stand_in.StateTaskServiceBatch = _NoBatch  # type: ignore[attr-defined]
        sys.modules[name] = stand_in


class _NoBatch:
    def __init__(self) -> None:
        raise ValueError("AWS Batch is not available in the local AWS")


# Paths and data


@fix
def one_entry_of_a_list_is_a_value(patches: Patches, here: Here) -> None:
    """`$.models[0].name` selects a value; moto makes a list of one of it. Each path is parsed once: that is slow."""
    module = loaded(f"{_ASL}.utils.json_path")
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
    module = loaded(f"{_STATES}.choice.comparison.comparison_variable")
    missing = loaded(f"{_STATES}.choice.comparison.variable").NoSuchVariable
    present = loaded(f"{_STATES}.choice.comparison.comparison_operator_type").ComparisonOperatorType.IsPresent
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
    choice = loaded(f"{_STATES}.choice.state_choice").StateChoice
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
    module = loaded(f"{_ASL}.parse.preprocessor")
    strings = loaded(f"{_COMMON}.string.string_expression")
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
    failure = loaded(f"{_COMMON}.error_name.failure_event")
    api = loaded("moto.stepfunctions.parser.api")
    details = loaded(f"{_ASL}.eval.event.event_detail").EventDetails
    name = object.__new__(loaded(f"{_COMMON}.error_name.custom_error_name").CustomErrorName)
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
    name = loaded(f"{_COMMON}.error_name.custom_error_name").CustomErrorName
    patches.attribute(name, "__init__", lambda self, error_name: setattr(self, "error_name", error_name))


@fix
def wildcards_match_what_they_match_on_aws(patches: Patches, here: Here) -> None:
    """States.TaskFailed matches all but States.Timeout; nothing catches States.Runtime or too much data. In moto
    States.ALL does, and States.TaskFailed matches no other `States.` error.
    """
    declared = loaded(f"{_COMMON}.error_name.error_equals_decl").ErrorEqualsDecl

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
    function = loaded(f"{_ASL}.component.intrinsic.function.statesfunction.states_function").StatesFunction
    no_path = loaded(f"{_ASL}.utils.json_path").NoSuchJsonPathError
    failed = loaded(f"{_COMMON}.error_name.failure_event").FailureEventException
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
    names = loaded(f"{_SERVICE}.state_task_service_aws_sdk")._SERVICE_ERROR_NAMES
    for service, name in {"s3": "S3", "sns": "Sns", "sqs": "Sqs", "sagemaker": "SageMaker", "lambda": "Lambda"}.items():
        patches.entry(names, service, name)


@fix
def a_stopped_execution_stays_stopped(patches: Patches, here: Here) -> None:
    """What a Task does after the execution was stopped or timed out changes nothing; moto makes it FAILED."""
    state = loaded(f"{_STATES}.exec.execute_state").ExecutionState
    plain = state._evaluate_with_timeout
    set_error = loaded(f"{_ASL}.eval.environment").Environment.set_error

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
    patches.attribute(loaded(f"{_ASL}.eval.environment").Environment, "set_error", fail)


# Tasks that call other services


@fix
def tasks_call_this_server_alone(patches: Patches, here: Here) -> None:
    """A Task calls with the role of its machine. moto makes a client for each call, with no role, for http://localhost
    and whatever proxy the shell has.
    """
    module = loaded(f"{_ASL}.utils.boto_client")
    patches.everywhere(
        "moto.stepfunctions",
        module.boto_client_for,
        lambda region, service, state_credentials: here.client(service, region, state_credentials.role_arn),
    )


@fix
def contents_go_in_and_out_as_text(patches: Patches, here: Here) -> None:
    """s3:getObject gives the Body as text, s3:putObject takes any JSON as Body; moto has a stream, and fails."""
    task = loaded(f"{_SERVICE}.state_task_service_aws_sdk").StateTaskServiceAwsSdk
    plain = task._eval_service_task

    def call(self: Any, env: Any, normalised_parameters: dict[str, Any], **more: Any) -> None:
        if self.resource.api_name == "s3" and not isinstance(normalised_parameters.get("Body", b""), (str, bytes)):
            normalised_parameters["Body"] = json.dumps(normalised_parameters["Body"], ensure_ascii=False).encode()
        plain(self, env=env, normalised_parameters=normalised_parameters, **more)
        env.stack[-1] = _as_json(env.stack[-1])

    patches.attribute(task, "_eval_service_task", call)


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes) or hasattr(value, "read"):
        return (value if isinstance(value, bytes) else value.read()).decode("utf-8", "replace")
    return value


@fix
def subjects_are_checked(patches: Patches, here: Here) -> None:
    """SNS takes fewer than 100 printable ASCII characters without line breaks; moto takes 100 of any kind."""
    module = loaded("moto.sns.models")
    plain = module.SNSBackend.publish

    def publish(self: Any, message: str, arn: str | None, *values: Any, subject: str | None = None, **more: Any) -> Any:
        if subject is not None and not re.fullmatch(rf"[ -~]{{1,{limits.SUBJECT}}}", subject):
            raise loaded("moto.sns.exceptions").SNSInvalidParameter("Invalid parameter: Subject")
        return plain(self, message, arn, *values, subject=subject, **more)

    patches.attribute(module.SNSBackend, "publish", publish)


@fix
def logs_are_found_by_their_streams_prefix(patches: Patches, here: Here) -> None:
    """FilterLogEvents with logStreamNamePrefix tells of these streams alone; moto tells of all."""
    response = loaded("moto.logs.responses").LogsResponse
    plain = response.filter_log_events

    def filter_log_events(self: Any) -> Any:
        prefix, group = self._get_param("logStreamNamePrefix"), self._get_param("logGroupName")
        if not prefix or group not in self.logs_backend.groups:
            return plain(self)
        names = [name for name in self.logs_backend.groups[group].streams if name.startswith(prefix)]
        if not names:  # no names at all would mean all streams
            return json.dumps({"events": [], "searchedLogStreams": []})
        asked = self._get_param
        self._get_param = lambda name, *more: names if name == "logStreamNames" else asked(name, *more)
        try:
            return plain(self)
        finally:
            del self._get_param

    patches.attribute(response, "filter_log_events", filter_log_events)


# Time


@fix
def waits_are_scaled_and_end_with_the_execution(patches: Patches, here: Here) -> None:
    """A Retry waits minutes on AWS; here each second lasts as long as asked, and a stopped execution waits no more."""
    retrier = loaded(f"{_COMMON}.retry.retrier_decl").RetrierDecl
    outcomes = loaded(f"{_COMMON}.retry.retrier_outcome").RetrierOutcome
    module = loaded(f"{_COMMON}.retry.retrier_decl")
    plain = retrier._eval_body

    # moto sleeps in the middle of the evaluation: here it only says how long, and the waiting comes after.
    class NoSleep:
        @staticmethod
        def sleep(seconds: float) -> None:
            _asked.seconds = seconds

    def evaluate(self: Any, env: Any) -> None:
        _asked.seconds = 0.0
        plain(self, env)
        if env.stack[-1] is outcomes.Executed:
            _pause(env, _asked.seconds * here.seconds)

    patches.attribute(module, "time", NoSleep)
    patches.attribute(retrier, "_eval_body", evaluate)
    wait = loaded(f"{_STATES}.wait.wait_function.wait_function").WaitFunction
    patches.attribute(wait, "_wait_interval", lambda self, env, wait_seconds: _pause(env, wait_seconds * here.seconds))


_asked = threading.local()  # how long the retrier that this thread evaluates wants to wait


def _pause(env: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while env.is_running() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))


@fix
def a_timed_out_execution_is_over(patches: Patches, here: Here) -> None:
    """The status is TIMED_OUT with its last event and its end; moto tells the status before the event is there, and no
    end.
    """
    program = loaded(f"{_ASL}.component.program.program").Program
    component = loaded(f"{_ASL}.component.eval_component").EvalComponent

    def evaluate(self: Any, env: Any) -> None:
        env.next_state_name = self.start_at.start_at_name
        timeout = self.timeout_seconds.timeout_seconds if self.timeout_seconds else None
        running = threading.Thread(target=component.eval, args=(self, env), daemon=True)
        running.start()
        running.join(timeout)
        if running.is_alive():
            env.set_timed_out()
            running.join()

    patches.attribute(program, "eval", evaluate)
    status = loaded("moto.stepfunctions.responses").ExecutionStatus
    patches.attribute(
        loaded("moto.stepfunctions.responses"),
        "ExecutionStatus",
        types.SimpleNamespace(SUCCEEDED=status.SUCCEEDED, FAILED=_Ended(), ABORTED=status.ABORTED),
    )


class _Ended(str):
    """Equal to each status of an execution that is over: moto compares with three of the five."""

    def __eq__(self, other: object) -> bool:
        return other in ("FAILED", "TIMED_OUT")

    def __hash__(self) -> int:
        return 0


@fix
def stopping_keeps_the_reason(patches: Patches, here: Here) -> None:
    """StopExecution's error and cause stand in the description and the history, and it answers with a time."""
    module = loaded("moto.stepfunctions.responses")
    execution = loaded("moto.stepfunctions.parser.backend.execution").Execution

    def stop(self: Any) -> Any:
        found = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        now = datetime.datetime.now(datetime.timezone.utc)
        if found.status == "RUNNING":
            found.error, found.cause = self._get_param("error"), self._get_param("cause")
            execution.stop(found, stop_date=now, error=found.error, cause=found.cause)
        return module.ActionResult({"stopDate": found.stop_date or now})

    patches.attribute(module.StepFunctionResponse, "stop_execution", stop)


# Names and sizes


@fix
def executions_are_checked(patches: Patches, here: Here) -> None:
    """A missing name is made up; names have at most 80 characters of some kinds; inputs are JSON of at most 256 KiB.
    moto names every execution without a name alike, takes any name and any size.
    """
    backend = loaded("moto.stepfunctions.parser.models").StepFunctionsParserBackend
    errors = loaded("moto.stepfunctions.exceptions")
    plain = backend.start_execution

    def start(
        self: Any, state_machine_arn: str, name: str | None = None, execution_input: str | None = None, *more: Any
    ) -> Any:
        name = name or str(uuid.uuid4())
        if not re.fullmatch(r"""[^\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}""", name):
            raise errors.InvalidName(f"Invalid Name: '{name}'")
        if len((execution_input or "").encode()) > limits.PAYLOAD_BYTES:
            raise errors.InvalidExecutionInput("Invalid State Machine Execution Input: 'larger than 262144 bytes'")
        self._validate_machine_arn(state_machine_arn)
        return plain(self, state_machine_arn, name, execution_input, *more)

    patches.attribute(backend, "start_execution", start)


@fix
def definitions_are_checked(patches: Patches, here: Here) -> None:
    """InvalidDefinition for what is no definition or larger than 1 MiB; moto's error has no code, and no size is too
    large. Each definition is parsed once: moto does it again at each start.
    """
    backend = loaded("moto.stepfunctions.parser.models").StepFunctionsParserBackend
    refused = loaded("moto.stepfunctions.parser.api").InvalidDefinition
    base = loaded("moto.stepfunctions.exceptions").AWSError
    invalid = type("InvalidDefinition", (base,), {"TYPE": "InvalidDefinition", "STATUS": 400})
    check = backend._validate_definition

    def validate(definition: str) -> None:
        if len(definition.encode()) > limits.DEFINITION_BYTES:
            raise invalid(f"Invalid State Machine Definition: 'larger than {limits.DEFINITION_BYTES} bytes'")
        try:
            check(definition=definition)
        except refused as problem:
            raise invalid(f"Invalid State Machine Definition: '{str(problem.message)[:1000]}'") from None

    patches.attribute(backend, "_validate_definition", staticmethod(validate))
    parser = loaded(f"{_ASL}.parse.asl_parser").AmazonStateLanguageParser
    plain = parser.parse

    @lru_cache(maxsize=64)
    def parse(definition: str) -> Any:
        with paused():
            return plain(definition)

    patches.attribute(parser, "parse", staticmethod(parse))


# Quiet, small and tidy


@fix
def failures_are_not_printed_as_object_graphs(patches: Patches, here: Here) -> None:
    """moto logs each failure at each level of the machine, with all components that it is made of."""
    component = loaded(f"{_ASL}.component.eval_component").EvalComponent
    for name in ("_log_failure_event_exception", "_log_exception", "_log_evaluation_step"):
        patches.attribute(component, name, lambda self, *values, **named: None)
    for name in ("moto", "werkzeug"):
        logger = logging.getLogger(name)
        patches.later(lambda logger=logger, level=logger.level: logger.setLevel(level))  # type: ignore[misc]
        logger.setLevel(logging.CRITICAL)


@fix
def ended_threads_are_forgotten(patches: Patches, here: Here) -> None:
    """moto keeps every thread that it ever started in a list."""

    class Forgetful(list[Any]):
        def append(self, thread: Any) -> None:
            """Nobody reads it."""

    patches.everywhere("moto.stepfunctions", loaded("moto.stepfunctions.parser.utils").TMP_THREADS, Forgetful())


@fix
def data_is_copied_quickly(patches: Patches, here: Here) -> None:
    """Each state copies its data many times; JSON needs none of what copy.deepcopy looks after."""
    for name in (f"{_ASL}.eval.states", f"{_COMMON}.string.string_expression"):
        patches.attribute(loaded(name), "copy", types.SimpleNamespace(deepcopy=_copied, copy=copy.copy))


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    if kind is list:
        return [_copied(item) for item in value]
    if kind in (str, int, float, bool, type(None)):
        return value
    return copy.deepcopy(value)


@fix
def outputs_are_json(patches: Patches, here: Here) -> None:
    """DescribeExecution gives the output as JSON; moto gives a text as it is, and the status before the output."""
    module = loaded("moto.stepfunctions.parser.backend.execution")
    communication = module.BaseExecutionWorkerCommunication
    plain = communication._reflect_execution_status

    def reflect(self: Any) -> None:
        env = self.execution.exec_worker.env
        execution = types.SimpleNamespace(exec_worker=self.execution.exec_worker, output=None, error=None, cause=None)
        plain(types.SimpleNamespace(execution=execution))
        if isinstance(env.program_state(), module.ProgramEnded):
            self.execution.output = json.dumps(execution.output, ensure_ascii=False)
        self.execution.stop_date = execution.stop_date
        self.execution.error = self.execution.error or execution.error
        self.execution.cause = self.execution.cause or execution.cause
        self.execution.exec_status = execution.exec_status

    patches.attribute(communication, "_reflect_execution_status", reflect)


@fix
def modules_are_listed_once(patches: Patches, here: Here) -> None:
    """For each request moto looks through its own folder: nearly half of the time that a small request takes."""
    backends = loaded("moto.backends")
    names = tuple(backends.list_of_moto_modules())
    patches.attribute(backends, "list_of_moto_modules", lambda: names)


@fix
def an_ended_execution_is_told_of(patches: Patches, here: Here) -> None:
    """Step Functions sends an event when an execution ends; moto tells nobody."""
    communication = loaded("moto.stepfunctions.parser.backend.execution").BaseExecutionWorkerCommunication
    plain = communication.terminated

    def terminated(self: Any) -> None:
        plain(self)
        with contextlib.suppress(OSError):  # a full disk: the execution has ended all the same
            here.execution_ended(self.execution)

    patches.attribute(communication, "terminated", terminated)
