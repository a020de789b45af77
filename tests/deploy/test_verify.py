"""`verify` reads AWS's answers right: those of an account where all is well, and each that is not."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from local_account import CONFIG, no_wait
from recorded_aws import ACCOUNT, DENIED, Recorded, Reply, as_rehearsed, simulated

from localaws.server.aws import LocalAws
from pipeline import workflow
from stepgluon.cli.main import main
from stepgluon.config.load import load, loads
from stepgluon.config.source import LoadedConfig
from stepgluon.deploy.account_checks import wanted_instances
from stepgluon.deploy.release import Release, release
from stepgluon.selfcheck.rehearsal import Visit
from stepgluon.verify import policies, states, verify
from stepgluon.verify.check import Check
from stepgluon.verify.states import CONTEXT, request_of, visits
from stepgluon.workflow.compile import compile_definition

DIGEST = "sha256:" + "a" * 64
ARN = "arn:aws:cloudformation:eu-central-1:123456789012"
MISSING = {"Error": {"Code": "ValidationError", "Message": "Stack with id x does not exist"}}
UNKNOWN_API = {"Error": {"Code": "UnknownOperationException", "Message": ""}}


@cache
def config() -> LoadedConfig:
    return load(CONFIG, None, {})


@cache
def what() -> Release:
    return release(config(), compile_definition(config(), workflow).text)


@cache
def rehearsed() -> list[Visit]:
    return visits(json.loads(what().filled(dict.fromkeys(("DataDigest", "AutogluonDigest"), DIGEST))))


EVERY_CALL = policies.statements()


def quotas(value: float) -> Reply:
    return {"Quotas": [{"QuotaName": name, "Value": value} for name in wanted_instances(config().config)]}


def well() -> dict[str, Reply]:
    """An empty account, large enough."""
    described = {
        "Status": "CREATE_COMPLETE",
        "Changes": [
            {"ResourceChange": {"Action": "Add", "LogicalResourceId": "Topic", "ResourceType": "AWS::SNS::Topic"}}
        ],
    }
    return {
        "GetCallerIdentity": {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/me"},
        "ListAWSDefaultServiceQuotas": quotas(0),
        "ListServiceQuotas": quotas(20),
        "GetAccountSettings": {"AccountLimit": {"UnreservedConcurrentExecutions": 1000}},
        "GetFunctionConcurrency": {"Error": {"Code": "ResourceNotFoundException", "Message": ""}},
        "DescribeImages": {"imageDetails": [{"imageDigest": DIGEST}]},
        "ValidateStateMachineDefinition": {"result": "OK", "diagnostics": []},
        "TestState": as_rehearsed(rehearsed()),
        "DescribeStacks": MISSING,
        "CreateChangeSet": {"Id": f"{ARN}:changeSet/x/1", "StackId": f"{ARN}:stack/x/1"},
        "DescribeChangeSet": described,
        "DescribeEvents": {"OperationEvents": []},
        "DeleteChangeSet": {},
        "SimulateCustomPolicy": simulated,
    }


@pytest.fixture(autouse=True)
def made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rehearsal, whose $uuid() is then the same; and of the calls the first: all take seconds to decide."""
    monkeypatch.setattr(states, "visits", lambda machine: rehearsed())
    first = {part: found[:1] for part, found in EVERY_CALL.items()}
    monkeypatch.setattr(policies, "statements", lambda: first)


@pytest.fixture
def some_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    some = {
        part: [*found[::8], *(one for one in found if "sns:Publish" in one["Action"])]
        for part, found in EVERY_CALL.items()
    }
    monkeypatch.setattr(policies, "statements", lambda: some)


def made(**answers: Reply) -> list[Check]:
    return list(verify(what(), Recorded("eu-central-1", {**well(), **answers}), no_wait))


def lines(found: list[Check], outcome: str) -> list[str]:
    return [f"{check.name}: {check.words()}" for check in found if check.outcome == outcome]


