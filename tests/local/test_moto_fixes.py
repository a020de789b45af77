"""Each fix of moto, with what AWS does. Without the fix moto does otherwise: when that test fails, drop the fix."""

from __future__ import annotations

import copy
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from jsonata_checks import CHECKS as CHECKS_OF_JSONATA
from local_aws import ACCOUNT, MINUTES, make_bucket, may_do_everything, settings, until

from localaws import moto_fixes
from localaws.moto_fixes import (  # noqa: F401 - each adds its own
    distributed,
    executions,
    failed_evaluation,
    jsonata,
    language,
    services,
    tidiness,
)
from localaws.server.aws import LocalAws

ROLE = f"arn:aws:iam::{ACCOUNT}:role/job"
Told = dict[str, Any]


class Interpreter:
    def __init__(self, aws: LocalAws, patience: float = MINUTES) -> None:
        self.aws, self.patience = aws, patience
        self.api = aws.client("stepfunctions")
        self._count = 0

    def machine(self, states: Any, **more: Any) -> str:
        self._count += 1
        machine = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **more}
        definition = json.dumps(machine)
        made = self.api.create_state_machine(name=f"m{self._count}", definition=definition, roleArn=ROLE)
        return str(made["stateMachineArn"])

    def start(self, states: Any, given: Any = None, **more: Any) -> str:
        machine = self.machine(states, **more)
        return str(
            self.api.start_execution(stateMachineArn=machine, name="x", input=json.dumps(given or {}))["executionArn"]
        )

    def ended(self, arn: str) -> Told:
        def told() -> Any:
            told = self.api.describe_execution(executionArn=arn)
            return told["status"] != "RUNNING" and told

        return dict(until(told, self.patience))

    def api_topic(self) -> str:
        return str(self.aws.client("sns").create_topic(Name="topic")["TopicArn"])

    def run(self, states: Any, given: Any = None, **more: Any) -> Told:
        return self.ended(self.start(states, given, **more))

    def output(self, states: Any, given: Any = None) -> Any:
        told = self.run(states, given)
        assert told["status"] == "SUCCEEDED", told
        return json.loads(told["output"])


def a_pass(**output: Any) -> Any:
    return {"P": {"Type": "Pass", "Output": output, "End": True}}


def task(resource: str, **fields: Any) -> Any:
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "End": True, **fields}


