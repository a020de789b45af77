"""One mistake at a time in a good definition, and the self-check names each.

A mutant is a function that changes the definition in place; beside it stands the finding's code that it must lead to.
The first 157 come from the time of JSONPath, and keep their names. JSONata has no equivalent of some of their mistakes
(intrinsic functions, reference paths, rules of a Choice): these are the nearest that can be made, as said beside them.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stepgluon.selfcheck import findings

GOOD = json.loads((Path(__file__).with_name("selfcheck") / "good.asl.json").read_text(encoding="utf-8"))
Mutate = Callable[[dict[str, Any]], Any]
_MISSING = object()


def states(name: str, machine: dict[str, Any]) -> dict[str, Any]:
    """The states of the scope that has this state."""
    waiting = [machine]
    while waiting:
        scope = waiting.pop()
        if name in scope["States"]:
            return scope["States"]  # type: ignore[no-any-return]
        for state in scope["States"].values():
            waiting += state.get("Branches", [])
            waiting += [state["ItemProcessor"]] if "ItemProcessor" in state else []
    raise KeyError(name)


def put(state: str, place: str, value: Any) -> Mutate:
    """Set a field of a state, written like `Parameters.Tags.0.Key`; `_MISSING` takes it away."""

    def mutate(machine: dict[str, Any]) -> None:
        holder: Any = states(state, machine)[state] if state else machine
        *way, last = [int(key) if key.isdigit() else key.replace("/", ".") for key in place.split(".")]
        for key in way:
            holder = holder[key]
        if value is _MISSING:
            del holder[last]
        else:
            holder[last] = value

    return mutate


def drop(state: str, place: str) -> Mutate:
    return put(state, place, _MISSING)


def both(*mutations: Mutate) -> Mutate:
    def mutate(machine: dict[str, Any]) -> None:
        for one in mutations:
            one(machine)

    return mutate


def rename(old: str, new: str) -> Mutate:
    """A state gets another name; whatever leads to it follows."""

    def mutate(machine: dict[str, Any]) -> None:
        scope = states(old, machine)
        renamed = json.loads(json.dumps(scope).replace(json.dumps(old), json.dumps(new)))
        scope.clear()
        scope.update(renamed)

    return mutate


def orphan(machine: dict[str, Any]) -> None:
    machine["States"]["Orphan"] = {"Type": "Pass", "Next": "Done"}


def twin(machine: dict[str, Any]) -> None:
    """The same name in two branches."""
    second = machine["States"]["Train"]["Branches"][1]
    second["States"]["Accept boots"] = second["States"].pop("Accept hats")
    second["States"]["Judge hats"]["Choices"][0]["Next"] = "Accept boots"


def loop(machine: dict[str, Any]) -> None:
    machine["States"]["Failed"] = {"Type": "Pass", "Next": "Announce failure"}


def many(count: int, key: str, entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**entry, key: f"part-{number}"} for number in range(count)]


TRAIN, PREPARE, MAIL, JUDGE = "Train boots", "Prepare", "Announce start", "Judge boots"
SCORE, RULE = "Read score of boots", "Choices.0.Condition"
NAME = "Arguments.TrainingJobName"
INPUT, OUTPUT = GOOD["States"][PREPARE]["Arguments"]["ProcessingInputs"][0], {"S3Uri": "s3://a/b"}
RETRY = {"ErrorEquals": ["X.Y"], "MaxAttempts": 2}
ALL = {"ErrorEquals": ["States.ALL"], "Next": "Prepare failed"}
COUNTS = "$states.context.State.RetryCount & '-' & $states.context.Execution.RedriveCount"


def e(text: str) -> str:
    return "{% " + text + " %}"


def whole(text: str) -> Mutate:
    """Train boots with all its Arguments from one expression."""

    def mutate(machine: dict[str, Any]) -> None:
        state = states(TRAIN, machine)[TRAIN]
        machine["States"]["Settings"]["Assign"]["request"] = {**state["Arguments"], "InputDataConfig": []}
        del machine["States"]["Settings"]["Assign"]["request"]["InputDataConfig"]
        del machine["States"]["Settings"]["Assign"]["request"]["OutputDataConfig"]
        own = "{'TrainingJobName': 'b-' & $id & '-' & " + COUNTS + ", 'OutputDataConfig': {'S3OutputPath': 's3://a/b'}}"
        machine["States"]["Settings"]["Assign"]["request"]["TrainingJobName"] = "x"
        state["Arguments"] = e("$merge([$request, " + own + ", " + text + "])")

    return mutate


def distributed(machine: dict[str, Any]) -> None:
    machine["States"]["Look at each"]["ItemProcessor"]["ProcessorConfig"] = {
        "Mode": "DISTRIBUTED",
        "ExecutionType": "STANDARD",
    }


def late(machine: dict[str, Any]) -> None:
    """What a later state assigns is read before."""
    machine["States"]["Mark"]["Output"] = {"models": e("$models")}


def again(machine: dict[str, Any]) -> None:
    machine["States"]["Settings"]["Assign"]["tries"] = 0
    machine["States"]["Prepare"]["Catch"][0]["Assign"] = {"tries": e("$tries + 1"), "error": e("$states.errorOutput")}
    rule = {"Condition": e("$tries < 3"), "Next": "Prepare"}
    machine["States"]["Prepare again"] = {
        **{"Type": "Choice", "Choices": [rule], "Default": "Prepare failed"},
        "Output": e("$error"),
    }


def one_way(machine: dict[str, Any]) -> None:
    """Only the way on of a Catch assigns it."""
    states(SCORE, machine)[SCORE]["Catch"][0]["Assign"]["late"] = True
    states("Reject boots", machine)["Reject boots"]["Output"]["late"] = e("$late")


MUTANTS: dict[str, tuple[str, Mutate]] = {
    # Graph
    "StartAt names no state": ("target", put("", "StartAt", "Setings")),
    "StartAt of a branch names no state": ("target", put("Train", "Branches.0.StartAt", "Train")),
    "Next to nowhere": ("target", put("Mark", "Next", "Anounce start")),
    "Next into a branch": ("target", put("Mark", "Next", TRAIN)),
    "Next out of a branch": ("target", both(put("Accept boots", "Next", "Done"), drop("Accept boots", "End"))),
    "Next into the sibling branch": ("target", put(SCORE, "Next", "Judge hats")),
    "a rule to nowhere": ("target", put(JUDGE, "Choices.0.Next", "Acept boots")),
    "a Default to nowhere": ("target", put(JUDGE, "Default", "Rejct boots")),
    "a Catch to nowhere": ("target", put(PREPARE, "Catch.0.Next", "Nowhere")),
    "an orphan": ("unreachable", orphan),
    "a step skipped, so that it is never reached": ("unreachable", put("Settings", "Next", "Announce start")),
    "states that only lead to each other": ("endless", loop),
    "an End that is false among them": ("endless", both(loop, put("Mark", "End", False))),
    "the same name in two branches": ("duplicate-name", twin),
    "the name of a state outside, in a branch": ("duplicate-name", rename("Accept boots", "Done")),
    "a name of 81 characters": ("state-name", rename("Mark", "M" * 81)),
    # Form
    "no Type": ("field-missing", drop("Mark", "Type")),
    "an unknown Type": ("field-enum", put("Mark", "Type", "Psas")),
    "no States": ("field-missing", drop("", "States")),
    "no StartAt": ("field-missing", drop("", "StartAt")),
    "a Task without Resource": ("field-missing", drop(MAIL, "Resource")),
    "a Wait without time": ("one-of", drop("Wait a little", "Seconds")),
    "a Map without processor": ("field-missing", drop("Look at each", "ItemProcessor")),
    "neither Next nor End": ("next-or-end", drop("Mark", "Next")),
    "both Next and End": ("next-or-end", put("Mark", "End", True)),
    "End is text": ("field-type", put("Accept boots", "End", "true")),
    "a misspelt field": ("field-unknown", put(MAIL, "Argumnets", {})),
    "a misspelt field of the machine": ("field-unknown", put("", "TimeoutSecond", 60)),
    "Retry at a Pass": ("field-unknown", put("Mark", "Retry", [RETRY])),
    "Parameters at a Choice": ("jsonpath", put(JUDGE, "Parameters", {})),
    "Next at a Choice": ("field-unknown", put(JUDGE, "Next", "Accept boots")),
    # Today it is JSONPath that is refused.
    "JSONata": ("field-enum", put("", "QueryLanguage", "JSONPath")),
    "Arguments of JSONata": ("jsonpath", put(MAIL, "Parameters", {})),
    "no timeout of the machine": ("field-missing", drop("", "TimeoutSeconds")),
    "a Task without timeout": ("field-missing", drop(TRAIN, "TimeoutSeconds")),
    "a timeout of 0": ("field-range", put(TRAIN, "TimeoutSeconds", 0)),
    "a timeout as text": ("field-type", put(TRAIN, "TimeoutSeconds", "60")),
    "a heartbeat longer than the timeout": ("field-range", put(TRAIN, "HeartbeatSeconds", 99999)),
    # A run ends where it fails, so a Catch is not a duty any more: these are mistakes of a Catch.
    "a Task without Catch": ("unreachable", drop(PREPARE, "Catch")),
    "a Parallel without Catch": ("unreachable", drop("Train", "Catch")),
    "a Map without Catch": ("unreachable", drop("Look at each", "Catch")),
    "a Catch of some errors only": ("error-name", put(TRAIN, "Catch.0.ErrorEquals", ["States.TaskFaild"])),
    # ErrorPath, CausePath and SecondsPath are JSONPath's.
    "a Fail with Error and ErrorPath": ("jsonpath", put("Failed", "ErrorPath", "$.Error")),
    "a Fail with Cause and CausePath": ("jsonpath", put("Failed", "CausePath", "$.Cause")),
    "a Wait with two times": ("one-of", put("Wait a little", "Timestamp", "2030-01-01T00:00:00Z")),
    # Retry and Catch
    "an empty ErrorEquals": ("field-length", put(PREPARE, "Retry.0.ErrorEquals", [])),
    "a Catch without ErrorEquals": ("field-missing", drop(PREPARE, "Catch.0.ErrorEquals")),
    "States.ALL beside others": ("states-all-alone", put(PREPARE, "Catch.0.ErrorEquals", ["States.ALL", "X.Y"])),
    "a retrier after States.ALL": ("states-all-last", put(PREPARE, "Retry", [{"ErrorEquals": ["States.ALL"]}, RETRY])),
    "a catcher after States.ALL": ("states-all-last", put(PREPARE, "Catch", [ALL, {**ALL, "ErrorEquals": ["X.Y"]}])),
    "an unknown States error": ("error-name", put(PREPARE, "Retry.1.ErrorEquals", ["States.TaskFail"])),
    "a retry of States.Runtime": ("retry-final", put(PREPARE, "Retry.1.ErrorEquals", ["States.Runtime"])),
    "a retry of too much data": ("retry-final", put(PREPARE, "Retry.1.ErrorEquals", ["States.DataLimitExceeded"])),
    "an error retried twice": ("error-repeated", put(PREPARE, "Retry", [RETRY, RETRY])),
    "a retrier behind States.TaskFailed": (
        "error-repeated",
        put(PREPARE, "Retry", [{"ErrorEquals": ["States.TaskFailed"]}, RETRY]),
    ),
    "negative MaxAttempts": ("field-range", put(PREPARE, "Retry.0.MaxAttempts", -1)),
    "an interval of 0": ("field-range", put(PREPARE, "Retry.0.IntervalSeconds", 0)),
    "a backoff below 1": ("field-range", put(PREPARE, "Retry.0.BackoffRate", 0.5)),
    "an unknown jitter": ("field-enum", put(PREPARE, "Retry.0.JitterStrategy", "full")),
    "a ceiling below the interval": ("field-range", put(PREPARE, "Retry.0.MaxDelaySeconds", 100)),
    "a ceiling over the limit": ("field-range", put(PREPARE, "Retry.0.MaxDelaySeconds", 31_622_401)),
    "a misspelt field of Retry": ("field-unknown", put(PREPARE, "Retry.0.MaxAttemps", 3)),
    "a misspelt field of Catch": ("field-unknown", put(PREPARE, "Catch.0.Outptu", {})),
    # Choice: a rule is one Condition now, so its parts are parts of an expression.
    "no Default": ("no-default", drop(JUDGE, "Default")),
    "no rule": ("field-length", put(JUDGE, "Choices", [])),
    "a misspelt comparison": ("expression-syntax", put(JUDGE, RULE, e("$score.mae => 0"))),
    "two comparisons in one rule": ("expression-syntax", put(JUDGE, RULE, e("0 <= $score.mae $score.mae <= 5"))),
    "a number compared with text": ("expression-fails", put(JUDGE, RULE, e("$score.mae < '0'"))),
    "IsNumeric with text": ("field-type", put(JUDGE, RULE, e("$type($score.mae) = 'number' ? 'true' : 'false'"))),
    "a time that is none": ("expression-fails", put("Is it late?", RULE, e("$toMillis('tomorrow') > 0"))),
    "a path operand that is none": ("expression-undefined", put(JUDGE, RULE, e("$score.mae <= $extra.limit"))),
    "Next inside of And": ("field-unknown", put(JUDGE, "Choices.0.And", [])),
    "a rule without Next": ("field-missing", drop(JUDGE, "Choices.0.Next")),
    "a rule without Variable": ("field-missing", drop(JUDGE, RULE)),
    "an empty And": ("expression-syntax", put(JUDGE, RULE, e(""))),
    "a Variable that is no path": ("expression-undefined", put(JUDGE, RULE, e("score.mae <= 5"))),
    "a Variable that means many": (
        "field-type",
        put("Is it late?", "Choices.1.Condition", e("$models.(verdict = 'accepted')")),
    ),
    # Expressions and data, where paths and templates were
    "a path with a stray dot": ("expression-syntax", put("Settings", "Assign.run", e("$states.context.Execution."))),
    "a value for .$ that is no path": ("jsonpath", put("Settings", "Assign.run/$", "input")),
    "a number for .$": ("jsonpath", put(MAIL, "Arguments.Subject/$", 1)),
    "a forgotten .$": ("forgotten-braces", put("Settings", "Assign.threshold", "$states.input.threshold")),
    "a forgotten .$ in a list": ("forgotten-braces", put("Settings", "Assign.extra.list.0", "$.x")),
    "a forgotten .$ at an intrinsic": ("forgotten-braces", put("Settings", "Assign.extra.note", "States.UUID()")),
    "a key with and without .$": ("jsonpath", put("Settings", "Assign.extra.note/$", "$.threshold")),
    "a template in Result": ("jsonpath", put("Mark", "Result", {"kind.$": "$.kind"})),
    "NaN": ("not-json", put("Settings", "Assign.threshold", float("nan"))),
    "an unknown intrinsic": ("expression-function", put("Settings", "Assign.run", e("$concat('a', 'b')"))),
    "a placeholder without value": ("expression-fails", put(MAIL, "Arguments.Subject", e("$join(['shop', 1])"))),
    "an unescaped quote": ("expression-syntax", put(MAIL, "Arguments.Subject", e("'it's ' & $id"))),
    "an intrinsic left open": ("expression-syntax", put(MAIL, "Arguments.Subject", e("$string($id"))),
    "an object in States.Format": ("parameter-type", put(MAIL, "Arguments.Subject", e("$mark"))),
    "JSON that is none": ("expression-fails", put("Settings", "Assign.run", e("$parse('{a}')"))),
    # ResultPath became the names in Assign.
    "a ResultPath with a wildcard": ("variable-name", put("Mark", "Assign.mark[*]", 1)),
    "a ResultPath into the context": ("variable-name", put("Mark", "Assign.states", 1)),
    "a ResultPath of Catch with a filter": ("variable-name", put(PREPARE, "Catch.0.Assign", {"x[y]": 1})),
    "a misspelt context path": ("states-part", put("Settings", "Assign.run", e("$states.context.Execution.Nmae"))),
    "a context that there is not": (
        "states-part",
        put("Settings", "Assign.run", e("$states.context.Executions.Name")),
    ),
    "the time of a redrive that was not": (
        "expression-undefined",
        put("Settings", "Assign.run", e("$states.context.Execution.RedriveTime")),
    ),
    "the result of a Parallel in its Catch": ("states-part", put("Train", "Catch.0.Output", e("$states.result"))),
    "the error of a state without Catch": ("states-part", put("Settings", "Assign.run", e("$states.errorOutput"))),
    "a task token without waiting": (
        "states-part",
        put(SCORE, "Arguments.Key", e("$states.context.Task.Token")),
    ),
    "an item outside of a Map": (
        "states-part",
        put("Settings", "Assign.run", e("$states.context.Map.Item.Value")),
    ),
    "a misspelt path into the data": (
        "variable-undefined",
        put("Announce results", "Arguments.Message", e("$string($modles)")),
    ),
    "a path to what a Parallel did not pass on": (
        "expression-undefined",
        put("Accept boots", "Output.uri", e("$states.input.uri")),
    ),
    "an entry that the branches do not have": (
        "expression-undefined",
        put("Is it late?", "Choices.0.Condition", e("$models[2].x")),
    ),
    "a key that no branch gives": (
        "expression-undefined",
        put("Is it late?", "Choices.1.Condition", e("$models[0].veredict")),
    ),
    "an answer's misspelt key": (
        "expression-undefined",
        put(TRAIN, "Assign.job.name", e("$states.result.TrainingJobNam")),
    ),
    "a result that was thrown away": ("expression-undefined", put(PREPARE, "Catch.0.Output", {})),
    "a result put elsewhere": ("variable-undefined", both(put("Train", "Assign", {"trained": e("$states.result")}))),
    "a result that replaces everything": ("expression-undefined", drop("Look at each", "ItemSelector")),
    "an InputPath to nothing": ("variable-undefined", put("Done", "Output", e("$model"))),
    "an ItemsPath to nothing": ("variable-undefined", put("Look at each", "Items", e("$modelz"))),
    "an ErrorPath to nothing": ("expression-undefined", put("Failed", "Error", e("$failed.Eror"))),
    # Tasks
    "a Resource that is none": ("resource", put(MAIL, "Resource", "sns:publish")),
    "a misspelt action": ("resource", put(MAIL, "Resource", "arn:aws:states:::sns:publsh")),
    "a misspelt action of the SDK": ("resource", put(SCORE, "Resource", "arn:aws:states:::aws-sdk:s3:getObjekt")),
    "an action of the SDK as an integration of its own": (
        "resource",
        put(SCORE, "Resource", "arn:aws:states:::sagemaker:describeEndpoint"),
    ),
    "a service that there is not": ("resource", put(SCORE, "Resource", "arn:aws:states:::aws-sdk:s33:getObject")),
    "a service that has no integration": ("resource", put(MAIL, "Resource", "arn:aws:states:::snss:publish")),
    "an action with a capital": ("resource", put(SCORE, "Resource", "arn:aws:states:::aws-sdk:s3:GetObject")),
    "a mail that waits for its end": ("resource", put(MAIL, "Resource", "arn:aws:states:::sns:publish.sync")),
    "a call of the SDK that waits for its end": (
        "resource",
        put(SCORE, "Resource", "arn:aws:states:::aws-sdk:s3:getObject.sync"),
    ),
    "a job that waits for a token": (
        "resource",
        put(PREPARE, "Resource", "arn:aws:states:::sagemaker:createProcessingJob.waitForTaskToken"),
    ),
    "a job that nothing waits for": (
        "not-awaited",
        put(PREPARE, "Resource", "arn:aws:states:::sagemaker:createProcessingJob"),
    ),
    "another partition": ("partition", put(MAIL, "Resource", "arn:aws-cn:states:::sns:publish")),
    "a misspelt parameter": ("parameter-unknown", put(TRAIN, "Arguments.HyperParameter", {})),
    "a misspelt parameter deep inside": ("parameter-unknown", put(TRAIN, "Arguments.ResourceConfig.VolumeSizeInGb", 1)),
    "a parameter is missing": ("parameter-missing", drop(TRAIN, "Arguments.RoleArn")),
    "a parameter is missing deep inside": (
        "parameter-missing",
        drop(PREPARE, "Arguments.ProcessingInputs.0.InputName"),
    ),
    "no Parameters": ("parameter-missing", put(MAIL, "Arguments", {})),
    "a null name": ("parameter-type", put(PREPARE, "Arguments.ProcessingInputs.0.InputName", None)),
    "a number as text": ("parameter-type", put(TRAIN, "Arguments.ResourceConfig.InstanceCount", "1")),
    "a hyperparameter that is a number": ("parameter-type", put(TRAIN, "Arguments.HyperParameters.depth", 6)),
    "a count where text is wanted": (
        "parameter-type",
        put(SCORE, "Arguments.Key", e("$states.context.State.RetryCount")),
    ),
    "an unknown instance type": ("parameter-enum", put(TRAIN, "Arguments.ResourceConfig.InstanceType", "ml.m5.2xlrge")),
    "an unknown input mode": (
        "parameter-enum",
        put(TRAIN, "Arguments.AlgorithmSpecification.TrainingInputMode", "file"),
    ),
    "no instance": ("parameter-range", put(TRAIN, "Arguments.ResourceConfig.InstanceCount", -1)),
    "a role that is no ARN": (
        "parameter-pattern",
        put(TRAIN, "Arguments.RoleArn", "the-role-of-the-jobs-in-this-account"),
    ),
    "an output that is no S3 address": (
        "parameter-pattern",
        put(TRAIN, "Arguments.OutputDataConfig.S3OutputPath", e("$id")),
    ),
    "an environment key with a dash": ("parameter-pattern", put(TRAIN, "Arguments.Environment.MY-KEY", "1")),
    "an argument of 257 characters": (
        "parameter-length",
        put(PREPARE, "Arguments.AppSpecification.ContainerArguments.0", "x" * 257),
    ),
    "11 inputs": ("parameter-length", put(PREPARE, "Arguments.ProcessingInputs", many(11, "InputName", INPUT))),
    "21 channels": (
        "parameter-length",
        put(
            TRAIN,
            "Arguments.InputDataConfig",
            many(21, "ChannelName", {"DataSource": {"S3DataSource": {**OUTPUT, "S3DataType": "S3Prefix"}}}),
        ),
    ),
    "a job name that gets too long": ("parameter-length", put(TRAIN, NAME, e(f"'{'x' * 50}-' & $id & '-' & {COUNTS}"))),
    "a job name with an underscore": ("parameter-pattern", put(TRAIN, NAME, e(f"'my_job-' & $id & '-' & {COUNTS}"))),
    "a fixed job name": ("job-name-execution", put(TRAIN, NAME, "boots")),
    "a job name without the retry": (
        "job-name-retry",
        put(TRAIN, NAME, e("'b-' & $id & '-' & $states.context.Execution.RedriveCount")),
    ),
    "a job name without the redrive": (
        "job-name-redrive",
        put(TRAIN, NAME, e("'b-' & $id & '-' & $states.context.State.RetryCount")),
    ),
    "a job name without the run": ("job-name-execution", put(TRAIN, NAME, e(f"'b-' & {COUNTS}"))),
    "a job name from the data": ("job-name-retry", put(TRAIN, NAME, e("$run"))),
    "one job name in two branches": (
        "job-name-again",
        put(TRAIN, NAME, e(f"'shop-train-hats-' & $id & '-' & {COUNTS}")),
    ),
    "two channels of one name": ("job-part-name", put(TRAIN, "Arguments.InputDataConfig.1.ChannelName", "train")),
    "two inputs of one name": ("job-part-name", put(PREPARE, "Arguments.ProcessingInputs.1.InputName", "raw")),
    "an input outside of the container's folder": (
        "job-path",
        put(PREPARE, "Arguments.ProcessingInputs.0.S3Input.LocalPath", "/data"),
    ),
    "an environment value of 257 characters": (
        "parameter-length",
        put(PREPARE, "Arguments.Environment", {"MODEL": "x" * 257}),
    ),
    "spot without waiting time": ("spot", drop(TRAIN, "Arguments.StoppingCondition.MaxWaitTimeInSeconds")),
    "waiting time without spot": ("spot", drop(TRAIN, "Arguments.EnableManagedSpotTraining")),
    "a subject of 100 characters": ("subject-length", put(MAIL, "Arguments.Subject", e(f"'{'x' * 88}' & $id"))),
    "a subject of two lines": ("subject-text", put(MAIL, "Arguments.Subject", e(r"'a\n' & $id"))),
    "a subject that is not ASCII": ("subject-text", put(MAIL, "Arguments.Subject", e("'caf\u00e9 ' & $id"))),
    "a placeholder that nothing fills in": ("placeholder", put(MAIL, "Arguments.TopicArn", "${Topic}")),
    "an image's placeholder with another name": (
        "placeholder",
        put(TRAIN, "Arguments.AlgorithmSpecification.TrainingImage", "host/image@${TrainDigest}"),
    ),
    # Sizes
    "a definition over 1 MiB": ("definition-size", put("Mark", "Comment", "x" * 1024 * 1024)),
    "a history that runs full": ("events", put(PREPARE, "Retry.0.MaxAttempts", 9000)),
    "data over 256 KiB": ("payload-size", put("Mark", "Output", "x" * 256 * 1024)),
    # Of JSONata: expressions
    "an expression that does not end": ("expression-syntax", put(MAIL, "Arguments.Message", e("'Run ' & "))),
    "a bracket too many": ("expression-syntax", put(MAIL, "Arguments.Message", e("$string($run))"))),
    "an expression without its end": ("expression-braces", put(MAIL, "Arguments.Message", "{% $run")),
    "an expression without its beginning": ("expression-braces", put(MAIL, "Arguments.Message", "$run %}")),
    "the forgotten braces of a variable": ("forgotten-braces", put(MAIL, "Arguments.Message", "$run")),
    "the forgotten braces of $states": ("forgotten-braces", put("Done", "Output", "$states.input.job")),
    "$eval": ("expression-function", put("Settings", "Assign.run", e("$eval('1')"))),
    "a function of another library": (
        "expression-function",
        put("Settings", "Assign.run", e("$toLower($states.context.Execution.Name)")),
    ),
    "a misspelt function": ("expression-function", put(MAIL, "Arguments.Message", e("$lenght($run)"))),
    "the input as $": ("expression-syntax", put("Settings", "Assign.run", e("$.data"))),
    "the item of $map as $": (
        "expression-syntax",
        put("Announce results", "Arguments.Message", e("$string($map($models, $.name))")),
    ),
    "the root as $$": ("expression-syntax", put("Settings", "Assign.run", e("$$.data"))),
    "a function with too few arguments": ("expression-fails", put(MAIL, "Arguments.Message", e("$substring($run)"))),
    "a text plus a number": ("expression-fails", put(MAIL, "Arguments.Message", e("$string($run + 1)"))),
    "$merge of texts": ("expression-fails", put("Mark", "Assign.mark", e("$merge([$run])"))),
    "a variable called as a function": ("expression-fails", put("Mark", "Assign.mark", e("$run(1)"))),
    # Of JSONata: $states
    "$states.result in a Choice": ("states-part", put(JUDGE, RULE, e("$states.result.mae < 5"))),
    "$states.result in Arguments": ("states-part", put(MAIL, "Arguments.Message", e("$string($states.result)"))),
    "$states.result in a Pass": ("states-part", put("Mark", "Output", e("$states.result"))),
    "$states.result in a Catch": ("states-part", put(TRAIN, "Catch.0.Assign", {"failure": e("$states.result")})),
    "$states.result in Items": ("states-part", put("Look at each", "Items", e("$states.result"))),
    "$states.errorOutput in Output": ("states-part", put(PREPARE, "Output", e("$states.errorOutput"))),
    "$states.errorOutput after the Catch": (
        "states-part",
        put("Prepare failed", "Output", e("$states.errorOutput")),
    ),
    "$states.error": ("states-part", put(TRAIN, "Catch.0.Assign", {"failure": e("$states.error")})),
    "$states.errorOutput with a misspelt key": (
        "expression-undefined",
        put(TRAIN, "Catch.0.Assign", {"failure": e("$states.errorOutput.Eror")}),
    ),
    "a Cause that a timeout does not have": (
        "expression-undefined",
        put(TRAIN, "Catch.0.Assign", {"failure": e("$states.errorOutput.Cause")}),
    ),
    "the whole of an answer as a text": ("parameter-type", put(SCORE, "Arguments.Key", e("$job"))),
    # Of JSONata: variables
    "an undefined variable": ("variable-undefined", put(MAIL, "Arguments.Message", e("$runn"))),
    "a variable that a later state assigns": ("variable-unassigned", late),
    "a variable that its own state assigns": ("variable-unassigned", put("Mark", "Output", e("$mark"))),
    "a variable that only a Catch assigns": ("variable-unassigned", one_way),
    "a variable of a branch, read outside": (
        "variable-inside",
        put("Announce results", "Arguments.Message", e("$string($score)")),
    ),
    "a variable of a Map, read outside": (
        "variable-inside",
        both(put("Look", "Assign", {"seen": True}), put("Announce results", "Arguments.Message", e("$string($seen)"))),
    ),
    "a variable of the sibling branch": (
        "variable-inside",
        both(put(TRAIN, "Assign.own", 1), put("Train hats", "Arguments.HyperParameters.own", e("$own"))),
    ),
    "an outer name assigned in a branch": ("variable-outer", put(TRAIN, "Assign.threshold", 5)),
    "an outer name assigned in a Map": ("variable-outer", put("Look", "Assign", {"run": "x"})),
    "an outer name assigned by a branch's Catch": ("variable-outer", put(TRAIN, "Catch.0.Assign", {"models": []})),
    "a variable out of a Distributed Map": (
        "variable-distributed",
        both(distributed, put("Look", "Output.run", e("$run"))),
    ),
    "a variable named like $states": ("variable-name", put("Settings", "Assign.states", 1)),
    "a variable with a dash": ("variable-name", put("Settings", "Assign.my-run", 1)),
    "a variable that begins with a digit": ("variable-name", put("Settings", "Assign.1st", 1)),
    "a variable of 81 characters": ("variable-name", put("Settings", "Assign." + "v" * 81, 1)),
    "a variable over 256 KiB": ("payload-size", put("Settings", "Assign.big", e("$pad('', 300000, 'x')"))),
    "variables over 256 KiB in one Assign": (
        "payload-size",
        both(*(put("Settings", f"Assign.{name}", e("$pad('', 200000, 'x')")) for name in ("big", "more"))),
    ),
    # Of JSONata: values
    "Arguments that are a list": ("field-type", put(MAIL, "Arguments", [])),
    "Arguments that become a text": ("parameter-type", put(MAIL, "Arguments", e("$run"))),
    "Arguments whose parts are misspelt in an expression": ("parameter-unknown", whole("{'HyperParametres': {}}")),
    "an enum that an expression breaks": (
        "parameter-enum",
        whole("{'ResourceConfig': {'InstanceCount': 1, 'InstanceType': 'ml.' & 'm5', 'VolumeSizeInGB': 1}}"),
    ),
    "an environment over its limit from an expression": (
        "parameter-length",
        whole("{'Environment': {'LONG': $pad('', 513, 'x')}}"),
    ),
    "Items that are a number": ("field-type", put("Look at each", "Items", e("5"))),
    "an undefined Output": ("expression-undefined", put(PREPARE, "Output", e("$states.result.Nothing"))),
    "an undefined Output of a branch": ("expression-undefined", put("Accept boots", "Output", e("$score.rmse"))),
    "an undefined field deep in Output": ("expression-undefined", put("Accept boots", "Output.rmse", e("$score.rmse"))),
    "a score that is no number, shown with $round": (
        "expression-fails",
        put("Read score of boots", "Assign.shown", e("$round($parse($states.result.Body).mae, 2)")),
    ),
    "a condition that is a number": ("field-type", put(JUDGE, RULE, e("$count([1])"))),
    "a condition that is a text": ("field-type", put(JUDGE, RULE, "true")),
    "a timeout that is a text": ("field-type", put(PREPARE, "TimeoutSeconds", e("'60'"))),
    "seconds that are a text": (
        "field-type",
        both(
            put("Wait a little", "Seconds", e("$run")),
            put("Mark", "Next", "Wait a little"),
            put("Wait a little", "Next", "Announce start"),
        ),
    ),
    "an Error that is an object": ("field-type", put("Failed", "Error", e("$failed"))),
    "an Assign that is a list": ("field-type", put("Mark", "Assign", [])),
    "a Catch with a ResultPath": ("jsonpath", put(PREPARE, "Catch.0.ResultPath", "$.failure")),
    "a state in JSONPath": ("field-enum", put("Mark", "QueryLanguage", "JSONPath")),
    "ItemsPath": ("jsonpath", put("Look at each", "ItemsPath", "$.models")),
    "a rule with a Variable": ("jsonpath", put(JUDGE, "Choices.0.Variable", "$.x")),
    "a job of the same name at a second visit": (
        "job-name-again",
        both(put(PREPARE, "Catch.0.Next", "Prepare again"), again),
    ),
    "a subject that a long run's name makes too long": (
        "subject-length",
        put(MAIL, "Arguments.Subject", e("'the shop, started: ' & $run & '.'")),
    ),
}


OF_THE_MACHINE = {"target", "field-missing", "field-unknown", "field-enum", "not-json", "definition-size", "events"}
OF_NO_FIELD = {"unreachable", "endless", "duplicate-name", "state-name", "not-json", "definition-size", "events"}
FIELD = re.compile(r"[A-Z][A-Za-z]+(\[\d+\])?[.: ]|exactly one of ")


@pytest.mark.parametrize(("code", "mutate"), MUTANTS.values(), ids=MUTANTS.keys())
def test_a_mistake_is_named(code: str, mutate: Mutate) -> None:
    mutant = copy.deepcopy(GOOD)
    mutate(mutant)
    assert repr(mutant) != repr(GOOD)
    found = findings(mutant)
    named = [finding for finding in found if finding.code == code]
    assert named, found
    assert all(finding.state or finding.code in OF_THE_MACHINE for finding in found)
    assert all(code in OF_NO_FIELD or FIELD.match(finding.message) for finding in named), found
    assert all(finding.message[0] != " " and "\n" not in finding.message for finding in found)


def test_the_mutants_are_of_many_kinds() -> None:
    assert len({code for code, _ in MUTANTS.values()}) >= 50
    assert findings(copy.deepcopy(GOOD)) == []
