"""Every API call of a running pipeline, with its resource and what its request tells IAM.

Derived from what is deployed: the definition, run in an interpreter whose Tasks tell what they ask; the jobs that it
asks SageMaker for; the function's own code, whose clients tell what they are asked; the templates, for what services do
in their own name. What a service does beyond the call is from its documentation, named where it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any
from unittest import mock

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError
from interpreter import Throws, run
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from tell_failure.function import fresh
from tell_failure.histories import History
from tell_failure.histories import event as failure
from trigger.lambda_events import event, record, trigger

from localaws.iam.policy_evaluation import Call, Value
from localaws.iam.required_rights import Right, job_right, list_tags, managed_rule, rights
from stepgluon.deploy.templates.policy_values import SCALING_ROLE
from stepgluon.names import Names
from stepgluon.programs import all_scripts
from stepgluon.selfcheck.answers import MISTAKE, Fault
from stepgluon.selfcheck.group_answers import results
from stepgluon.selfcheck.rehearsal import Rehearsal, Visit
from stepgluon.selfcheck.report import Report
from stepgluon.selfcheck.scenarios import Scenarios
from stepgluon.selfcheck.scopes import scopes
from stepgluon.selfcheck.state_fields import Shared

RUN = "20250131-120000-go-0123456789abcdef0123"
KEY_ID = "12345678-90ab-cdef-1234-567890abcdef"  # of the key that the pipeline's stack makes
DIGESTS = {f"{image.title()}Digest": f"sha256:{number:064}" for number, image in enumerate(all_scripts())}
PROCESSING, TRAINING = "sagemaker:createProcessingJob.sync", "sagemaker:createTrainingJob.sync"
TRANSFORM, MODEL = "sagemaker:createTransformJob.sync", "sagemaker:createModel"
TUNING = "sagemaker:createHyperParameterTuningJob.sync"
TRIALS = "aws-sdk:sagemaker:listTrainingJobsForHyperParameterTuningJob"
KINDS = {TRAINING: "Training", PROCESSING: "Processing", TRANSFORM: "Transform", TUNING: "HyperParameterTuning"}
READ, WRITE, PUBLISH = "aws-sdk:s3:getObject", "aws-sdk:s3:putObject", "sns:publish"
REGISTER, DELETE_MODEL = "aws-sdk:sagemaker:createModelPackage", "aws-sdk:sagemaker:deleteModel"
FIND_IMAGE, BUILD_IMAGE = "aws-sdk:ecr:describeImages", "codebuild:startBuild.sync"
ENDPOINT = {f"sagemaker:{do}Endpoint": f"{do.title()}Endpoint" for do in ("create", "update")}
ENDPOINT |= {f"aws-sdk:sagemaker:{do}Endpoint": f"{do.title()}Endpoint" for do in ("describe", "delete")}
VERSION, LIST = "aws-sdk:sagemaker:describeModelPackage", "aws-sdk:s3:listObjectsV2"
LIST_RUNS, READ_RUN, START = "aws-sdk:sfn:listExecutions", "aws-sdk:sfn:describeExecution", "states:startExecution"
CONFIGURE, DESCRIBE = "sagemaker:createEndpointConfig", "aws-sdk:sagemaker:describeEndpoint"
SCALING = [f"aws-sdk:applicationautoscaling:{do}ScalableTarget" for do in ("deregister", "register")]
SCALING += ["aws-sdk:applicationautoscaling:putScalingPolicy"]
Asked = tuple[str, dict[str, Any]]  # an integration, and the parameters it is called with


class Caller:
    """One principal's calls; what every request tells is added here."""

    def __init__(self, names: Names, principal: str) -> None:
        self.names, self.principal = names, principal

    def __call__(self, why: str, action: str, resource: str = "*", **context: Value) -> Call:
        return Call(self.principal, action, resource, {"aws:SecureTransport": "true", **context}, why)

    def asks(self, why: str, operation: str, parameters: dict[str, Any]) -> Iterator[Call]:
        """What IAM is asked for an operation like s3:GetObject."""
        for right in rights(self.names, operation, parameters):
            yield self.needs(why, right)

    def needs(self, why: str, right: Right) -> Call:
        return self(why, right.action, right.resource, **right.context)

    def with_key(self, why: str, key: str | None, service: str, actions: str, **context: Value) -> Iterator[Call]:
        """Calls of KMS that a service makes in the caller's name."""
        if key:
            via = f"{service}.{self.names.config.region}.{self.names.partition.dns_suffix}"
            for action in actions.split():
                yield self(why, f"kms:{action}", key, **{"kms:ViaService": via, **context})


def topic_key(names: Names) -> str:
    return names.config.encryption.kms_key or names.arn("kms", f"key/{KEY_ID}")


# What the definition asks


def tasks(definition: Any) -> dict[str, str]:
    """The integration of each Task, nested ones too, by the state's name."""
    found: dict[str, str] = {}
    if isinstance(definition, dict):
        for name, state in (definition.get("States") or {}).items():
            if state["Type"] == "Task":
                found[name] = state["Resource"].split(":::", 1)[1]
        for value in definition.values():
            found |= tasks(value)
    elif isinstance(definition, list):
        for item in definition:
            found |= tasks(item)
    return found