def failing(error: str) -> Any:
    return {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": error, "Cause": "c"}}}


WRONG = (AssertionError, pytest.fail.Exception)  # how a check fails; whatever else it raises is a mistake of its own
CAUGHT = {"Type": "Pass", "Output": "caught", "End": True}
CHECKS: dict[str, Callable[[Interpreter], None]] = {**CHECKS_OF_JSONATA}


def check(function: Callable[[Interpreter], None]) -> Callable[[Interpreter], None]:
    CHECKS[function.__name__] = function
    return function


@check
def errors_of_states_pass_through_branches(asl: Interpreter) -> None:
    catch = [{"ErrorEquals": ["States.Timeout"], "Next": "P"}]
    parallel = {"Type": "Parallel", "Branches": [failing("States.Timeout")], "Catch": catch, "End": True}
    assert asl.output({"S": parallel, "P": CAUGHT}) == "caught"
    a_map = {"Type": "Map", "Items": [1], "ItemProcessor": failing("States.Timeout"), "Catch": catch, "End": True}
    assert asl.output({"S": a_map, "P": CAUGHT}) == "caught"
    told = asl.run({"F": {"Type": "Fail", "Error": "{% $states.input.e %}", "Cause": "c"}}, {"e": "States.TaskFailed"})
    assert (told["error"], told["cause"]) == ("States.TaskFailed", "c")


@check
def a_distributed_map_runs_child_executions(asl: Interpreter) -> None:
    item = {"P": {"Type": "Pass", "Output": "{% $states.context.Execution.Name %}", "End": True}}
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    processor = {"ProcessorConfig": config, "StartAt": "P", "States": item}
    a_map = {"Type": "Map", "Items": [1, 2], "ItemBatcher": {"MaxItemsPerBatch": 1}, "ItemProcessor": processor}
    try:
        names = asl.output({"M": {**a_map, "End": True}})
    except ClientError as refused:
        pytest.fail(str(refused))
    assert len({"x", *names}) == 3


@check
def wildcards_match_what_they_match_on_aws(asl: Interpreter) -> None:
    def caught(error: str, by: str) -> bool:
        parallel = {"Type": "Parallel", "Branches": [failing(error)], "Catch": [{"ErrorEquals": [by], "Next": "P"}]}
        return bool(asl.run({"S": {**parallel, "End": True}, "P": CAUGHT})["status"] == "SUCCEEDED")

    assert caught("Mine", "States.TaskFailed") and caught("States.Permissions", "States.TaskFailed")
    assert caught("States.Timeout", "States.ALL") and not caught("States.Timeout", "States.TaskFailed")
    assert not caught("States.Runtime", "States.ALL") and not caught("States.DataLimitExceeded", "States.ALL")


@check
def services_have_their_names_in_errors(asl: Interpreter) -> None:
    told = asl.run({"T": task("aws-sdk:s3:getObject", Arguments={"Bucket": "data", "Key": "nothing"})})
    assert told["error"] == "S3.NoSuchKeyException"


@check
def services_are_found_by_the_names_in_their_arns(asl: Interpreter) -> None:
    arguments = {"ServiceNamespace": "sagemaker"}
    listed = asl.output({"T": task("aws-sdk:applicationautoscaling:describeScalableTargets", Arguments=arguments)})
    assert listed == {"ScalableTargets": []}


@check
def a_stopped_execution_stays_stopped(asl: Interpreter) -> None:
    asl.aws.client("s3").put_object(Bucket="data", Key="do.py", Body=b"import time; time.sleep(600)")
    place = {"LocalPath": "/opt/ml/processing/input/do", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    arguments = {
        "ProcessingJobName": "hangs",
        "RoleArn": ROLE,
        "ProcessingInputs": [{"InputName": "do", "S3Input": {"S3Uri": "s3://data/do.py", **place}}],
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "AppSpecification": {"ImageUri": "i", "ContainerEntrypoint": ["python3", "/opt/program/act.py"]},
    }
    arn = asl.start({"J": task("sagemaker:createProcessingJob.sync", Arguments=arguments)})
    until(lambda: asl.aws.sagemaker.jobs())
    asl.api.stop_execution(executionArn=arn)
    assert asl.ended(arn)["status"] == "ABORTED"


@check
def contents_go_in_and_out_as_text(asl: Interpreter) -> None:
    body = "{% $states.input.b %}"
    write = task("aws-sdk:s3:putObject", Arguments={"Bucket": "data", "Key": "k", "Body": body}, Next="R")
    del write["End"]
    read = task("aws-sdk:s3:getObject", Arguments={"Bucket": "data", "Key": "k"})
    told = asl.output({"W": write, "R": read}, {"b": [{"ü": 1}]})
    assert json.loads(told["Body"]) == [{"ü": 1}]
    assert isinstance(told["LastModified"], str)


@check
def a_task_starts_executions(asl: Interpreter) -> None:
    given = {"StateMachineArn": asl.machine(a_pass()), "Name": "y", "Input": {"data": [1]}}
    arn = asl.output({"T": task("states:startExecution", Arguments=given)})["ExecutionArn"]
    assert arn.endswith(":y") and json.loads(asl.ended(arn)["input"]) == {"data": [1]}


@check
def logs_are_found_by_their_streams_prefix(asl: Interpreter) -> None:
    for job in ("a-1", "a-2", "b-1"):
        asl.aws.logs.stream("training", job, 0)(f"said by {job}")
    logs, group = asl.aws.client("logs"), "/aws/sagemaker/TrainingJobs"
    for prefix, said in (("a-", ["said by a-1", "said by a-2"]), ("b-1/", ["said by b-1"]), ("c", [])):
        found = logs.filter_log_events(logGroupName=group, logStreamNamePrefix=prefix)["events"]
        assert sorted(event["message"] for event in found) == said


@check
def keys_of_versions_are_encoded(asl: Interpreter) -> None:
    s3, key = asl.aws.client("s3"), "a b/\x1b[31mred+ü"
    s3.put_object(Bucket="data", Key=key, Body=b"")
    try:
        found = s3.list_object_versions(Bucket="data", Prefix="a b/")
    except ClientError as error:
        pytest.fail(str(error))
    assert (found["Prefix"], [one["Key"] for one in found["Versions"]]) == ("a b/", [key])


@check
def bucket_policies_deny_by_their_conditions(asl: Interpreter) -> None:
    s3 = asl.aws.client("s3")
    everything = {"Principal": {"AWS": "*"}, "Action": "s3:*", "Resource": "arn:aws:s3:::data/*"}

    def denies(**more: Any) -> bool:
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", **everything, **more}]}
        s3.put_bucket_policy(Bucket="data", Policy=json.dumps(policy))
        try:
            s3.put_object(Bucket="data", Key="k", Body=b"")
        except ClientError as refused:
            return refused.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        return False

    assert not denies(Condition={"Bool": {"aws:SecureTransport": "false"}})
    assert denies()
    s3.delete_bucket_policy(Bucket="data")


@check
def unsupported_calls_are_answered(asl: Interpreter) -> None:
    with pytest.raises(ClientError) as raised:
        asl.aws.client("service-quotas").list_service_quotas(ServiceCode="sagemaker")
    assert raised.value.response["Error"]["Code"] == "NotImplemented"


@check
def a_history_is_read_in_pages_and_from_its_end(asl: Interpreter) -> None:
    arn = asl.start(a_pass(a=1))
    asl.ended(arn)
    kinds = [event["type"] for event in asl.api.get_execution_history(executionArn=arn)["events"]]
    assert kinds[0] == "ExecutionStarted" and len(kinds) == 4
    latest = asl.api.get_execution_history(executionArn=arn, reverseOrder=True, maxResults=1)
    assert [event["type"] for event in latest["events"]] == [kinds[-1]] == ["ExecutionSucceeded"]
    paged = asl.api.get_paginator("get_execution_history").paginate(
        executionArn=arn, reverseOrder=True, PaginationConfig={"PageSize": 3}
    )
    assert [[event["type"] for event in page["events"]] for page in paged] == [kinds[:0:-1], kinds[:1]]


@check
def a_service_is_known_by_its_folder(asl: Interpreter) -> None:
    from botocore.loaders import Loader

    looked: list[str] = []
    loader = Loader()
    loader.file_loader.exists = looked.append
    assert {"s3", "sagemaker"} <= set(loader.list_available_services("service-2"))
    assert looked == []


@check
def models_of_services_are_read_once(asl: Interpreter) -> None:
    from botocore.loaders import JSONFileLoader
    from moto.core import base_backend, utils

    from localaws.base.clients import models

    known = [models().load_data("endpoints"), models().load_service_model("logs", "service-2")]
    with mock.patch.object(JSONFileLoader, "load_file") as read:
        assert utils._load_service_model("logs", "service-2") is known[1]
        assert "eu-west-1" in base_backend.AccountSpecificBackend.get_session().get_available_regions("logs")
    assert not read.called
    assert "MessageSystemAttributeMap" in utils._load_service_model("sqs", "service-2")["shapes"]


@check
def routes_build_no_addresses_ahead(asl: Interpreter) -> None:
    from werkzeug.routing import Map, Rule

    with mock.patch.object(Rule, "_get_func_code", wraps=Rule._get_func_code) as compiled:
        routes = Map([Rule("/a/<name>", endpoint="a")])
    assert not compiled.called
    assert routes.bind("host").match("/a/b") == ("a", {"name": "b"})
    assert routes.bind("host").build("a", {"name": "b", "c": 1}) == "/a/b?c=1"


@check
def deleted_objects_are_freed(asl: Interpreter) -> None:
    from moto.s3.models import FakeAcl

    asl.aws.client("s3").put_object(Bucket="data", Key="listed", Body=b"")
    assert FakeAcl.instances_tracked == []


@check
def waits_are_scaled_and_end_with_the_execution(asl: Interpreter) -> None:
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 3600, "MaxAttempts": 2}]
    parallel = {"Type": "Parallel", "Branches": [failing("Mine")], "Retry": retry, "End": True}
    assert asl.run({"S": parallel})["error"] == "Mine"
    assert asl.output({"W": {"Type": "Wait", "Seconds": 3600, "Next": "P"}, "P": CAUGHT}) == "caught"