def test_an_account_where_all_is_well_passes_each_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "statements", lambda: EVERY_CALL)
    found = made()
    assert {check.outcome for check in found} == {"passed"}, [c for c in found if c.outcome != "passed"]
    names = [check.name for check in found]
    for part in ("job", "machine", "trigger", "tell", "deployer"):
        assert f"policy {part}" in names
    assert (
        f"states: TestState agrees with {len(rehearsed())} of {len(rehearsed())} visits"
        in lines(found, "passed")[names.index("states")]
    )
    assert "image houses-data:" in " ".join(names) and "stack houses-pipeline" in names


def test_every_state_is_tested_and_nothing_is_called_or_left() -> None:
    door = Recorded("eu-central-1", well())
    list(verify(what(), door, no_wait))
    asked = [params for operation, params in door.asked if operation == "TestState"]
    assert {visit.name for visit in rehearsed()} == set(_names(json.loads(what().definition)))
    for params in asked:
        kind = json.loads(params["definition"]).get("Type")
        assert ("mock" in params) == (kind in ("Task", None)) == ("context" in params)
        assert "roleArn" not in params
    operations = [operation for operation, _ in door.asked]
    assert operations.count("CreateChangeSet") == operations.count("DeleteChangeSet") == 2
    assert not {"ExecuteChangeSet", "PutObject", "CreateStack"} & {*operations}


def _names(machine: Any) -> list[str]:
    found = list(machine["States"])
    for state in machine["States"].values():
        found += [name for branch in state.get("Branches", ()) for name in _names(branch)]
    return found


def test_a_state_without_a_mock_reads_the_context_from_a_variable() -> None:
    begin = request_of(next(visit for visit in rehearsed() if visit.name == "Begin"))
    assert f"${CONTEXT}.Execution" in begin["definition"] and "$states.context" not in begin["definition"]
    assert json.loads(begin["variables"])[CONTEXT]["Execution"]["Name"]
    assert "context" not in begin


def test_a_mocked_error_comes_after_the_last_retry() -> None:
    lost = next(v for v in rehearsed() if v.name == "Prepare data" and v.following == "Prepare again?")
    request = request_of(lost)
    assert request["mock"]["errorOutput"]["error"] == "States.TaskFailed"
    retried = next(v for v in rehearsed() if "stateConfiguration" in request_of(v))
    assert request_of(retried)["stateConfiguration"]["retrierRetryCount"] >= 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nextState": "Elsewhere"}, "AWS goes to Elsewhere"),
        ({"output": '{"another": 1}'}, "AWS evaluates Output to something else"),
        ({"inspectionData": {"variables": '{"run": 5}'}}, "AWS assigns something else to $run"),
        ({"inspectionData": {"afterArguments": "{}"}}, "AWS evaluates Arguments to something else"),
        (
            {"status": "RETRIABLE", "error": "States.TaskFailed", "cause": "c"},
            "AWS says RETRIABLE: States.TaskFailed: c",
        ),
        ({"Error": {"Code": "InvalidDefinition", "Message": "Bad field"}}, "TestState refuses it: Bad field"),
    ],
)
def test_a_state_that_aws_evaluates_otherwise_is_named(change: dict[str, Any], said: str) -> None:
    well_tested = as_rehearsed(rehearsed())

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        announced = '"Subject"' in asked["definition"] and '"Next":"Prepare data"' in asked["definition"]
        mine = announced and "result" in asked["mock"]
        return (change if "Error" in change else {**well_tested(asked), **change}) if mine else well_tested(asked)

    assert lines(made(TestState=answer), "failed") == [f"state Announce start: to Prepare data: {said}"]


def test_a_definition_that_is_refused_is_said_with_its_place() -> None:
    wrong = {"severity": "ERROR", "code": "SCHEMA_VALIDATION_FAILED", "message": "Bad", "location": "/States/Begin"}
    found = made(ValidateStateMachineDefinition={"result": "FAIL", "diagnostics": [wrong]})
    assert lines(found, "failed") == ["definition: /States/Begin: Bad [SCHEMA_VALIDATION_FAILED]"]
    found = made(ValidateStateMachineDefinition={"result": "FAIL", "diagnostics": []})
    assert lines(found, "failed") == ["definition: Step Functions refuses it, and says no reason"]
    warning = {**wrong, "severity": "WARNING"}
    found = made(ValidateStateMachineDefinition={"result": "OK", "diagnostics": [warning]})
    assert "definition, warning: /States/Begin: Bad [SCHEMA_VALIDATION_FAILED]" in lines(found, "passed")


