"""The calls that create and configure resources, for types that need more than the calls in their row.

`aws` returns a service's client. A `configure` function also gets the old properties, which are empty for a resource
that was just created.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

Aws = Callable[[str], Any]
Properties = dict[str, Any]


class HandlerError(Exception):
    """The resource cannot be created or changed, for this reason."""


def lower_first(value: Any) -> Any:
    """Rename keys like CloudFormation's `LogGroupArn` to the JSON APIs' `logGroupArn`, at every level."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: lower_first(item) for key, item in value.items()}
    return [lower_first(item) for item in value] if isinstance(value, list) else value


def tags_as_dict(given: Properties) -> dict[str, str]:
    return {tag["Key"]: str(tag["Value"]) for tag in given.get("Tags", [])}


def only(given: Properties, *names: str) -> Properties:
    return {name: given[name] for name in names if name in given}


# IAM and KMS


def create_policy(aws: Aws, name: str, given: Properties) -> str:
    document, description = json.dumps(given["PolicyDocument"]), given.get("Description", "")
    made = aws("iam").create_policy(PolicyName=name, PolicyDocument=document, Description=description)
    return str(made["Policy"]["Arn"])


def configure_policy(aws: Aws, arn: str, old: Properties, new: Properties) -> None:
    if old:
        document = json.dumps(new["PolicyDocument"])
        aws("iam").create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
        for version in aws("iam").list_policy_versions(PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                aws("iam").delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])


def create_role(aws: Aws, name: str, given: Properties) -> None:
    trust = json.dumps(given["AssumeRolePolicyDocument"])
    more = only(given, "PermissionsBoundary", "Tags")
    aws("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust, **more)


def configure_role(aws: Aws, role: str, old: Properties, new: Properties) -> None:
    client = aws("iam")
    if old:
        trust, boundary = json.dumps(new["AssumeRolePolicyDocument"]), new.get("PermissionsBoundary")
        client.update_assume_role_policy(RoleName=role, PolicyDocument=trust)
        if boundary:
            client.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=boundary)
        elif "PermissionsBoundary" in old:
            client.delete_role_permissions_boundary(RoleName=role)
    policies = {policy["PolicyName"]: policy["PolicyDocument"] for policy in new.get("Policies", [])}
    for name in {policy["PolicyName"] for policy in old.get("Policies", [])} - policies.keys():
        client.delete_role_policy(RoleName=role, PolicyName=name)
    for name, document in policies.items():
        client.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


def delete_role(aws: Aws, role: str, given: Properties) -> None:
    for name in aws("iam").list_role_policies(RoleName=role)["PolicyNames"]:
        aws("iam").delete_role_policy(RoleName=role, PolicyName=name)
    aws("iam").delete_role(RoleName=role)


def create_key(aws: Aws, name: str, given: Properties) -> str:
    tags = [{"TagKey": key, "TagValue": value} for key, value in tags_as_dict(given).items()]
    policy, description = json.dumps(given["KeyPolicy"]), given.get("Description", "")
    return str(aws("kms").create_key(Policy=policy, Description=description, Tags=tags)["KeyMetadata"]["KeyId"])


def configure_key(aws: Aws, key: str, old: Properties, new: Properties) -> None:
    if old:
        aws("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(new["KeyPolicy"]))
    (aws("kms").enable_key_rotation if new.get("EnableKeyRotation") else aws("kms").disable_key_rotation)(KeyId=key)


# Lambda

FUNCTION_SETTINGS = """DeadLetterConfig Description Environment Handler KmsKeyArn LoggingConfig MemorySize Role
    Runtime Timeout TracingConfig"""


def _function_settings(given: Properties) -> Properties:
    settings = only(given, *FUNCTION_SETTINGS.split())
    return {"KMSKeyArn" if name == "KmsKeyArn" else name: value for name, value in settings.items()}


def create_function(aws: Aws, name: str, given: Properties) -> None:
    settings = _function_settings(given)
    aws("lambda").create_function(FunctionName=name, Code=given["Code"], Tags=tags_as_dict(given), **settings)


def configure_function(aws: Aws, name: str, old: Properties, new: Properties) -> None:
    client, reserved = aws("lambda"), new.get("ReservedConcurrentExecutions")
    if old and old["Code"] != new["Code"]:
        client.update_function_code(FunctionName=name, **new["Code"])
    if old and _function_settings(old) != _function_settings(new):
        client.update_function_configuration(FunctionName=name, **_function_settings(new))
    if reserved is not None:
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
    elif "ReservedConcurrentExecutions" in old:
        client.delete_function_concurrency(FunctionName=name)


# SNS, SQS and EventBridge

QUEUE_DEFAULTS = {"KmsMasterKeyId": "", "MessageRetentionPeriod": 345600, "SqsManagedSseEnabled": True}  # [sqs]


def configure_queue(aws: Aws, url: str, old: Properties, new: Properties) -> None:
    values = {**QUEUE_DEFAULTS, **only(new, *QUEUE_DEFAULTS)}
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    kept = aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
    aws("sqs").set_queue_attributes(QueueUrl=url, Attributes={**kept, **texts})  # moto drops a policy otherwise


def set_topic_attribute(aws: Aws, topic: str, name: str, value: str) -> None:
    aws("sns").set_topic_attributes(TopicArn=topic, AttributeName=name, AttributeValue=value)


def configure_topic_policy(aws: Aws, name: str, old: Properties, new: Properties) -> None:
    for topic in new["Topics"]:
        set_topic_attribute(aws, topic, "Policy", json.dumps(new["PolicyDocument"]))


def set_queue_policy(aws: Aws, given: Properties, document: str) -> None:
    for queue in given["Queues"]:
        aws("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": document})