@check
def a_timed_out_execution_is_over(asl: Interpreter) -> None:
    from moto.stepfunctions.parser.asl.component.state.exec.state_parallel.branch_worker import BranchWorker

    loop = {"P": {"Type": "Pass", "Next": "Q"}, "Q": {"Type": "Pass", "Next": "P"}}
    arn = asl.start(loop, TimeoutSeconds=1)
    told = asl.ended(arn)
    assert told["status"] == "TIMED_OUT"
    assert "stopDate" in told and told["stopDate"] > told["startDate"]
    assert asl.api.get_execution_history(executionArn=arn)["events"][-1]["type"] == "ExecutionTimedOut"
    branch = {"StartAt": "P", "States": a_pass(a=1)}
    machine = asl.machine({"B": {"Type": "Parallel", "Branches": [branch], "End": True}})
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:x"
    plain = BranchWorker.start

    def stopped_first(worker: Any) -> None:
        asl.api.stop_execution(executionArn=arn)
        plain(worker)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BranchWorker, "start", stopped_first)
        asl.api.start_execution(stateMachineArn=machine, name="x", input="{}")
        assert asl.ended(arn)["status"] == "ABORTED"


@check
def stopping_keeps_the_reason(asl: Interpreter) -> None:
    loop = {"P": {"Type": "Pass", "Next": "Q"}, "Q": {"Type": "Pass", "Next": "P"}}
    arn = asl.start(loop)
    asl.api.stop_execution(executionArn=arn, error="E", cause="why")
    told = asl.ended(arn)
    assert (told["status"], told.get("error"), told.get("cause")) == ("ABORTED", "E", "why")