def asked(names: Names, definition: str) -> list[Asked]:
    """What every Task asks its service; each Task is reached by one of two runs."""
    filled = definition
    for name, digest in DIGESTS.items():
        filled = filled.replace(f"${{{name}}}", digest)
    of = tasks(json.loads(filled))
    if names.config.partitioned:
        return _rehearsed(json.loads(filled), of)
    given = {"data": f"s3://{names.raw_bucket}/june/", "note": ""}
    good = _answers(names, of)
    # Every model is rejected, and its default predicts.
    bad = good | {state: {"Body": "{}"} for state in of if state.startswith("Read score")}
    # Every tuning fails.
    worse = bad | {state: Throws("States.TaskFailed", "{}") for state in of if state.startswith("Tune")}
    runs = [(good, given), (bad, given)] + ([(worse, given)] if worse != bad else [])
    if serves := [state for state, kind in of.items() if kind == DESCRIBE]:
        good |= {state: partial(_endpoint, of, state, "Missing") for state in serves}
        bad |= {state: partial(_endpoint, of, state, "InService") for state in serves}
        runs.append((good | {state: partial(_endpoint, of, state, "Failed") for state in serves}, given))
    found: dict[str, Asked] = {}
    parsed = staticmethod(lru_cache(AmazonStateLanguageParser.parse))  # most of the time of a run
    with mock.patch.object(AmazonStateLanguageParser, "parse", parsed):
        for number, (answers, data) in enumerate(runs):
            for state, parameters in run(filled, answers, data, f"{RUN}{number}").calls:
                found[f"{number} {state}"] = (of[state], parameters)
    missed = of.keys() - {key.partition(" ")[2] for key in found}
    assert not missed, f"no run reaches {sorted(missed)}"
    return list(found.values())


def asked_around(names: Names, others: dict[str, str]) -> list[Asked]:
    """What the machines around the runs ask: the release of an approved version, and the check for drift."""
    work, runs = f"s3://{names.work_bucket}", []
    if release := others.get("release"):
        container = {"Image": names.image(next(iter(all_scripts()))), "Environment": {}}
        for model in names.config.served_after_approval:
            folder = {"S3Uri": f"{work}/models/{model.name}/f/job/output/model/"}
            version = {
                "ModelApprovalStatus": "Approved",
                "InferenceSpecification": {"Containers": [{**container, "ModelDataSource": {"S3DataSource": folder}}]},
                "CustomerMetadataProperties": {"manifest": "0", "job": "job", "run": RUN},
            }
            event = {"detail": {"ModelPackageArn": names.model_version_arn(model, 1)}}
            runs += [(release, {VERSION: version}, first, event) for first in ("Missing", "InService", "Failed")]
    if monitor := others.get("monitor"):
        serving = {"folder": f"{work}/promoted/{RUN}/m/job/", "model_uri": f"{work}/promoted/{RUN}/m/job/", "run": RUN}
        known = {names.key(model): serving for model in names.config.models}
        found = json.dumps({**serving, **known, "outcome": "drift", "sentence": "Drift.", "data": "s3://raw/june/"})
        answers: dict[str, Any] = {LIST: _one_object, READ: {"Body": found}, READ_RUN: {"Input": found}}
        answers |= {LIST_RUNS: {"Executions": [{"ExecutionArn": names.execution_arn(RUN)}]}, START: {}}
        runs += [(monitor, answers, first, {}) for first in ("Missing", "InService")]
    asked_for, missed, reached = list[Asked](), set[str](), set[str]()
    for number, (definition, answers, first, event) in enumerate(runs):
        for name, digest in DIGESTS.items():
            definition = definition.replace(f"${{{name}}}", digest)
        of = tasks(json.loads(definition))
        given = _answers(names, of) | {state: answers[kind] for state, kind in of.items() if kind in answers}
        given |= {state: partial(_endpoint, of, state, first) for state, kind in of.items() if kind == DESCRIBE}
        if first == "Missing":  # no endpoint serves yet
            given |= {
                state: Throws("S3.NoSuchKeyException", "") for state in of if state.startswith("Find what serves")
            }
        calls = run(definition, given, event, f"{RUN}{number}").calls
        asked_for += [(of[state], parameters) for state, parameters in calls]
        missed, reached = missed | of.keys(), reached | {state for state, _ in calls}
    assert missed == reached, f"no execution reaches {sorted(missed - reached)}"
    return asked_for


def other_machines(names: Names) -> list[str]:
    config = names.config
    releases, monitors = bool(config.served_after_approval), bool(config.monitored)
    return [names.release_machine] * releases + [names.monitor_machine] * monitors


def _rehearsed(machine: dict[str, Any], of: dict[str, str]) -> list[Asked]:
    """The same of a machine with groups of models, whose children a rehearsal runs; in one run, they cannot predict."""
    found: dict[str, Asked] = {}
    mistake = {"Predict group": Fault("States.TaskFailed", MISTAKE)}
    written: dict[str, Any] = {}
    for number, (faults, files) in enumerate([({}, {}), (mistake, {"results": results(1e300)})]):

        def watch(visit: Visit, number: int = number) -> None:
            if visit.name in of:
                found[f"{number} {visit.name}"] = (of[visit.name], visit.request)

        root = scopes(machine)
        made = {"faults": faults, "files": files, "written": written, "execution": f"{RUN}{number}", "retried": False}
        Rehearsal(root, Shared(Report(), watch), replace(Scenarios(root).first, **made))
    missed = of.keys() - {key.partition(" ")[2] for key in found}
    assert not missed, f"no run reaches {sorted(missed)}"
    return list(found.values())


