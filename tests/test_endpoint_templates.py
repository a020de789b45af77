"""What the templates have for endpoints: the alarms of releases, how long captured rows are kept, and the rights."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator
from policies.deployers import calls_of
from policies.reference import allowed
from released import DEFINITION, characters, config, of_type, released

from localaws.iam.policy_evaluation import Call, Policies, Value
from pipeline import workflow
from stepgluon.config.source import LoadedConfig
from stepgluon.deploy.release import MOST, Release, release
from stepgluon.deploy.templates.policies import policy
from stepgluon.errors import ConfigError
from stepgluon.names import Names
from stepgluon.workflow.compile import compile_definition

RELEASE = {"canary": "10%", "roll_back_on": ["errors", "latency > 500ms"]}


def serving(*models: dict[str, Any], **more: Any) -> Release:
    listed = [{"name": f"m{number}", "label": f"y{number}", "serve": serve} for number, serve in enumerate(models)]
    return released(config(models=listed, **more))


def alarms(made: Release) -> dict[str, dict[str, Any]]:
    return {alarm["AlarmName"]: alarm for alarm in of_type(made, "AWS::CloudWatch::Alarm").values()}


def test_each_reason_to_roll_back_is_an_alarm_on_the_endpoint() -> None:
    made = serving({"release": RELEASE}, {"release": {"linear": "20%"}}, {"instance": {"type": "ml.m5.large"}})
    found = alarms(made)
    assert found.keys() == {"x-alarm", "x-m0-errors", "x-m0-latency", "x-m1-errors"} - {"x-alarm"} | {made.names.alarm}
    shape = get_session().get_service_model("cloudwatch").operation_model("PutMetricAlarm").input_shape
    for name in found.keys() - {made.names.alarm}:
        alarm = found[name]
        assert not ParamValidator().validate(alarm, shape).generate_report()
        assert alarm["Namespace"] == "AWS/SageMaker" and alarm["TreatMissingData"] == "notBreaching"
        of = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
        assert of == {"EndpointName": name.rpartition("-")[0], "VariantName": "AllTraffic"}
    latency, errors = found["x-m0-latency"], found["x-m0-errors"]
    assert (latency["MetricName"], latency["Statistic"], latency["Threshold"]) == ("ModelLatency", "Average", 500_000)
    assert (errors["MetricName"], errors["Statistic"], errors["Threshold"]) == ("Invocation5XXErrors", "Sum", 0)


def test_captured_rows_expire_after_the_days_that_their_model_gives() -> None:
    def expiring(made: Release) -> dict[str, int]:
        rules = of_type(made, "AWS::S3::Bucket")["WorkBucket"]["LifecycleConfiguration"]["Rules"]
        assert len({rule["Id"] for rule in rules}) == len(rules)
        return {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}

    without = expiring(serving({}))
    assert not any(folder.startswith("captured/") for folder in without)
    month = {"capture": {"share": "20%", "keep": "30d"}}
    assert expiring(serving(month, month)) == {**without, "captured/": 30}
    week = {"capture": {"share": "20%", "keep": "7d"}}
    assert expiring(serving(month, week, {})) == {**without, "captured/m0/": 30, "captured/m1/": 7}


@pytest.mark.parametrize("part", ["build", "deployer"])
def test_who_deploys_may_change_the_alarms_of_releases_and_no_others(part: str) -> None:
    def named(made: Release) -> set[str]:
        return {
            name.rpartition("alarm:")[2]
            for statement in policy(made.names, part)["Statement"]
            for name in (statement["Resource"] if isinstance(statement["Resource"], list) else [])
            if ":alarm:" in name
        }

    assert named(serving({})) == {serving({}).names.alarm}
    released_one = serving({"release": RELEASE})
    assert named(released_one) - {released_one.names.alarm} == {"x-*-errors", "x-*-latency"}
    many = serving(*[{"release": RELEASE}] * 12)
    assert policy(many.names, part) == policy(released_one.names, part)


def test_more_alarms_than_a_template_takes_are_a_mistake_of_the_models() -> None:
    with pytest.raises(
        ConfigError, match=r"models: the template pipeline is .* \(at most .*remove serve.release of some"
    ):
        serving(*[{"release": RELEASE}] * 60)


@pytest.mark.parametrize("part", ["build", "deployer"])
def test_who_deploys_may_do_what_endpoints_need(part: str) -> None:
    names = serving({"release": RELEASE}, {"serverless": {"memory_gb": 2}}).names
    made, attached = calls_of(names, part), Policies((policy(names, part),), None, None)
    assert not [call for call in made if not allowed(call, attached) and not _in_own_policies(call)]
    assert any("Endpoint" in call.action for call in made) == (part == "deployer")
    other = Names(config(name="another").config)
    for call in calls_of(serving({"release": RELEASE}, name="another").names, part):
        if "endpoint" in call.resource.lower():
            assert not allowed(call, attached), f"{call.action} on {call.resource} of {other.prefix}"


def _in_own_policies(call: Call) -> bool:
    """Those whose resource has a policy of its own."""
    return call.action.startswith("kms:")


def test_an_approved_version_starts_the_machine_that_releases_it() -> None:
    models = [
        {"name": "size", "label": "y", "register": {"approval": "manual"}, "serve": {}},
        {"name": "price", "label": "z", "register": {"approval": "automatic"}, "serve": {}},
        {"name": "churn", "label": "w", "register": {"approval": "manual"}},
    ]
    made = release(config(models=models), DEFINITION, {"release": '{"States": {"release": {}}}\n'})
    machines = {one["StateMachineName"]: one for one in of_type(made, "AWS::StepFunctions::StateMachine").values()}
    assert machines.keys() == {"x", "x-release"}
    key = machines["x-release"]["DefinitionS3Location"]["Key"]
    assert key in {stored.key for stored in made.objects} and key != machines["x"]["DefinitionS3Location"]["Key"]
    rules = {one["Name"]: one for one in of_type(made, "AWS::Events::Rule").values()}
    rule, failures = rules["x-approved"], rules[made.names.rule]
    assert rule["EventPattern"]["detail"] == {
        "ModelPackageGroupName": ["x-model-size"],
        "ModelApprovalStatus": ["Approved"],
    }
    [target] = rule["Targets"]
    assert target["Arn"] == {"Ref": "ReleaseMachine"} and target["RoleArn"] == {"Fn::GetAtt": ["MachineRole", "Arn"]}
    assert failures["EventPattern"]["detail"]["stateMachineArn"] == [
        made.names.machine_arn,
        made.names.release_machine_arn,
    ]
    assert len(policy(made.names, "machine-trust")["Statement"]) == 2
    assert "release.asl.json" in {stored.file for stored in made.objects}
    without = released(config(models=models[1:]))
    assert len(of_type(without, "AWS::StepFunctions::StateMachine")) == 1
    assert len(policy(without.names, "machine-trust")["Statement"]) == 1


def monitoring(*every: str, then: str = "retrain") -> LoadedConfig:
    models = [
        {"name": f"m{n}", "label": f"y{n}", "serve": {"capture": "20%"}, "monitor": {"every": one, "then": then}}
        for n, one in enumerate(every)
    ]
    return config(models=models)


@pytest.mark.parametrize(
    ("every", "rate"),
    [
        (("1d",), "rate(1 day)"),
        (("2d", "7d"), "rate(2 days)"),
        (("36h", "2d"), "rate(36 hours)"),
        (("1h",), "rate(1 hour)"),
    ],
)
def test_the_machine_that_looks_for_drift_runs_as_often_as_a_model_wants_it(every: tuple[str, ...], rate: str) -> None:
    loaded = monitoring(*every)
    definition = compile_definition(loaded, workflow)
    made = release(loaded, definition.text, definition.texts)
    [schedule] = [one for one in of_type(made, "AWS::Events::Rule").values() if "ScheduleExpression" in one]
    assert (schedule["Name"], schedule["ScheduleExpression"]) == ("x-monitor", rate)
    assert schedule["Targets"][0]["Arn"] == {"Ref": "MonitorMachine"}
    machines = {one["StateMachineName"] for one in of_type(made, "AWS::StepFunctions::StateMachine").values()}
    assert machines == {"x", "x-monitor"}


def test_the_machine_that_looks_for_drift_may_do_what_its_states_call_and_no_more() -> None:
    names = Names(monitoring("1d").config)
    resources = {part: policy(names, part) for part in ("machine", "job", "boundary")}
    work, raw = (names.bucket_arn(bucket) for bucket in (names.work_bucket, names.raw_bucket))
    tag = {"aws:RequestTag/stepgluon": "x"}
    job, run = names.arn("sagemaker", "processing-job/x-monitor-m0-1"), names.execution_arn("x-1")
    live = {"states:StateMachineQualifier": "live"}
    machine: list[tuple[str, str, dict[str, Value]]] = [
        ("s3:GetObject", f"{work}/endpoints/m0.json", {}),
        ("s3:GetObject", f"{work}/promoted.json", {}),
        ("s3:GetObject", f"{work}/monitor/m0/run-1/result.json", {}),
        ("s3:PutObject", f"{work}/monitor/m0/retrained/0123.json", {}),
        ("s3:ListBucket", raw, {}),
        ("s3:ListBucket", work, {}),
        ("sagemaker:CreateProcessingJob", job, tag),
        ("sagemaker:AddTags", job, {**tag, "sagemaker:TaggingAction": "CreateProcessingJob"}),
        ("sagemaker:DescribeProcessingJob", job, {"aws:ResourceTag/stepgluon": "x"}),
        ("states:ListExecutions", names.machine_arn, {}),
        ("states:DescribeExecution", run, {}),
        ("states:StartExecution", names.machine_arn, live),
        ("states:StartExecution", names.arn("states", "stateMachine:x-monitor"), {}),  # by its rule
    ]
    jobs: list[tuple[str, str, dict[str, Value]]] = [
        ("s3:GetObject", f"{work}/captured/m0/x-m0/AllTraffic/rows.jsonl", {}),
        ("s3:GetObject", f"{raw}/monitor/m0/june.csv", {}),
        ("s3:PutObject", f"{work}/monitor/m0/run-1/drift.html", {}),
        ("logs:PutLogEvents", names.arn("logs", "log-group:/aws/sagemaker/ProcessingJobs:log-stream:x-monitor-m0"), {}),
    ]
    for part, calls in (("machine", machine), ("job", jobs)):
        for action, resource, context in calls:
            call = Call(names.role_arn(part), action, resource, {"aws:SecureTransport": "true", **context}, "")
            assert allowed(call, Policies((resources[part],), resources["boundary"], None)), (part, action, resource)
    only_mailed = Names(monitoring("1d", then="mail").config)
    start = Call(names.role_arn("machine"), "states:StartExecution", names.machine_arn, live, "")
    assert not allowed(start, Policies((policy(only_mailed, "machine"),), None, None))


def test_with_all_of_it_each_policy_has_room() -> None:
    models = [
        {
            "name": f"m{number}",
            "label": f"y{number}",
            "serve": {"scale": {"max": 4, "invocations": 100}, "release": RELEASE, "capture": "20%"},
            "monitor": {"then": "retrain"},
            "register": {"approval": approval},
        }
        for number, approval in enumerate(("manual", "automatic"))
    ]
    names = Names(config(name="a-name-of-15-ch", models=models).config)
    assert characters(policy(names, "boundary")) <= 6_144
    for part in ("job", "machine", "tell", "trigger"):
        assert characters(policy(names, part)) <= 10_240, part


def test_more_than_a_policy_has_room_for_is_a_mistake_of_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOST, "machine", 6_000)
    with pytest.raises(
        ConfigError, match=r"models: the models use so much that the policy machine is [\d,]+ characters"
    ):
        serving({"scale": {"max": 4, "invocations": 100}, "release": RELEASE})
    serving({})