def test_early_validation_of_a_change_set_is_read() -> None:
    failed = {"Status": "FAILED", "StatusReason": "The following validation failed: [AWS::EarlyValidation::X]"}
    event = {"LogicalResourceId": "Machine", "ValidationStatusReason": "Unknown property."}
    found = made(DescribeChangeSet=failed, DescribeEvents={"OperationEvents": [event]})
    assert [line.partition(" (")[0] for line in lines(found, "failed")] == [
        f"stack houses-{part}: houses-{part} cannot become what its template says, and nothing was changed: "
        "Machine: Unknown property"
        for part in ("base", "pipeline")
    ]
    found = made(DescribeEvents={"OperationEvents": [event]})
    assert "stack houses-base, warning: Machine: Unknown property" in lines(found, "passed")


def test_a_change_set_that_waits_for_somebody_keeps_its_stack() -> None:
    waiting = {"StackName": "x", "StackId": f"{ARN}:stack/x/1", "CreationTime": 0, "StackStatus": "REVIEW_IN_PROGRESS"}
    door = Recorded("eu-central-1", {**well(), "DescribeStacks": {"Stacks": [waiting]}})
    found = list(verify(what(), door, no_wait))
    assert "failed" not in {check.outcome for check in found}
    assert "DeleteStack" not in [operation for operation, _ in door.asked]


def test_quotas_say_what_no_job_can_run_on() -> None:
    names = sorted(wanted_instances(config().config))
    more, wanted = "ask for more in Service Quotas, Amazon SageMaker", wanted_instances(config().config)
    found = made(
        ListServiceQuotas={"Quotas": [{"QuotaName": names[0], "Value": 5}]}, ListAWSDefaultServiceQuotas=quotas(0)
    )
    assert lines(found, "failed") == [
        f"quota of {name}: it is 0, and a run uses {wanted[name]} at once: no such job can run ({more})"
        for name in names[1:]
    ]
    found = made(ListServiceQuotas={"Quotas": []}, ListAWSDefaultServiceQuotas={"Quotas": []})
    assert lines(found, "failed") == [
        f"quota of {name}: eu-central-1 does not list it (choose another instance type or region)" for name in names
    ]


def test_an_account_that_is_too_small_for_the_functions_fails() -> None:
    found = made(GetAccountSettings={"AccountLimit": {"UnreservedConcurrentExecutions": 10}})
    (line,) = lines(found, "failed")
    assert line.startswith("Lambda concurrency: the account has 10 unreserved concurrent executions of functions")


def test_a_missing_image_is_not_checked() -> None:
    found = made(DescribeImages={"Error": {"Code": "RepositoryNotFoundException", "Message": ""}})
    said = [line.rpartition(": ")[2] for line in lines(found, "not checked")]
    assert said == ["it is not in ECR yet; deploy builds and pushes it"] * 2


@pytest.mark.parametrize(
    ("operation", "checks"),
    [
        ("ListServiceQuotas", 1),
        ("GetAccountSettings", 1),
        ("DescribeImages", 1),
        ("ValidateStateMachineDefinition", 1),
        ("TestState", 1),
        ("CreateChangeSet", 2),
        ("SimulateCustomPolicy", 1),
    ],
)
def test_a_call_that_may_not_be_made_or_is_not_there_is_not_checked(operation: str, checks: int) -> None:
    found = lines(made(**{operation: DENIED}), "not checked")
    assert len(found) == checks and all("may not" in line and operation in line for line in found), found
    if operation != "CreateChangeSet":
        found = lines(made(**{operation: UNKNOWN_API}), "not checked")
        assert len(found) == checks and f"the endpoint does not answer {operation}" in found[0]