def _one_object(calls: list[tuple[str, Any]]) -> Any:
    _, request = calls[-1]
    return {"KeyCount": 1, "Contents": [{"Key": f"{request['Prefix']}2001/02/03/04/05-06-007-5c1f.jsonl", "Size": 5}]}


def _endpoint(of: dict[str, str], state: str, first: str, calls: list[tuple[str, Any]]) -> Any:
    """An endpoint as it was at first, or as the run's own calls have left it."""
    name = next(given["EndpointName"] for asking, given in reversed(calls) if asking == state)
    own = [given for asking, given in calls if of[asking] in ENDPOINT and of[asking] != DESCRIBE]
    done = [given for given in own if given["EndpointName"] == name]
    given = done[-1] if done else {}
    status = first if not done else "InService" if "EndpointConfigName" in given else "Missing"
    if status == "Missing":
        return Throws("SageMaker.SageMakerException", "Could not find endpoint")
    variants = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}]
    serves = given.get("EndpointConfigName", "before")
    return {"EndpointStatus": status, "EndpointConfigName": serves, "ProductionVariants": variants}


def _answers(names: Names, of: dict[str, str]) -> dict[str, Any]:
    """Every job does its work; the promoted models lie where promote puts them."""
    models = names.config.models
    promoted = {
        names.key(m): {"uses": "default", "model_uri": f"s3://{names.work_bucket}/promoted/{RUN}/{m.name}/job/"}
        for m in models
    }
    prints = [{"name": m.name, "train": m.name, "predict": m.name, "files": ["0.parquet"]} for m in models]
    bodies = {"Choose models": promoted, "Read fingerprints": {"models": prints}}
    jobs = {kind: {f"{noun}JobName": "job"} for kind, noun in KINDS.items()}
    jobs |= {MODEL: {"ModelArn": "arn"}, DELETE_MODEL: {"ResponseMetadata": {}}, WRITE: {}, PUBLISH: {}}
    tuned = {"HyperParameterTuningJobName": f"{names.prefix}-train-1", "BestTrainingJob": {"TrainingJobName": "job"}}
    jobs |= {TUNING: tuned, TRIALS: {"TrainingJobSummaries": []}}
    answers = {
        s: jobs.get(kind) or {"Body": json.dumps(bodies.get(s, {"mae": 0.001, "score": 0.9}))} for s, kind in of.items()
    }
    unknown = Throws("S3.NoSuchKeyException", "The specified key does not exist.")
    version = {"ModelPackageArn": "arn:aws:sagemaker:eu-west-1:123456789012:model-package/group/1"}
    answers |= {s: version for s, kind in of.items() if kind == REGISTER}
    answers |= {s: unknown for s in of if s.startswith("Look up")}
    missing = Throws("Ecr.ImageNotFoundException", "The image does not exist.")
    answers |= {s: missing for s, kind in of.items() if kind == FIND_IMAGE}
    answers |= {s: {"Build": {}} for s, kind in of.items() if kind == BUILD_IMAGE}
    return answers | {s: {"MessageId": "1"} for s, kind in of.items() if kind == PUBLISH}


# The state machine's role

DELIVERIES = [*(f"{verb}LogDelivery" for verb in ("Create", "Get", "Update", "Delete")), "ListLogDeliveries"]
DELIVERIES += ["PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"]


def machine_calls(names: Names, asked_for: list[Asked]) -> Iterator[Call]:
    call = Caller(names, names.role_arn("machine"))
    for integration, parameters in asked_for:
        yield from {
            **dict.fromkeys(KINDS, _job_started),
            MODEL: _model_created,
            DELETE_MODEL: _model_deleted,
            TRIALS: _trials_listed,
            READ: _object_read,
            WRITE: _object_written,
            PUBLISH: _mail_sent,
            REGISTER: _model_registered,
            FIND_IMAGE: _image_sought,
            BUILD_IMAGE: _image_built,
            **dict.fromkeys(ENDPOINT, _endpoint_changed),
            CONFIGURE: _endpoint_configured,
            **dict.fromkeys(SCALING, _endpoint_scaled),
            **dict.fromkeys((VERSION, LIST, LIST_RUNS, READ_RUN, START), _asked_around),
        }[integration](call, integration, parameters)
    for machine in other_machines(names):  # with the role of the rule's target
        arn = names.arn("states", f"stateMachine:{machine}")
        yield from call.asks("EventBridge starts a machine", "states:StartExecution", {"stateMachineArn": arn})
    if names.config.partitioned:
        yield from _groups_run(call)
    # "Using CloudWatch Logs to log execution history" and "Trace with X-Ray" in the Step Functions guide
    for action in DELIVERIES if names.config.log_runs else ():
        yield call("the machine's log", f"logs:{action}")
    for action in ("PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets"):
        yield call("the machine's traces", f"xray:{action}")


