"""For a call that is made, those that are almost the same and must not be allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from localaws.iam.policy_evaluation import Call, Value
from stepgluon.names import Names

ACCOUNT, REGION = "210987654321", "eu-north-1"
KEYS = (
    "config/0123456789abcdef/config.json",
    "definitions/0123456789abcdef.asl.json",
    "failures/run/0.json",
    "june/data.csv",
    "june/go.run",
    "failures/run/0.json",
    "markers/models/model/fingerprint.json",
    "markers/predictions/model/fingerprint.json",
    "models/model/fingerprint/job/output/model/metrics.json",
    "models/model/fingerprint/job/output/model/model.pkl",
    "predictions/model/fingerprint/run/part-0.parquet",
    "promoted.json",
    "promoted/run/model/job/model.pkl",
    "runs/run/predictions.manifest",
    "runs/run/prepared/rows/part-0.parquet",
    "runs/run/result/predictions.csv",
    "runs/run/verdicts.json",
    "something-else/file",
    "tell/0123456789abcdef.zip",
    "trigger/0123456789abcdef.zip",
)


def neighbours(names: Names, call: Call, own: frozenset[tuple[str, str]]) -> Iterator[tuple[str, Call]]:
    """`own` are the kinds of objects that the role works on: see kind()."""
    if call.resource != "*":
        yield from elsewhere(names, call)
        yield from of_another_pipeline(names, call)
    service = call.action.partition(":")[0]
    yield from {
        "s3": lambda: objects(names, call, own),
        "iam": lambda: (
            _roles(names, call)
            if call.action == "iam:PassRole"
            else _told_otherwise(call, "iam:AWSServiceName", "ecs.application-autoscaling.amazonaws.com")
        ),
        "states": lambda: _versions(call) if call.action == "states:StartExecution" else iter(()),
        "kms": lambda: _keys(names, call),
        "sagemaker": lambda: _jobs(call),
        "logs": lambda: _logs(names, call),
        "events": lambda: _rules(names, call),
        "cloudwatch": lambda: _told_otherwise(call, "cloudwatch:namespace", "AWS/Billing"),
        "application-autoscaling": lambda: _told_otherwise(call, "application-autoscaling:service-namespace", "ecs"),
        "ec2": lambda: _network(names, call),
    }.get(service, lambda: iter(()))()


def _told_otherwise(call: Call, key: str, value: str) -> Iterator[tuple[str, Call]]:
    """About something else of the service, or without saying about what."""
    if key in call.context:
        for other in (value, None):
            yield "about something else", with_context(call, **{key: other})


def with_context(call: Call, **changed: Value | None) -> Call:
    """The same with other context; None takes a key away."""
    context = {**call.context, **changed}
    return replace(call, context={key: value for key, value in context.items() if value is not None})


def elsewhere(names: Names, call: Call) -> Iterator[tuple[str, Call]]:
    parts = call.resource.split(":", 5)
    if parts[3]:
        yield "another region", replace(call, resource=":".join([*parts[:3], REGION, *parts[4:]]))
    if parts[4]:
        yield "another account", replace(call, resource=":".join([*parts[:4], ACCOUNT, parts[5]]))
    elif names.config.account in parts[5]:
        yield "another account", replace(call, resource=call.resource.replace(names.config.account, ACCOUNT))


def of_another_pipeline(names: Names, call: Call) -> Iterator[tuple[str, Call]]:
    """Names that begin or end with ours, and the environments of ours. What it owns has its tag."""
    if _looks_for(call) and not any(untagged(call)):
        return
    for other in (f"{names.prefix}-prod", f"{names.prefix}-train", f"{names.prefix}x", f"x{names.prefix}", "another"):
        head, _, rest = call.resource.partition(f"{call.action.partition(':')[0]}:")
        if names.prefix in rest:
            tags = {key: other for key in call.context if key.endswith("Tag/stepgluon")}
            moved = head + call.resource[len(head) : len(call.resource) - len(rest)] + rest.replace(names.prefix, other)
            yield f"the pipeline {other}", with_context(replace(call, resource=moved), **tags)


def kind(arn: str) -> tuple[str, str]:
    """What an object is: its bucket, and its key without what differs from run to run."""
    bucket, _, key = arn.partition(":::")[2].partition("/")
    parts = key.split("/")
    if "-raw-" in bucket:
        return bucket, ".run" if key.endswith(".run") else "table"
    read_alone = parts[-1] if parts[-1] in ("metrics.json", "fingerprints.json") else ""
    return bucket, f"{parts[0]} {parts[2] if parts[0] == 'runs' else ''} {read_alone}"


def objects(names: Names, call: Call, own: frozenset[tuple[str, str]]) -> Iterator[tuple[str, Call]]:
    yield "no encryption on the way", with_context(call, **{"aws:SecureTransport": "false"})
    if "/" not in call.resource:
        return
    for bucket in (names.raw_bucket, names.work_bucket):
        for key in KEYS:
            arn = f"{names.arn('s3', bucket, region='', account='')}/{key}"
            if kind(arn) not in own:
                yield "another object", replace(call, resource=arn)


def _roles(names: Names, call: Call) -> Iterator[tuple[str, Call]]:
    for part in ("machine", "trigger", "build", "pipeline", "deployer"):
        yield "another role", replace(call, resource=names.role_arn(part))
    yield "a role of the account", replace(call, resource=names.arn("iam", "role/Admin", region=""))
    for service in ("lambda.amazonaws.com", "ec2.amazonaws.com", "states.amazonaws.com"):
        yield "to another service", with_context(call, **{"iam:PassedToService": service})


def _versions(call: Call) -> Iterator[tuple[str, Call]]:
    """The machines around the runs have neither versions nor aliases."""
    for qualifier in ("1", "test", None) if "states:StateMachineQualifier" in call.context else ():
        yield "not what is live", with_context(call, **{"states:StateMachineQualifier": qualifier})


def _keys(names: Names, call: Call) -> Iterator[tuple[str, Call]]:
    other = names.arn("kms", "key/99999999-9999-9999-9999-999999999999")
    if names.config.encryption.kms_key:
        yield "another key", replace(call, resource=other)
    else:  # which key is the topic's is only known to SNS
        yield "not through SNS", with_context(call, **{"kms:ViaService": None})
        yield (
            "through another service",
            with_context(call, **{"kms:ViaService": f"s3.{names.config.region}.amazonaws.com"}),
        )


def _looks_for(call: Call) -> bool:
    """Whether it may be about what does not exist, which has no tags."""
    return call.action == "sagemaker:DescribeEndpoint"


def untagged(call: Call) -> Iterator[tuple[str, Call]]:
    for key in call.context:
        if key.endswith("Tag/stepgluon") and _looks_for(call):
            yield "with another's tag", with_context(call, **{key: "another"})
        elif key.endswith("Tag/stepgluon"):
            yield "without our tag", with_context(call, **{key: None})
            yield "with another's tag", with_context(call, **{key: "another"})


def _jobs(call: Call) -> Iterator[tuple[str, Call]]:
    yield from untagged(call)
    if call.action == "sagemaker:AddTags":
        for other in (None, "CreateCluster"):
            yield "tagging what is there already", with_context(call, **{"sagemaker:TaggingAction": other})
    if call.action == "sagemaker:CreateModelPackage":
        for status in (None, "Approved", "Rejected"):
            if status != call.context["sagemaker:ModelApprovalStatus"]:
                yield "with another status", with_context(call, **{"sagemaker:ModelApprovalStatus": status})


def _logs(names: Names, call: Call) -> Iterator[tuple[str, Call]]:
    _, mark, stream = call.resource.partition(":log-stream:")
    if mark:
        for other in ("/aws/sagemaker/Endpoints/x", "/aws/codebuild/x", names.log_group("machine"), "/aws/lambda/x"):
            yield "another log", replace(call, resource=names.arn("logs", f"log-group:{other}:log-stream:{stream}"))


def _rules(names: Names, call: Call) -> Iterator[tuple[str, Call]]:
    for rule in (names.rule, "another", "StepFunctionsGetEventsForSageMakerTransformJobsRule"):
        yield "another rule", replace(call, resource=names.arn("events", f"rule/{rule}"))


def _network(names: Names, call: Call) -> Iterator[tuple[str, Call]]:
    if ":subnet/" in call.resource:
        yield "another subnet", replace(call, resource=names.arn("ec2", "subnet/subnet-99999999"))
    if ":security-group/" in call.resource:
        yield "another security group", replace(call, resource=names.arn("ec2", "security-group/sg-99999999"))
    if "ec2:Subnet" in call.context:
        yield "in another subnet", with_context(call, **{"ec2:Subnet": names.arn("ec2", "subnet/subnet-99999999")})
    if call.resource == "*":
        yield "another region", with_context(call, **{"ec2:Region": REGION})