def test_a_policy_that_aws_reads_otherwise_fails_with_the_call(some_calls: None) -> None:
    def denies(asked: dict[str, Any]) -> dict[str, Any]:
        answer = simulated(asked)
        for result in answer["EvaluationResults"]:
            if result["EvalActionName"] == "sns:Publish":
                result["EvalDecision"] = "explicitDeny"
        return answer

    found = lines(made(SimulateCustomPolicy=denies), "failed")
    assert any(
        line.startswith("policy machine: AWS decides otherwise: explicitDeny: ") and ": sns:Publish on " in line
        for line in found
    )

    def allows(asked: dict[str, Any]) -> dict[str, Any]:
        answer = simulated(asked)
        for result in answer["EvaluationResults"]:
            result["EvalDecision"] = "allowed"
        return answer

    found = lines(made(SimulateCustomPolicy=allows), "failed")
    assert sum(line.startswith("policy tell: ") for line in found) == 6, "five, and how many more"


def test_a_simulator_that_answers_by_resource_is_read_too(some_calls: None) -> None:
    def by_resource(asked: dict[str, Any]) -> dict[str, Any]:
        results = simulated(asked)["EvaluationResults"]
        return {
            "EvaluationResults": [
                {
                    "EvalActionName": action,
                    "EvalDecision": "allowed",
                    "ResourceSpecificResults": [
                        {"EvalResourceName": r["EvalResourceName"], "EvalResourceDecision": r["EvalDecision"]}
                        for r in results
                        if r["EvalActionName"] == action
                    ],
                }
                for action in asked["ActionNames"]
            ]
        }

    assert lines(made(SimulateCustomPolicy=by_resource), "failed") == []


# As a user calls it


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline-config.yml").write_bytes(CONFIG.read_bytes())
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def run(*words: str) -> tuple[int, str, str]:
        code = main(workflow, ("verify", *words), {})
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_local_aws_answers_what_it_can(run: Any, aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint)
    code, out, err = run()
    assert (code, err) == (0, "")
    head, *rest = out.splitlines()
    assert head.endswith(": houses in ACCOUNT, eu-central-1") and ACCOUNT not in out
    assert (
        "passed       credentials: " in out and "passed       stack houses-pipeline: the change set is accepted" in out
    )
    for operation in ("ValidateStateMachineDefinition", "TestState", "SimulateCustomPolicy"):
        assert f"the endpoint does not answer {operation}\n" in out
    assert rest[-1].endswith(" not checked") and " 0 failed, " in rest[-1]
    assert aws.client("cloudformation").describe_stacks()["Stacks"] == []
    code, out, _ = run("--json")
    assert code == 0 and {check["outcome"] for check in json.loads(out)} == {"passed", "not checked"}


def test_a_failed_check_ends_with_1_and_the_first_thing_to_mend(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Recorded("eu-central-1", {**well(), "ListServiceQuotas": quotas(0)})
    monkeypatch.setattr("stepgluon.aws.Aws", lambda region: door)
    code, out, err = run()
    assert (code, err) == (1, "")
    name = sorted(wanted_instances(config().config))[0]
    assert out.splitlines()[-1].startswith(f"Mend first: quota of {name}: it is 0, and a run uses ")


def test_no_credentials_or_those_of_another_account_end_with_3(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    code, out, err = run()
    assert (code, out) == (3, "") and err.startswith("error: no AWS credentials were found")
    other = {"Account": "999999999999", "Arn": "arn:aws:iam::999999999999:user/me"}
    door = Recorded("eu-central-1", {"GetCallerIdentity": other})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setattr("stepgluon.aws.Aws", lambda region: door)
    code, out, err = run()
    assert (code, out) == (3, "") and err.startswith("error: these credentials are of the account 999999999999")
    door.answers["GetCallerIdentity"] = {"Error": {"Code": "InvalidClientTokenId", "Message": "The token is invalid"}}
    code, out, err = run()
    assert (code, out) == (3, "") and "a region that is off by default" in err


MANY = """
name: many
account: "123456789012"
region: eu-central-1
notify: [ml-team@example.com]
models: {partition_by: shop, values: [%s], label: sales}
fallback: {threshold: 1}
"""


def test_of_a_hundred_models_that_are_alike_a_few_are_tested() -> None:
    many = loads(MANY % ", ".join(f"s{number}" for number in range(100)), "config.yml", None, {})
    definition = compile_definition(many, workflow).text
    few = visits(json.loads(definition))
    assert len(few) < 100
    assert max(len(request_of(visit)["variables"]) for visit in few) <= 256 * 1024