@check
def outputs_are_json(asl: Interpreter) -> None:
    for value in ("text", None, {"a": 1}):
        states = {"P": {"Type": "Pass", "Output": "{% $states.input.v %}", "End": True}}
        assert asl.run(states, {"v": value})["output"] == json.dumps(value)


@check
def definitions_are_checked(asl: Interpreter) -> None:
    with pytest.raises(ClientError, match="InvalidDefinition"):
        asl.api.create_state_machine(name="bad", definition='{"StartAt": "A"}', roleArn=ROLE)
    with pytest.raises(ClientError, match="InvalidDefinition"):
        asl.api.create_state_machine(name="worse", definition="{", roleArn=ROLE)


@check
def failures_are_not_printed_as_object_graphs(asl: Interpreter) -> None:
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    ear = Ear()
    logging.getLogger("moto").addHandler(ear)
    try:
        asl.run({"F": {"Type": "Fail", "Error": "E", "Cause": "c"}})
    finally:
        logging.getLogger("moto").removeHandler(ear)
    assert heard == []


@check
def ended_threads_are_forgotten(asl: Interpreter) -> None:
    from moto.stepfunctions.parser.backend import execution_worker

    asl.output(a_pass(a=1))
    assert len(execution_worker.TMP_THREADS) == 0


@check
def modules_and_methods_are_listed_once(asl: Interpreter) -> None:
    from moto import backends
    from moto.core import responses
    from moto.kms.responses import KmsResponse

    methods = responses.method_names_from_class
    assert backends.list_of_moto_modules() is backends.list_of_moto_modules()
    assert "s3" in backends.list_of_moto_modules()
    assert methods(KmsResponse) is methods(KmsResponse) and "create_key" in methods(KmsResponse)


@check
def only_asymmetric_keys_have_a_private_key(asl: Interpreter) -> None:
    from moto.kms.models import Key

    def made(spec: str) -> Any:
        return Key("{}", "", spec, "", asl.aws.settings.account, asl.aws.settings.region).private_key

    assert made("SYMMETRIC_DEFAULT") is None and made("RSA_2048") is not None


@check
def the_end_of_an_execution_is_reported(asl: Interpreter) -> None:
    arn = asl.start(a_pass(a=1))
    until(lambda: asl.aws.objects.document("execution", arn), asl.patience)


@check
def a_stopped_execution_calls_nothing(asl: Interpreter) -> None:
    from moto.stepfunctions.parser.asl.component.common.jsonata.jsonata_template_value_object import (
        JSONataTemplateValueObject,
    )
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service as service

    def history_of_one_stopped_in(owner: Any, name: str) -> list[Told]:
        message = {"TopicArn": asl.api_topic(), "Message": "m"}
        machine = asl.machine({"T": task("sns:publish", Arguments=message, TimeoutSeconds=60)})
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:x"
        plain, stopped = getattr(owner, name), threading.Event()

        def stop_first(*given: Any, **named: Any) -> Any:
            if not stopped.is_set():
                asl.api.stop_execution(executionArn=arn)
                stopped.set()
            return plain(*given, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, stop_first)
            asl.api.start_execution(stateMachineArn=machine, name="x", input="{}")
            assert stopped.wait(MINUTES)
            assert asl.ended(arn)["status"] == "ABORTED"
        try:
            return list(asl.api.get_execution_history(executionArn=arn)["events"])
        except ClientError as problem:
            pytest.fail(str(problem))

    kinds = [event["type"] for event in history_of_one_stopped_in(JSONataTemplateValueObject, "eval")]
    assert "TaskScheduled" not in kinds
    events = history_of_one_stopped_in(service, "to_json_str")
    scheduled = next(event for event in events if event["type"] == "TaskScheduled")
    assert scheduled["taskScheduledEventDetails"]["timeoutInSeconds"] == 60


