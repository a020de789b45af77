"""One mistake at a time in a good definition, and the self-check names each.

A mutant is a function that changes the definition in place; beside it stands the finding's code that it must lead to.
"""

from __future__ import annotations

import copy
import json
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
SCORE, RULE = "Read score of boots", "Choices.0.And.0"
NAME = "Parameters.TrainingJobName/$"
INPUT, OUTPUT = GOOD["States"][PREPARE]["Parameters"]["ProcessingInputs"][0], {"S3Uri": "s3://a/b"}
RETRY = {"ErrorEquals": ["X.Y"], "MaxAttempts": 2}
ALL = {"ErrorEquals": ["States.ALL"], "Next": "Prepare failed"}
COUNTS = "$$.State.RetryCount, $$.Execution.RedriveCount"

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
    "the same name in two branches": ("duplicate-name", twin),
    "the name of a state outside, in a branch": ("duplicate-name", rename("Accept boots", "Done")),
    "a name of 81 characters": ("state-name", rename("Mark", "M" * 81)),
    # Form
    "no Type": ("state-type", drop("Mark", "Type")),
    "an unknown Type": ("state-type", put("Mark", "Type", "Psas")),
    "no States": ("missing-field", drop("", "States")),
    "no StartAt": ("missing-field", drop("", "StartAt")),
    "a Task without Resource": ("missing-field", drop(MAIL, "Resource")),
    "a Wait without time": ("missing-field", drop("Wait a little", "Seconds")),
    "a Map without processor": ("missing-field", drop("Look at each", "ItemProcessor")),
    "neither Next nor End": ("next-or-end", drop("Mark", "Next")),
    "both Next and End": ("next-or-end", put("Mark", "End", True)),
    "End is text": ("field-type", put("Accept boots", "End", "true")),
    "a misspelt field": ("unknown-field", put(MAIL, "ResultPaht", None)),
    "a misspelt field of the machine": ("unknown-field", put("", "TimeoutSecond", 60)),
    "Retry at a Pass": ("misplaced-field", put("Mark", "Retry", [RETRY])),
    "Parameters at a Choice": ("misplaced-field", put(JUDGE, "Parameters", {})),
    "Next at a Choice": ("misplaced-field", put(JUDGE, "Next", "Accept boots")),
    "JSONata": ("query-language", put("", "QueryLanguage", "JSONata")),
    "Arguments of JSONata": ("query-language", put(MAIL, "Arguments", {})),
    "no timeout of the machine": ("machine-timeout", drop("", "TimeoutSeconds")),
    "a Task without timeout": ("task-timeout", drop(TRAIN, "TimeoutSeconds")),
    "a timeout of 0": ("field-type", put(TRAIN, "TimeoutSeconds", 0)),
    "a timeout as text": ("field-type", put(TRAIN, "TimeoutSeconds", "60")),
    "a heartbeat longer than the timeout": ("field-type", put(TRAIN, "HeartbeatSeconds", 99999)),
    "a Task without Catch": ("no-catch", drop(TRAIN, "Catch")),
    "a Parallel without Catch": ("no-catch", drop("Train", "Catch")),
    "a Map without Catch": ("no-catch", drop("Look at each", "Catch")),
    "a Catch of some errors only": ("no-catch", put(TRAIN, "Catch.0.ErrorEquals", ["States.TaskFailed"])),
    "a Fail with Error and ErrorPath": ("one-of", put("Failed", "Error", "Failed")),
    "a Fail with Cause and CausePath": ("one-of", put("Failed", "Cause", "Failed")),
    "a Wait with two times": ("one-of", put("Wait a little", "SecondsPath", "$.x")),
    # Retry and Catch
    "an empty ErrorEquals": ("retry", put(PREPARE, "Retry.0.ErrorEquals", [])),
    "a Catch without ErrorEquals": ("catch", drop(PREPARE, "Catch.0.ErrorEquals")),
    "States.ALL beside others": ("states-all-alone", put(PREPARE, "Catch.0.ErrorEquals", ["States.ALL", "X.Y"])),
    "a retrier after States.ALL": ("states-all-last", put(PREPARE, "Retry", [{"ErrorEquals": ["States.ALL"]}, RETRY])),
    "a catcher after States.ALL": ("states-all-last", put(PREPARE, "Catch", [ALL, {**ALL, "ErrorEquals": ["X.Y"]}])),
    "an unknown States error": ("error-name", put(PREPARE, "Retry.1.ErrorEquals", ["States.TaskFail"])),
    "a retry of States.Runtime": ("retry-final", put(PREPARE, "Retry.1.ErrorEquals", ["States.Runtime"])),
    "a retry of too much data": ("retry-final", put(PREPARE, "Retry.1.ErrorEquals", ["States.DataLimitExceeded"])),
    "an error retried twice": ("retry-repeated", put(PREPARE, "Retry", [RETRY, RETRY])),
    "a retrier behind States.TaskFailed": (
        "retry-repeated",
        put(PREPARE, "Retry", [{"ErrorEquals": ["States.TaskFailed"]}, RETRY]),
    ),
    "negative MaxAttempts": ("retry", put(PREPARE, "Retry.0.MaxAttempts", -1)),
    "an interval of 0": ("retry", put(PREPARE, "Retry.0.IntervalSeconds", 0)),
    "a backoff below 1": ("retry", put(PREPARE, "Retry.0.BackoffRate", 0.5)),
    "an unknown jitter": ("retry", put(PREPARE, "Retry.0.JitterStrategy", "full")),
    "a ceiling below the interval": ("retry", put(PREPARE, "Retry.0.MaxDelaySeconds", 100)),
    "a ceiling over the limit": ("retry", put(PREPARE, "Retry.0.MaxDelaySeconds", 31_622_401)),
    "a misspelt field of Retry": ("unknown-field", put(PREPARE, "Retry.0.MaxAttemps", 3)),
    "a misspelt field of Catch": ("unknown-field", put(PREPARE, "Catch.0.ResultPaht", "$.x")),
    # Choice
    "no Default": ("no-default", drop(JUDGE, "Default")),
    "no rule": ("field-type", put(JUDGE, "Choices", [])),
    "a misspelt comparison": ("choice-operator", put(JUDGE, f"{RULE}.IsNumber", True)),
    "two comparisons in one rule": ("choice-rule", put(JUDGE, f"{RULE}.IsNull", False)),
    "a number compared with text": ("choice-operand", put(JUDGE, "Choices.0.And.2.Not.NumericLessThan", "0")),
    "IsNumeric with text": ("choice-operand", put(JUDGE, f"{RULE}.IsNumeric", "true")),
    "a time that is none": ("choice-operand", put("Is it late?", "Choices.0.TimestampGreaterThan", "tomorrow")),
    "a path operand that is none": ("choice-operand", put(JUDGE, "Choices.0.And.1.NumericLessThanEqualsPath", "x")),
    "Next inside of And": ("choice-rule", put(JUDGE, f"{RULE}.Next", "Accept boots")),
    "a rule without Next": ("choice-rule", drop(JUDGE, "Choices.0.Next")),
    "a rule without Variable": ("choice-rule", drop(JUDGE, f"{RULE}.Variable")),
    "an empty And": ("choice-rule", put(JUDGE, "Choices.0.And", [])),
    "a Variable that is no path": ("jsonpath", put(JUDGE, f"{RULE}.Variable", "score.mae")),
    "a Variable that means many": ("reference-path", put(JUDGE, f"{RULE}.Variable", "$.score[*].mae")),
    # Paths, templates and data
    "a path with a stray dot": ("jsonpath", put("Settings", "Parameters.input/$", "$.")),
    "a value for .$ that is no path": ("jsonpath", put("Settings", "Parameters.input/$", "input")),
    "a number for .$": ("template-value", put("Settings", "Parameters.input/$", 1)),
    "a forgotten .$": ("forgotten-dollar", put("Settings", "Parameters.threshold", "$.threshold")),
    "a forgotten .$ in a list": ("forgotten-dollar", put("Settings", "Parameters.extra.list.0", "$.x")),
    "a forgotten .$ at an intrinsic": ("forgotten-dollar", put("Settings", "Parameters.extra.note", "States.UUID()")),
    "a key with and without .$": ("template-key", put("Settings", "Parameters.threshold/$", "$.threshold")),
    "a template in Result": ("result-template", put("Mark", "Result", {"kind.$": "$.kind"})),
    "NaN": ("not-json", put("Settings", "Parameters.threshold", float("nan"))),
    "an unknown intrinsic": ("intrinsic", put("Settings", "Parameters.run/$", "States.Concat('a', 'b')")),
    "a placeholder without value": ("intrinsic", put(MAIL, "Parameters.Subject/$", "States.Format('{} {}', $.id)")),
    "an unescaped quote": ("intrinsic", put(MAIL, "Parameters.Subject/$", "States.Format('it's {}', $.id)")),
    "an intrinsic left open": ("intrinsic", put(MAIL, "Parameters.Subject/$", "States.Format('{}', $.id")),
    "an object in States.Format": ("intrinsic-value", put(MAIL, "Parameters.Message/$", "States.Format('{}', $.mark)")),
    "JSON that is none": ("intrinsic-value", put("Settings", "Parameters.run/$", r"States.StringToJson('\{a\}')")),
    "a ResultPath with a wildcard": ("reference-path", put("Mark", "ResultPath", "$.mark[*]")),
    "a ResultPath into the context": ("reference-path", put("Mark", "ResultPath", "$$.Execution.Input")),
    "a ResultPath of Catch with a filter": ("reference-path", put(PREPARE, "Catch.0.ResultPath", "$.x[?(@.y)]")),
    "a misspelt context path": ("context-path", put("Settings", "Parameters.run/$", "$$.Execution.Nmae")),
    "a context that there is not": ("context-path", put("Settings", "Parameters.run/$", "$$.Executions.Name")),
    "a task token without waiting": ("context-path", put(SCORE, "Parameters.Key/$", "$$.Task.Token")),
    "an item outside of a Map": ("context-path", put("Settings", "Parameters.run/$", "$$.Map.Item.Value")),
    "a misspelt path into the data": ("data-path", put("Announce results", "Parameters.Message/$", "$.modles")),
    "a path to what a Parallel did not pass on": ("data-path", put("Accept boots", "Parameters.uri/$", "$.input.uri")),
    "an entry that the branches do not have": (
        "data-path",
        put("Is it late?", "Choices.1.Or.0.Variable", "$.models[2].x"),
    ),
    "a key that no branch gives": ("data-path", put("Is it late?", "Choices.1.Or.0.Variable", "$.models[0].veredict")),
    "an answer's misspelt key": ("data-path", put(TRAIN, "ResultSelector.name/$", "$.TrainingJobNam")),
    "a result that was thrown away": ("data-path", put(PREPARE, "Catch.0.ResultPath", None)),
    "a result put elsewhere": ("data-path", put("Train", "ResultPath", "$.trained")),
    "a result that replaces everything": ("data-path", drop(MAIL, "ResultPath")),
    "an InputPath to nothing": ("data-path", put("Done", "InputPath", "$.model")),
    "an ItemsPath to nothing": ("data-path", put("Look at each", "ItemsPath", "$.modelz")),
    "an ErrorPath to nothing": ("data-path", put("Failed", "ErrorPath", "$.failed.Eror")),
    # Tasks
    "a Resource that is none": ("resource", put(MAIL, "Resource", "sns:publish")),
    "a misspelt action": ("resource", put(MAIL, "Resource", "arn:aws:states:::sns:publsh")),
    "a misspelt action of the SDK": ("resource", put(SCORE, "Resource", "arn:aws:states:::aws-sdk:s3:getObjekt")),
    "a service that there is not": ("resource", put(SCORE, "Resource", "arn:aws:states:::aws-sdk:s33:getObject")),
    "an action with a capital": ("resource", put(SCORE, "Resource", "arn:aws:states:::aws-sdk:s3:GetObject")),
    "a mail that waits for its end": ("resource", put(MAIL, "Resource", "arn:aws:states:::sns:publish.sync")),
    "a job that nothing waits for": (
        "not-awaited",
        put(PREPARE, "Resource", "arn:aws:states:::sagemaker:createProcessingJob"),
    ),
    "another partition": ("partition", put(MAIL, "Resource", "arn:aws-cn:states:::sns:publish")),
    "a misspelt parameter": ("parameter-unknown", put(TRAIN, "Parameters.HyperParameter", {})),
    "a misspelt parameter deep inside": (
        "parameter-unknown",
        put(TRAIN, "Parameters.ResourceConfig.VolumeSizeInGb", 1),
    ),
    "a parameter is missing": ("parameter-missing", drop(TRAIN, "Parameters.RoleArn")),
    "a parameter is missing deep inside": (
        "parameter-missing",
        drop(PREPARE, "Parameters.ProcessingInputs.0.InputName"),
    ),
    "no Parameters": ("parameter-missing", put(MAIL, "Parameters", {})),
    "a null name": ("parameter-null", put(PREPARE, "Parameters.ProcessingInputs.0.InputName", None)),
    "a number as text": ("parameter-type", put(TRAIN, "Parameters.ResourceConfig.InstanceCount", "1")),
    "a hyperparameter that is a number": ("parameter-type", put(TRAIN, "Parameters.HyperParameters.depth", 6)),
    "a count where text is wanted": ("parameter-type", put(SCORE, "Parameters.Key/$", "$$.State.RetryCount")),
    "an unknown instance type": (
        "parameter-enum",
        put(TRAIN, "Parameters.ResourceConfig.InstanceType", "ml.m5.2xlrge"),
    ),
    "an unknown input mode": (
        "parameter-enum",
        put(TRAIN, "Parameters.AlgorithmSpecification.TrainingInputMode", "file"),
    ),
    "no instance": ("parameter-range", put(TRAIN, "Parameters.ResourceConfig.InstanceCount", -1)),
    "a role that is no ARN": (
        "parameter-pattern",
        put(TRAIN, "Parameters.RoleArn", "the-role-of-the-jobs-in-this-account"),
    ),
    "an output that is no S3 address": (
        "parameter-pattern",
        put(TRAIN, "Parameters.OutputDataConfig.S3OutputPath/$", "$.id"),
    ),
    "an environment key with a dash": ("parameter-pattern", put(TRAIN, "Parameters.Environment.MY-KEY", "1")),
    "an argument of 257 characters": (
        "parameter-length",
        put(PREPARE, "Parameters.AppSpecification.ContainerArguments.0", "x" * 257),
    ),
    "11 inputs": ("parameter-length", put(PREPARE, "Parameters.ProcessingInputs", many(11, "InputName", INPUT))),
    "21 channels": (
        "parameter-length",
        put(
            TRAIN,
            "Parameters.InputDataConfig",
            many(21, "ChannelName", {"DataSource": {"S3DataSource": {**OUTPUT, "S3DataType": "S3Prefix"}}}),
        ),
    ),
    "a job name that gets too long": (
        "parameter-length",
        put(TRAIN, NAME, f"States.Format('{'x' * 50}-{{}}-{{}}-{{}}', $.id, {COUNTS})"),
    ),
    "a job name with an underscore": (
        "parameter-pattern",
        put(TRAIN, NAME, f"States.Format('my_job-{{}}-{{}}-{{}}', $.id, {COUNTS})"),
    ),
    "a fixed job name": ("job-name-fixed", both(drop(TRAIN, NAME), put(TRAIN, "Parameters.TrainingJobName", "boots"))),
    "a job name without the retry": (
        "job-name-retry",
        put(TRAIN, NAME, "States.Format('b-{}-{}', $.id, $$.Execution.RedriveCount)"),
    ),
    "a job name without the redrive": (
        "job-name-redrive",
        put(TRAIN, NAME, "States.Format('b-{}-{}', $.id, $$.State.RetryCount)"),
    ),
    "a job name without the run": ("job-name-execution", put(TRAIN, NAME, f"States.Format('b-{{}}-{{}}', {COUNTS})")),
    "a job name from the data": ("job-name-retry", put(TRAIN, NAME, "$.run")),
    "one job name in two branches": (
        "job-name-shared",
        put(TRAIN, NAME, f"States.Format('shop-train-hats-{{}}-{{}}-{{}}', $.id, {COUNTS})"),
    ),
    "two channels of one name": ("job-part-name", put(TRAIN, "Parameters.InputDataConfig.1.ChannelName", "train")),
    "two inputs of one name": ("job-part-name", put(PREPARE, "Parameters.ProcessingInputs.1.InputName", "raw")),
    "an input outside of the container's folder": (
        "job-path",
        put(PREPARE, "Parameters.ProcessingInputs.0.S3Input.LocalPath", "/data"),
    ),
    "an environment value of 257 characters": (
        "environment-value",
        put(TRAIN, "Parameters.Environment.MODEL", "x" * 257),
    ),
    "spot without waiting time": ("spot", drop(TRAIN, "Parameters.StoppingCondition.MaxWaitTimeInSeconds")),
    "waiting time without spot": ("spot", drop(TRAIN, "Parameters.EnableManagedSpotTraining")),
    "a subject of 100 characters": (
        "subject-length",
        put(MAIL, "Parameters.Subject/$", f"States.Format('{'x' * 88}{{}}', $.id)"),
    ),
    "a subject of two lines": ("subject-text", put(MAIL, "Parameters.Subject/$", "States.Format('a\n{}', $.id)")),
    "a subject that is not ASCII": (
        "subject-text",
        put(MAIL, "Parameters.Subject/$", "States.Format('caf\u00e9 {}', $.id)"),
    ),
    "a placeholder that nothing fills in": ("placeholder", put(MAIL, "Parameters.TopicArn", "${Topic}")),
    "an image's placeholder with another name": (
        "placeholder",
        put(TRAIN, "Parameters.AlgorithmSpecification.TrainingImage", "host/image@${TrainDigest}"),
    ),
    # Sizes
    "a definition over 1 MiB": ("definition-size", put("Mark", "Comment", "x" * 1024 * 1024)),
    "a history that runs full": ("events", put(PREPARE, "Retry.0.MaxAttempts", 9000)),
    "data over 256 KiB": ("payload-size", put("Mark", "Result", "x" * 256 * 1024)),
}


@pytest.mark.parametrize(("code", "mutate"), MUTANTS.values(), ids=MUTANTS.keys())
def test_a_mistake_is_named(code: str, mutate: Mutate) -> None:
    mutant = copy.deepcopy(GOOD)
    mutate(mutant)
    assert repr(mutant) != repr(GOOD)
    found = findings(mutant)
    assert code in {finding.code for finding in found}, found
    assert all(finding.message[0] != " " and "\n" not in finding.message for finding in found)


def test_the_mutants_are_of_many_kinds() -> None:
    assert len({code for code, _ in MUTANTS.values()}) >= 60
    assert findings(copy.deepcopy(GOOD)) == []