def configure_rule(aws: Aws, name: str, old: Properties, new: Properties) -> None:
    """EventBridge here knows patterns and rates; it names a rule with cron(…) in its log, and starts nothing."""
    client = aws("events")
    pattern = {"EventPattern": json.dumps(new["EventPattern"])} if "EventPattern" in new else {}
    client.put_rule(Name=name, **pattern, **only(new, "Description", "ScheduleExpression", "State", "Tags"))
    removed = {target["Id"] for target in old.get("Targets", [])} - {target["Id"] for target in new["Targets"]}
    if removed:
        client.remove_targets(Rule=name, Ids=sorted(removed))
    answer = client.put_targets(Rule=name, Targets=new["Targets"])
    if answer["FailedEntryCount"]:
        raise HandlerError(answer["FailedEntries"][0]["ErrorMessage"])


def delete_rule(aws: Aws, name: str, given: Properties) -> None:
    aws("events").remove_targets(Rule=name, Ids=[target["Id"] for target in given["Targets"]])
    aws("events").delete_rule(Name=name)


# Step Functions


def create_machine(aws: Aws, name: str, given: Properties) -> str:
    kind, tags = given.get("StateMachineType", "STANDARD"), lower_first(given.get("Tags", []))
    settings = _machine_settings(aws, given)
    return str(
        aws("stepfunctions").create_state_machine(name=name, type=kind, tags=tags, **settings)["stateMachineArn"]
    )


def configure_machine(aws: Aws, arn: str, old: Properties, new: Properties) -> None:
    if old:
        aws("stepfunctions").update_state_machine(stateMachineArn=arn, **_machine_settings(aws, new))


def _machine_settings(aws: Aws, given: Properties) -> Properties:
    text = given.get("DefinitionString")
    if text is None:
        place = given["DefinitionS3Location"]
        text = aws("s3").get_object(Bucket=place["Bucket"], Key=place["Key"])["Body"].read().decode()
    values = given.get("DefinitionSubstitutions", {})
    # [cfn] `${name}`, of letters, digits and underscores; one without a value stays
    definition = re.sub(r"\$\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), text, flags=re.ASCII)
    more = lower_first(only(given, "LoggingConfiguration", "TracingConfiguration"))
    return {"definition": definition, "roleArn": given["RoleArn"], **more}


def revision(aws: Aws, arn: str) -> str:
    return str(aws("stepfunctions").describe_state_machine(stateMachineArn=arn)["revisionId"])


def create_version(aws: Aws, name: str, given: Properties) -> str:
    made = aws("stepfunctions").publish_state_machine_version(stateMachineArn=given["StateMachineArn"])
    return str(made["stateMachineVersionArn"])


def create_alias(aws: Aws, name: str, given: Properties) -> str:
    routes = lower_first(given["RoutingConfiguration"])
    made = aws("stepfunctions").create_state_machine_alias(name=name, routingConfiguration=routes)
    return str(made["stateMachineAliasArn"])


def configure_alias(aws: Aws, arn: str, old: Properties, new: Properties) -> None:
    if old:
        routes = lower_first(new["RoutingConfiguration"])
        aws("stepfunctions").update_state_machine_alias(stateMachineAliasArn=arn, routingConfiguration=routes)


# CodeBuild and CodePipeline


def create_project(aws: Aws, name: str, given: Properties) -> None:
    project = {**lower_first(given), "name": name}
    if "BuildSpec" in given["Source"]:
        project["source"]["buildspec"] = project["source"].pop("buildSpec")
    for part in ("source", "artifacts"):
        if project[part]["type"] == "CODEPIPELINE":
            project[part]["location"] = "codepipeline"  # moto requires one
    aws("codebuild").create_project(**project)


def configure_project(aws: Aws, name: str, old: Properties, new: Properties) -> None:
    if old:  # moto lacks UpdateProject
        aws("codebuild").delete_project(name=name)
        create_project(aws, name, new)


def create_pipeline(aws: Aws, name: str, given: Properties) -> None:
    aws("codepipeline").create_pipeline(pipeline=_pipeline(name, given), tags=lower_first(given.get("Tags", [])))


def configure_pipeline(aws: Aws, name: str, old: Properties, new: Properties) -> None:
    if old:
        aws("codepipeline").update_pipeline(pipeline=_pipeline(name, new))


def _pipeline(name: str, given: Properties) -> Properties:
    pipeline = lower_first({**{key: value for key, value in given.items() if key != "Tags"}, "Name": name})
    for stage, entry in zip(pipeline["stages"], given["Stages"], strict=True):
        for action, raw in zip(stage["actions"], entry["Actions"], strict=True):
            if "Configuration" in raw:
                action["configuration"] = raw["Configuration"]  # its keys are the action's own
    return dict(pipeline)