def _job_started(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    """What `.sync` does: create, follow through EventBridge and Describe, stop when the execution is stopped."""
    kind = KINDS[integration]
    yield from call.asks("start a job", f"sagemaker:Create{kind}Job", parameters)
    tags = {tag["Key"]: tag["Value"] for tag in parameters["Tags"]}
    for verb in ("Describe", "Stop"):
        followed = job_right(call.names, verb, kind, parameters[f"{kind}JobName"], tags)
        yield call.needs("follow it to its end", followed)
    yield call.needs("tell its tags", list_tags(call.names, kind, parameters[f"{kind}JobName"]))
    for right in managed_rule(call.names, kind):
        yield call.needs("hear of its end", right)
    parameters = parameters.get("TrainingJobDefinition", parameters)
    machines = parameters.get("ResourceConfig") or parameters.get("TransformResources")
    machines = machines or parameters["ProcessingResources"]["ClusterConfig"]
    # "SageMaker API permissions": the caller's, unless the job's role may do it. AWS's pages and aws-cdk's
    # create-training-job.ts grant it without a condition, and none says what the request tells IAM.
    if key := machines.get("VolumeKmsKeyId"):
        yield call("encrypt its disk", "kms:CreateGrant", key)


def _asked_around(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    service, operation = integration.removeprefix("aws-sdk:").split(":")
    if service in ("sfn", "states"):
        service, parameters = "states", {f"{key[0].lower()}{key[1:]}": value for key, value in parameters.items()}
    yield from call.asks("release or compare", f"{service}:{operation[0].upper()}{operation[1:]}", parameters)


def _image_sought(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    repository = call.names.arn("ecr", f"repository/{parameters['RepositoryName']}")
    yield call("look for an image", "ecr:DescribeImages", repository)


def _image_built(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    """ "IAM policies for AWS CodeBuild" in the Step Functions guide."""
    project = call.names.arn("codebuild", f"project/{parameters['ProjectName']}")
    for action in ("StartBuild", "StopBuild", "BatchGetBuilds"):
        yield call("build an image", f"codebuild:{action}", project)
    rule = call.names.arn("events", "rule/StepFunctionsGetEventForCodeBuildStartBuildRule")
    for action in ("PutTargets", "PutRule", "DescribeRule"):
        yield call("hear of a build's end", f"events:{action}", rule)


def _model_registered(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    yield from call.asks("register a model", "sagemaker:CreateModelPackage", parameters)


def _model_created(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    yield from call.asks("make a model of an archive", "sagemaker:CreateModel", parameters)


def _model_deleted(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    tags = {"stepgluon": call.names.prefix}
    for right in rights(call.names, "sagemaker:DeleteModel", parameters, lambda kind, name: tags):
        yield call.needs("delete a model after its transform job", right)


# Endpoints: "Actions, resources, and condition keys for Amazon SageMaker", and "Deployment guardrails" in its guide


def _endpoint_changed(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    """Creating and updating are decided about the config, too; `own` is the tag of what exists.

    A release looks for an endpoint before there is one, which then has no tags.
    """
    names, operation = call.names, ENDPOINT[integration]
    endpoint = names.arn("sagemaker", f"endpoint/{parameters['EndpointName'].lower()}")
    own: dict[str, Value] = {"aws:ResourceTag/stepgluon": names.prefix}
    if operation == "CreateEndpoint":
        yield from _tagged(call, operation, endpoint, parameters)
    else:
        if operation == "DescribeEndpoint":
            yield call("look for an endpoint", f"sagemaker:{operation}", endpoint)
        yield call("change an endpoint", f"sagemaker:{operation}", endpoint, **own)
    if config := parameters.get("EndpointConfigName"):
        arn = names.arn("sagemaker", f"endpoint-config/{config.lower()}")
        context = _request_tags(parameters) if operation == "CreateEndpoint" else own
        yield call("change an endpoint", f"sagemaker:{operation}", arn, **context)
    yield from _rolls_back(call, parameters)


def _rolls_back(call: Caller, parameters: dict[str, Any]) -> Iterator[Call]:
    """The guide's page on auto-rollback wants it for the "execution role": the caller's or the model's."""
    rollback = parameters.get("DeploymentConfig", {}).get("AutoRollbackConfiguration", {})
    for alarm in rollback.get("Alarms", []):
        arn = call.names.arn("cloudwatch", f"alarm:{alarm['AlarmName']}")
        yield call("roll back", "cloudwatch:DescribeAlarms", arn)


def _endpoint_configured(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    config = call.names.arn("sagemaker", f"endpoint-config/{parameters['EndpointConfigName'].lower()}")
    yield from _tagged(call, "CreateEndpointConfig", config, parameters)
    if key := parameters.get("KmsKeyId"):
        yield call("encrypt its disk", "kms:CreateGrant", key)


def _tagged(call: Caller, operation: str, arn: str, parameters: dict[str, Any]) -> Iterator[Call]:
    tags = _request_tags(parameters)
    yield call("make an endpoint", f"sagemaker:{operation}", arn, **tags)
    yield call("make an endpoint", "sagemaker:AddTags", arn, **tags, **{"sagemaker:TaggingAction": operation})


def _request_tags(parameters: dict[str, Any]) -> dict[str, Value]:
    keys: dict[str, Value] = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in parameters["Tags"]}
    return {**keys, "aws:TagKeys": tuple(tag["Key"] for tag in parameters["Tags"])}


def _endpoint_scaled(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    """ "Identity-based policy examples for Application Auto Scaling", and its table of what each service asks for."""
    names, operation = call.names, integration.rpartition(":")[2]
    context: dict[str, Value] = {"application-autoscaling:service-namespace": parameters["ServiceNamespace"]}
    context["application-autoscaling:scalable-dimension"] = parameters["ScalableDimension"]
    target = names.arn("application-autoscaling", "scalable-target/1234abcd")
    yield call("scale", f"application-autoscaling:{operation[0].upper()}{operation[1:]}", target, **context)
    endpoint = parameters["ResourceId"].split("/")[1]
    own: dict[str, Value] = {"aws:ResourceTag/stepgluon": names.prefix}
    if operation == "registerScalableTarget":
        for action, kind in (
            ("DescribeEndpoint", "endpoint"),
            ("DescribeEndpointConfig", "endpoint-config"),
            ("UpdateEndpointWeightsAndCapacities", "endpoint"),
        ):
            yield call("scale", f"sagemaker:{action}", names.arn("sagemaker", f"{kind}/{endpoint.lower()}-0"), **own)
        role = f"role/aws-service-role/{SCALING_ROLE}"
        service = {"iam:AWSServiceName": SCALING_ROLE.partition("/")[0]}
        yield call("scale", "iam:CreateServiceLinkedRole", names.arn("iam", role, region=""), **service)
    if operation == "putScalingPolicy":
        alarm = f"alarm:TargetTracking-{parameters['ResourceId']}-AlarmHigh-0123"
        for action in ("PutMetricAlarm", "DescribeAlarms", "DeleteAlarms"):
            yield call("scale by alarms", f"cloudwatch:{action}", names.arn("cloudwatch", alarm))


def _hosted(call: Caller, endpoint: str, config: dict[str, Any], model: dict[str, Any]) -> Iterator[Call]:
    """What SageMaker does with a model's role while it serves: pull, read the archive, log, measure, capture."""
    names, container = call.names, model["PrimaryContainer"]
    registry, _, repository = re.split("[@:]", container["Image"])[0].partition("/")
    arn = names.arn("ecr", f"repository/{repository}", account=registry.partition(".")[0])
    yield from _pulls(call, arn, "pull the image")
    place = container.get("ModelDataUrl") or container["ModelDataSource"]["S3DataSource"]["S3Uri"]
    yield from _input_read(call, place)
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    for action in ("CreateLogGroup", "DescribeLogStreams"):
        yield call("log", f"logs:{action}", names.arn("logs", f"log-group:{group}:log-stream:"))
    for operation in ("CreateLogStream", "PutLogEvents"):
        stream = {"logGroupName": group, "logStreamName": "AllTraffic/i-0123"}
        yield from call.asks("log", f"logs:{operation}", stream)
    yield call("measure", "cloudwatch:PutMetricData", **{"cloudwatch:namespace": "/aws/sagemaker/Endpoints"})
    if capture := config.get("DataCaptureConfig"):
        bucket, _, key = capture["DestinationS3Uri"].removeprefix("s3://").partition("/")
        rows = f"{key}{endpoint}/AllTraffic/2026/11/30/17/rows.jsonl"
        yield from call.asks("capture", "s3:PutObject", {"Bucket": bucket, "Key": rows})
    yield from _in_network(call, model.get("VpcConfig"))


def _trials_listed(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    operation = "sagemaker:ListTrainingJobsForHyperParameterTuningJob"
    if (name := parameters["HyperParameterTuningJobName"]) == "none":
        name = f"{call.names.prefix}-train-1"  # of a tuning that failed
    tags = {"stepgluon": call.names.prefix}
    for right in rights(call.names, operation, {"HyperParameterTuningJobName": name}, lambda kind, name: tags):
        yield call.needs("list the trainings", right)


def _object_read(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    yield from call.asks("read a small file", "s3:GetObject", parameters)
    # GetObject: without ListBucket a file that is not there is AccessDenied and not NoSuchKey, which is caught
    yield from call.asks("tell missing from forbidden", "s3:ListObjects", {"Bucket": parameters["Bucket"]})
    yield from call.with_key("decrypt it", call.names.config.encryption.kms_key, "s3", "Decrypt")


def _groups_run(call: Caller) -> Iterator[Call]:
    """ "IAM policies for using Distributed Map states" in the Step Functions guide."""
    groups = {"Bucket": call.names.work_bucket, "Key": f"runs/{RUN}0/prepared/groups.json"}
    yield from _object_read(call, READ, groups)
    yield call("start a group", "states:StartExecution", call.names.machine_arn)
    child = call.names.arn("states", f"execution:{call.names.machine}/Groups:0123abcd")
    for action in ("DescribeExecution", "RedriveExecution", "StopExecution"):
        yield call("follow a group", f"states:{action}", child)


def _object_written(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    yield from call.asks("write a small file", "s3:PutObject", parameters)
    yield from call.with_key("encrypt it", call.names.config.encryption.kms_key, "s3", "GenerateDataKey")


def _mail_sent(call: Caller, integration: str, parameters: dict[str, Any]) -> Iterator[Call]:
    yield from call.asks("mail", "sns:Publish", parameters)
    context = {"kms:EncryptionContext:aws:sns:topicArn": parameters["TopicArn"]}
    yield from call.with_key("encrypt the mail", topic_key(call.names), "sns", "GenerateDataKey Decrypt", **context)


# The jobs' role: what SageMaker does with it ("How to use SageMaker AI execution roles" in its guide)


def job_calls(names: Names, asked_for: list[Asked]) -> Iterator[Call]:
    call = Caller(names, names.role_arn("job"))
    for image in all_scripts():
        yield from _pulls(
            call, names.arn("ecr", f"repository/{names.repository(image)}"), "pull a promoted model's image"
        )
    models: dict[str, dict[str, Any]] = {}
    configs: dict[str, dict[str, Any]] = {}
    for integration, parameters in asked_for:
        if integration == CONFIGURE:
            configs[parameters["EndpointConfigName"]] = parameters
        if integration in ENDPOINT and (config := configs.get(parameters.get("EndpointConfigName", ""))):
            model = models[config["ProductionVariants"][0]["ModelName"]]
            yield from _hosted(call, parameters["EndpointName"], config, model)
            yield from _rolls_back(call, parameters)
        if integration == MODEL:
            models[parameters["ModelName"]] = parameters
        if integration == WRITE and parameters["Key"].endswith(".manifest"):
            first, *keys = parameters["Body"]
            bucket, _, folder = first["prefix"].removeprefix("s3://").partition("/")
            for key in keys:  # what a job reads by it
                yield from call.asks("read a listed file", "s3:GetObject", {"Bucket": bucket, "Key": folder + key})
        if integration == PROCESSING:
            job = parameters["ProcessingJobName"]
            places = [i["S3Input"]["S3Uri"] for i in parameters["ProcessingInputs"]]
            results = parameters["ProcessingOutputConfig"]
            outputs = [output["S3Output"]["S3Uri"] for output in results["Outputs"]]
            yield from _job(call, "Processing", job, parameters["AppSpecification"]["ImageUri"], places, outputs)
            disks = parameters["ProcessingResources"]["ClusterConfig"]
            yield from _encrypts(call, results.get("KmsKeyId"), disks.get("VolumeKmsKeyId"))
            yield from _in_network(call, parameters.get("NetworkConfig", {}).get("VpcConfig"))
        elif integration in (TRAINING, TUNING):
            tuning = parameters.get("HyperParameterTuningJobName", "")
            job = f"{tuning}-001-12345678" if tuning else parameters["TrainingJobName"]
            parameters = parameters.get("TrainingJobDefinition", parameters)
            places = [i["DataSource"]["S3DataSource"]["S3Uri"] for i in parameters["InputDataConfig"]]
            results = parameters["OutputDataConfig"]
            output = f"{results['S3OutputPath']}/{job}/output"
            image = parameters["AlgorithmSpecification"]["TrainingImage"]
            kept = [found["S3Uri"]] if (found := parameters.get("CheckpointConfig")) else []
            yield from _job(call, "Training", job, image, [*places, *kept], [output, *kept])
            yield from _encrypts(call, results.get("KmsKeyId"), parameters["ResourceConfig"].get("VolumeKmsKeyId"))
            yield from _in_network(call, parameters.get("VpcConfig"))
        elif integration == TRANSFORM:  # with the role of its model
            model, results = models[parameters["ModelName"]], parameters["TransformOutput"]
            container = model["PrimaryContainer"]
            rows = parameters["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
            places = [container["ModelDataUrl"], rows]
            job, output = parameters["TransformJobName"], results["S3OutputPath"]
            yield from _job(call, "Transform", job, container["Image"], places, [output])
            yield from _encrypts(call, results.get("KmsKeyId"), parameters["TransformResources"].get("VolumeKmsKeyId"))
            yield from _in_network(call, model.get("VpcConfig"))


def _files(place: str) -> list[str]:
    """A folder stands for what lies in it."""
    if place and not place.endswith("/"):
        return [place]
    return [
        f"{place}{name}"
        for name in ("part-0.parquet", *(["go.run"] if "/" not in place.strip("/") else ["metrics.json"]))
    ]


def _pulls(call: Caller, repository: str, why: str) -> Iterator[Call]:
    yield call(why, "ecr:GetAuthorizationToken")
    for action in ("BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage"):
        yield call(why, f"ecr:{action}", repository)


def _job(call: Caller, kind: str, job: str, image: str, inputs: list[str], outputs: list[str]) -> Iterator[Call]:
    names = call.names
    registry, _, repository = re.split("[@:]", image)[0].partition("/")
    account = registry.partition(".")[0]  # ours, or AWS's
    yield from _pulls(call, names.arn("ecr", f"repository/{repository}", account=account), "pull the image")
    for uri in inputs:
        yield from _input_read(call, uri)
    for uri in outputs:
        place, _, key = uri.removeprefix("s3://").partition("/")
        for file in _files(f"{key.rstrip('/')}/"):
            for operation in ("PutObject", "AbortMultipartUpload"):
                yield from call.asks("write the output", f"s3:{operation}", {"Bucket": place, "Key": file})
    group = f"/aws/sagemaker/{kind}Jobs"
    for action in ("CreateLogGroup", "DescribeLogStreams"):  # of the group: IAM is asked for a stream without a name
        yield call("log", f"logs:{action}", names.arn("logs", f"log-group:{group}:log-stream:"))
    stream = {"logGroupName": group, "logStreamName": f"{job}/algo-1-1700000000"}
    for operation in ("CreateLogStream", "PutLogEvents"):
        yield from call.asks("log", f"logs:{operation}", stream)
    yield call("measure", "cloudwatch:PutMetricData", **{"cloudwatch:namespace": f"/aws/sagemaker/{kind}Jobs"})


def _input_read(call: Caller, uri: str) -> Iterator[Call]:
    place, _, key = uri.removeprefix("s3://").partition("/")
    yield from call.asks("find the input", "s3:ListObjectsV2", {"Bucket": place, "Prefix": key})
    for file in _files(key):
        yield from call.asks("read the input", "s3:GetObject", {"Bucket": place, "Key": file})
    yield from call.with_key("decrypt the input", call.names.config.encryption.kms_key, "s3", "Decrypt")


def _encrypts(call: Caller, key: str | None, disks: str | None) -> Iterator[Call]:
    if disks:
        yield call("encrypt the disks", "kms:CreateGrant", disks)
    yield from call.with_key("encrypt the output", key, "s3", "Encrypt GenerateDataKey Decrypt")


def _in_network(call: Caller, vpc: dict[str, Any] | None) -> Iterator[Call]:
    if not vpc:
        return
    names, where = call.names, {"ec2:Region": call.names.config.region}
    subnets = [names.arn("ec2", f"subnet/{subnet}") for subnet in vpc["Subnets"]]
    groups = [names.arn("ec2", f"security-group/{group}") for group in vpc["SecurityGroupIds"]]
    made = names.arn("ec2", "network-interface/eni-0123456789abcdef0")
    for resource in (*subnets, *groups, names.arn("ec2", "network-interface/*")):
        yield call("join the network", "ec2:CreateNetworkInterface", resource, **where)
    for action in ("DeleteNetworkInterface", "CreateNetworkInterfacePermission"):
        for subnet in subnets:
            yield call("join the network", f"ec2:{action}", made, **where, **{"ec2:Subnet": subnet})
    yield call("leave the network", "ec2:DeleteNetworkInterfacePermission", **where)
    for what in ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups"):
        yield call("join the network", f"ec2:Describe{what}", **where)


# The trigger's role


def trigger_calls(names: Names) -> Iterator[Call]:
    """What the function's clients are asked, and what Lambda does with the function's role."""
    call, key = Caller(names, names.role_arn("trigger")), names.config.encryption.kms_key
    for service, operation, parameters in _recorded(names):
        if operation == "GetObject":
            yield from call.asks("read the .run file", "s3:GetObject", parameters)
            if "VersionId" not in parameters:
                yield from call.asks("tell missing from forbidden", "s3:ListObjects", {"Bucket": parameters["Bucket"]})
            yield from call.with_key("decrypt it", key, "s3", "Decrypt")
        elif operation == "DescribeExecution":
            yield from call.asks("read whose name is taken", "states:DescribeExecution", parameters)
        else:
            assert (service, operation) == ("states", "StartExecution"), f"{service}:{operation} is a new call"
            yield from call.asks("start", "states:StartExecution", parameters)
    yield from _in_lambda(call, "function")


def _in_lambda(call: Caller, log: str) -> Iterator[Call]:
    """What Lambda does with the role of a function that has a log group, a dead-letter queue and tracing."""
    names, key = call.names, call.names.config.encryption.kms_key
    stream = {"logGroupName": names.log_group(log), "logStreamName": "2025/01/31/[$LATEST]0123"}
    for operation in ("CreateLogStream", "PutLogEvents"):
        yield from call.asks("log", f"logs:{operation}", stream)
    for action in ("PutTraceSegments", "PutTelemetryRecords"):
        yield call("trace", f"xray:{action}")
    yield call("keep what failed", "sqs:SendMessage", names.arn("sqs", names.queue))
    yield from call.with_key("encrypt it", key, "sqs", "GenerateDataKey Decrypt")
    yield from call.with_key("read the variables", key, "lambda", "Decrypt")


def _recorded(names: Names) -> list[tuple[str, str, dict[str, Any]]]:
    """What the function asks its clients, for uploads with and without versions and content, the name being taken."""
    asked_for: list[tuple[str, str, dict[str, Any]]] = []

    class Client:
        def __init__(self, service: str) -> None:
            self.model = _model(service)

        def __getattr__(self, method: str) -> Any:
            (operation,) = [name for name in self.model.operation_names if xform_name(name) == method]

            def called(**parameters: Any) -> Any:
                asked_for.append((self.model.signing_name, operation, parameters))
                if operation == "DescribeExecution":
                    return {"input": "{}"}
                if operation == "StartExecution" and len(parameters["name"].rpartition("-")[2]) == 3:
                    raise ClientError({"Error": {"Code": "ExecutionAlreadyExists"}}, operation)
                return {"Body": mock.Mock(read=lambda size: b"")}

            return called

    function = trigger()
    function.client, function.log = Client, lambda outcome, **more: None
    records = [record("june/go.run", size=size, versionId=v) for size in (0, 9) for v in (None, "v1")]
    for one in (*records, record("go.run"), record("deep/er/Über 1+1.run", size=9)):
        one["s3"]["bucket"]["name"] = names.raw_bucket
        with mock.patch.dict("os.environ", {"RAW_BUCKET": names.raw_bucket, "STATE_MACHINE_ARN": names.live}):
            function.handler(event(one), None)
    return asked_for


# The role of the function that mails failures


def tell_calls(names: Names, asked_for: list[Asked]) -> Iterator[Call]:
    """What its clients are asked where each job of a run takes too long, and its event comes twice."""
    call, key = Caller(names, names.role_arn("tell")), names.config.encryption.kms_key
    jobs = {
        parameters[f"{kind}JobName"]: (kind, parameters)
        for integration, parameters in asked_for
        for wanted, kind in KINDS.items()
        if integration == wanted
    }
    for name, (kind, parameters) in jobs.items():
        tags = {tag["Key"]: tag["Value"] for tag in parameters["Tags"]}
        for service, operation, given in told_by_the_mailer(names, kind, name):
            if operation == f"Describe{kind}Job":
                yield call.needs("hear why a job failed", job_right(names, "Describe", kind, name, tags))
            elif operation == "Publish":
                yield from _mail_sent(call, "", given)
            else:
                yield from call.asks("tell a failure", f"{service}:{operation}", given)
            if operation in ("PutObject", "GetObject"):
                wanted = "GenerateDataKey" if operation == "PutObject" else "Decrypt"
                yield from call.with_key("encrypt the marker", key, "s3", wanted)
    for machine in other_machines(names):
        execution = {"executionArn": names.arn("states", f"execution:{machine}:{RUN}")}
        for operation in ("DescribeExecution", "GetExecutionHistory"):
            yield from call.asks("tell a failure", f"states:{operation}", execution)
    yield from _in_lambda(call, "tell")


def told_by_the_mailer(names: Names, kind: str, job: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The operations, and their parameters, that the function calls for a job that takes too long."""
    asked_for: list[tuple[str, str, dict[str, Any]]] = []
    history = History()
    history.job("A state", kind, job)
    history.add("TaskTimedOut", "taskTimedOut", resourceType="sagemaker", error="States.Timeout")
    marker = json.dumps({"event": "another", "mailed": True}).encode()
    answers = {
        "GetExecutionHistory": {"events": history.events},
        "DescribeLogStreams": {"logStreams": [{"logStreamName": f"{job}/algo-1-1700000000"}]},
        "GetLogEvents": {"events": [], "nextBackwardToken": "b"},
        "GetObject": {"Body": mock.Mock(read=lambda: marker)},
    }

    class Client:
        exceptions = mock.Mock(ResourceNotFoundException=KeyError)

        def __init__(self, service: str) -> None:
            self.model = _model(service)

        def __getattr__(self, method: str) -> Any:
            (operation,) = [name for name in self.model.operation_names if xform_name(name) == method]

            def called(**parameters: Any) -> Any:
                repeated = operation == "PutObject" and any(one[1] == "PutObject" for one in asked_for[done:])
                asked_for.append((self.model.signing_name, operation, parameters))
                if done and operation == "PutObject" and not repeated:
                    raise ClientError({"Error": {"Code": "PreconditionFailed", "Message": ""}}, operation)
                return answers.get(operation, {})

            return called

    function, done = fresh(), 0
    function.client, function.log = Client, lambda outcome, run, **more: None  # type: ignore[attr-defined]
    variables = {
        "PIPELINE": names.prefix,
        "WORK_BUCKET": names.work_bucket,
        "TOPIC_ARN": names.topic_arn,
        "COMMAND": names.pipeline_py("{}"),
    }
    context = mock.Mock(get_remaining_time_in_millis=lambda: 120_000)
    failed = failure("FAILED", "States.Timeout", executionArn=names.execution_arn(RUN), name=RUN)
    with mock.patch.dict("os.environ", variables):
        function.handler(failed, context)
        done = len(asked_for)
        function.handler(failed, context)
    return asked_for


@lru_cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


# What services do in their own name


def service_calls(names: Names) -> Iterator[tuple[str, Call]]:
    """With the policy that decides: of the topic, its key, the queue, or the function."""
    account = {"aws:SourceAccount": names.config.account}
    rules = [names.arn("events", f"rule/{name}") for name in (names.upload_rule, names.rule, names.build_failed_rule)]
    alarm = names.arn("cloudwatch", f"alarm:{names.alarm}")
    queue, topic = names.arn("sqs", names.queue), names.topic_arn
    events, cloudwatch = Caller(names, "events.amazonaws.com"), Caller(names, "cloudwatch.amazonaws.com")
    # EventBridge tells SNS no source, neither for the topic nor for its key: "Troubleshooting Amazon EventBridge",
    # and "Managing Amazon SNS encryption keys"
    yield "topic", events("mail a failed build", "sns:Publish", topic)
    for rule in rules:
        yield "queue", events("keep an event that was lost", "sqs:SendMessage", queue, **{"aws:SourceArn": rule})
    yield "topic", cloudwatch("mail an alarm", "sns:Publish", topic, **account, **{"aws:SourceArn": alarm})
    if not names.config.encryption.kms_key:
        context: dict[str, Value] = {"kms:EncryptionContext:aws:sns:topicArn": topic}
        for action in ("kms:GenerateDataKey", "kms:Decrypt"):
            yield "key", events("encrypt the mail", action, topic_key(names), **context)
            yield "key", cloudwatch("encrypt the mail", action, topic_key(names), **context, **account)