@check
def a_refused_definition_changes_no_other(asl: Interpreter) -> None:
    from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor

    try:
        with pytest.raises(ClientError, match="InvalidDefinition"):
            asl.machine({"S": {"Type": "Succeed", "Parameters": {}}})
        of_json_path = {"StartAt": "S", "States": {"S": {"Type": "Pass", "Parameters": {"a": 1}, "End": True}}}
        try:
            asl.api.create_state_machine(name="p", definition=json.dumps(of_json_path), roleArn=ROLE)
        except ClientError as problem:
            pytest.fail(str(problem))
    finally:
        Preprocessor._query_language_per_scope.clear()


@check
def retries_are_counted_under_one_key(asl: Interpreter) -> None:
    from moto.stepfunctions.parser.asl.component import eval_component
    from moto.stepfunctions.parser.asl.component.common.retry.max_attempts_decl import MaxAttemptsDecl

    shared, seen, made = MaxAttemptsDecl(1), [], iter(("first", "second"))

    def long_uid() -> str:
        key = next(made)
        if key == "first":
            seen.append(shared.heap_key)  # another run asks for the key while it is being made
        return key

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eval_component, "long_uid", long_uid)
        seen.append(shared.heap_key)
    assert len(set(seen)) == 1


@check
def tasks_call_this_server_alone(asl: Interpreter) -> None:
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_sns as sns

    client = sns.boto_client_for("ap-northeast-1", "sns", state_credentials=SimpleNamespace(role_arn=ROLE))
    assert client.meta.endpoint_url == asl.aws.endpoint
    assert client is asl.aws._clients.get("sns", "ap-northeast-1", ROLE), "with the role's rights"


@check
def data_is_copied_quickly(asl: Interpreter) -> None:
    slowly: set[str] = set()  # which modules copied with it
    plain = copy.deepcopy
    given = {"a": [{"b": 1}], "c": "text"}

    def deepcopy(value: Any, *more: Any) -> Any:
        slowly.add(sys._getframe(1).f_globals["__name__"].rpartition(".")[2])
        return plain(value, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copy, "deepcopy", deepcopy)
        assert asl.output(a_pass(a="{% $states.input.a %}", c="{% $states.input.c %}"), given) == given
    assert not {"states", "string_expression", "event_manager", "result_path"} & slowly
    from moto.stepfunctions.parser.asl.eval import states

    assert states.copy.deepcopy(given)["a"][0] is not given["a"][0]


@check
def paths_are_parsed_once(asl: Interpreter) -> None:
    from jsonpath_ng.parser import JsonPathParser

    with mock.patch.object(JsonPathParser, "parse", autospec=True, side_effect=JsonPathParser.parse) as parse:
        asl.output({"P": {"Type": "Pass", "Next": "Q"}, "Q": {"Type": "Pass", "End": True}})
    assert parse.call_count <= 1


@contextmanager
def interpreter(work: Path, without: str = "") -> Iterator[Interpreter]:
    apply = moto_fixes.apply
    moto_fixes.apply = lambda patches, here, *_: apply(patches, here, without)
    try:
        with LocalAws(settings(work)) as aws:
            make_bucket(aws)
            may_do_everything(aws)
            yield Interpreter(aws, 3 if without else MINUTES)  # what moto never does is not waited for
    finally:
        moto_fixes.apply = apply


# First those with servers of their own: there is one at a time.


@pytest.mark.parametrize("name", CHECKS)
def test_without_the_fix_moto_does_otherwise(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    with (
        interpreter(tmp_path, without=name) as broken,
        pytest.raises(WRONG),
    ):
        CHECKS[name](broken)


def test_all_is_put_back_in_the_end(tmp_path: Path) -> None:
    from moto.stepfunctions.parser.asl.antlt4utils import antlr4utils
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend

    before = antlr4utils.from_string_literal, StepFunctionsParserBackend.start_execution
    with interpreter(tmp_path):
        assert antlr4utils.from_string_literal is not before[0]
        assert StepFunctionsParserBackend.start_execution is not before[1]
    assert before == (antlr4utils.from_string_literal, StepFunctionsParserBackend.start_execution)


@pytest.fixture(scope="module")
def asl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interpreter]:
    with interpreter(tmp_path_factory.mktemp("work")) as running:
        yield running


def test_each_fix_has_a_check() -> None:
    assert set(CHECKS) == set(moto_fixes.FIXES)


@pytest.mark.parametrize("name", CHECKS)
def test_with_the_fix_it_is_as_on_aws(asl: Interpreter, name: str) -> None:
    CHECKS[name](asl)
