"""The local CloudFormation as seen by `deploy`: change sets, events, rollbacks."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from local_aws import ACCOUNT, REGION, until

from localaws.base.clients import Clients
from localaws.cloudformation.handlers import HandlerError
from localaws.cloudformation.resource_types import RESOURCE_TYPES
from localaws.cloudformation.service import CloudFormation
from localaws.server.aws import LocalAws

NUMBERS = itertools.count()
Resources = dict[str, dict[str, Any]]


class Account:
    """A stack with a name of its own, and the services that it uses."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.number = next(NUMBERS)
        self.stack = f"stack-{self.number}"
        self.api = aws.client("cloudformation")

    def change_set(self, resources: Resources, kind: str, **more: Any) -> dict[str, Any]:
        template = {"Resources": resources, **more.pop("parts", {})}
        made = self.api.create_change_set(
            StackName=self.stack,
            ChangeSetName=f"c{next(NUMBERS)}",
            ChangeSetType=kind,
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            ImportExistingResources=True,
            **more,
        )
        return dict(self.api.describe_change_set(ChangeSetName=made["Id"]))

    def deploy(self, resources: Resources, kind: str = "UPDATE", **more: Any) -> str:
        """The stack's status afterwards."""
        self.api.execute_change_set(ChangeSetName=self.change_set(resources, kind, **more)["ChangeSetId"])
        return self.status()

    def created(self, resources: Resources, **more: Any) -> str:
        return self.deploy(resources, "CREATE", **more)

    def status(self) -> str:
        return str(self.api.describe_stacks(StackName=self.stack)["Stacks"][0]["StackStatus"])

    def events(self) -> list[str]:
        events = self.api.describe_stack_events(StackName=self.stack)["StackEvents"]
        return [f"{one['LogicalResourceId']} {one['ResourceStatus']}" for one in reversed(events)]

    def reason(self) -> str:
        events = self.api.describe_stack_events(StackName=self.stack)["StackEvents"]
        return next(str(one["ResourceStatusReason"]) for one in events if one["ResourceStatus"].endswith("E_FAILED"))

    def physical(self, logical: str) -> str:
        found = self.api.describe_stack_resource(StackName=self.stack, LogicalResourceId=logical)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def changes(self, resources: Resources) -> dict[str, dict[str, Any]]:
        found = self.change_set(resources, "UPDATE")["Changes"]
        return {one["ResourceChange"]["LogicalResourceId"]: one["ResourceChange"] for one in found}


@pytest.fixture
def account(aws: LocalAws) -> Account:
    return Account(aws)


def queue(name: str = "", **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {**({"QueueName": name} if name else {}), **more}}


def bucket(name: str, **more: Any) -> dict[str, Any]:
    return {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "Properties": {"BucketName": name, **more}}


def role(name: str, **more: Any) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [trust]}
    return {"Type": "AWS::IAM::Role", "Properties": {"RoleName": name, "AssumeRolePolicyDocument": document, **more}}


def get(name: str, attribute: str = "Arn") -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]}


def machine(name: str, says: str) -> Resources:
    text = json.dumps({"StartAt": "S", "States": {"S": {"Type": "Pass", "Result": says, "End": True}}})
    place = {"StateMachineName": name, "DefinitionString": text, "RoleArn": get("Role")}
    version = {
        "StateMachineArn": {"Ref": "Machine"},
        "StateMachineRevisionId": get("Machine", "StateMachineRevisionId"),
    }
    routes = [{"StateMachineVersionArn": {"Ref": "Version"}, "Weight": 100}]
    return {
        "Role": role(f"{name}-role"),
        "Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": place},
        "Version": {
            "Type": "AWS::StepFunctions::StateMachineVersion",
            "UpdateReplacePolicy": "Retain",
            "DeletionPolicy": "Retain",
            "Properties": version,
        },
        "Alias": {
            "Type": "AWS::StepFunctions::StateMachineAlias",
            "Properties": {"Name": "live", "RoutingConfiguration": routes},
        },
    }


def test_resources_are_created_in_the_order_of_their_references(account: Account) -> None:
    status = account.created({"Policy": policy("Q"), "Q": queue()})
    assert status == "CREATE_COMPLETE"
    done = [event for event in account.events() if event.endswith("CREATE_COMPLETE")]
    assert done == ["Q CREATE_COMPLETE", "Policy CREATE_COMPLETE", f"{account.stack} CREATE_COMPLETE"]


def policy(name: str, action: str = "sqs:SendMessage") -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": action, "Resource": get(name)}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return {"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": [{"Ref": name}], "PolicyDocument": document}}


def test_references_resolve_to_parameters_ids_and_attributes(account: Account) -> None:
    outputs = {
        "Parameter": {"Value": {"Ref": "A"}},
        "Account": {"Value": {"Ref": "AWS::AccountId"}},
        "Region": {"Value": {"Ref": "AWS::Region"}},
        "Id": {"Value": {"Ref": "Q"}},
        "Attribute": {"Value": get("Q", "QueueName")},
    }
    parts = {"Parameters": {"A": {"Type": "String", "Default": "x"}}, "Outputs": outputs}
    account.created({"Q": queue(f"q{account.number}")}, parts=parts)
    found = account.api.describe_stacks(StackName=account.stack)["Stacks"][0]["Outputs"]
    assert {one["OutputKey"]: one["OutputValue"] for one in found} == {
        "Parameter": "x",
        "Account": ACCOUNT,
        "Region": REGION,
        "Id": account.physical("Q"),
        "Attribute": f"q{account.number}",
    }


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        ({"R": {"Type": "AWS::EC2::Instance"}}, "Unrecognized resource types"),
        ({"R": queue(FifoQueue=True)}, "unsupported property FifoQueue"),
        ({"R": policy("Q")}, "Unresolved resource dependencies"),
        ({"A": policy("B"), "B": {**queue(), "DependsOn": "A"}}, "Circular dependency"),
        ({"R": {**queue(), "Condition": "Maybe"}}, "Condition"),
        ({"R": queue({"Fn::FindInMap": ["a", "b", "c"]})}, "Fn::FindInMap"),  # type: ignore[arg-type]
    ],
)
def test_what_the_local_aws_does_not_know_is_refused_and_not_ignored(
    account: Account, resources: Resources, sentence: str
) -> None:
    with pytest.raises(ClientError, match=sentence):
        account.change_set(resources, "CREATE")


def test_a_template_that_is_larger_than_a_call_may_send_is_refused(account: Account) -> None:
    with pytest.raises(ClientError, match="51200"):
        account.change_set({"Q": queue("q" * 51_200)}, "CREATE")


def test_the_same_template_again_changes_nothing_and_says_so(account: Account) -> None:
    account.created({"Q": queue()})
    again = account.change_set({"Q": queue()}, "UPDATE")
    assert (again["Status"], again["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "didn't contain changes" in again["StatusReason"]
    with pytest.raises(ClientError, match="InvalidChangeSetStatus"):
        account.api.execute_change_set(ChangeSetName=again["ChangeSetId"])


def test_a_change_set_lists_what_is_created_changed_replaced_and_removed(account: Account) -> None:
    name = f"q{account.number}"
    same, named = {"Same": queue()}, {"Moved": queue(name), "Bare": queue(f"{name}-c")}
    account.created({**same, **named, "Changed": queue(), "Gone": queue(), "P": policy("Moved")})
    changed, moved, bare = queue(MessageRetentionPeriod=60), queue(f"{name}b"), {"Type": "AWS::SQS::Queue"}
    changes = account.changes(
        {**same, "Changed": changed, "Moved": moved, "Bare": bare, "New": queue(), "P": policy("Moved")}
    )
    assert {name: (one["Action"], one.get("Replacement")) for name, one in changes.items()} == {
        "New": ("Add", None),
        "Changed": ("Modify", "False"),
        "Moved": ("Modify", "True"),
        "Bare": ("Modify", "True"),
        "P": ("Modify", "False"),  # its queue is another one
        "Gone": ("Remove", None),
    }
    assert changes["Changed"]["Details"][0]["Target"]["Name"] == "MessageRetentionPeriod"


def test_properties_change_in_place_and_removed_resources_are_deleted_last(account: Account) -> None:
    account.created({"Q": queue(), "Old": queue(), "P": policy("Q")})
    url = account.physical("Q")
    assert account.deploy({"Q": queue(MessageRetentionPeriod=60), "P": policy("Q")}) == "UPDATE_COMPLETE"
    assert account.physical("Q") == url
    attributes = account.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["MessageRetentionPeriod"] == "60" and "SendMessage" in attributes["Policy"]
    events = account.events()
    assert events.index("Q UPDATE_COMPLETE") < events.index("Old DELETE_COMPLETE")


def test_a_stack_that_cannot_be_created_leaves_only_what_is_retained(account: Account) -> None:
    name = f"taken-{account.number}"
    account.aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    kept = f"kept-{account.number}"
    resources = {"Bucket": bucket(kept), "Q": queue(f"gone-{account.number}"), "Role": role(name)}
    assert account.created(resources) == "ROLLBACK_COMPLETE"
    assert "already exists" in account.reason()
    assert "Bucket DELETE_SKIPPED" in account.events()
    assert account.aws.buckets.exists(kept)
    assert not account.aws.client("sqs").list_queues(QueueNamePrefix=f"gone-{account.number}").get("QueueUrls")
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        account.change_set(resources, "UPDATE")
    account.api.delete_stack(StackName=account.stack)
    change = account.change_set({"Bucket": bucket(kept)}, "CREATE")["Changes"][0]["ResourceChange"]
    assert change["Action"] == "Import"


def test_a_bug_while_creating_a_resource_fails_it_and_rolls_back(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(aws: Any, name: str, given: Any) -> str:
        raise KeyError("Sqs")

    name = f"half-{account.number}"
    change_type(monkeypatch, "AWS::SQS::Queue", create=broken)
    resources = {"Role": role(name), "Q": {**queue(), "DependsOn": "Role"}}
    assert account.created(resources) == "ROLLBACK_COMPLETE"
    assert account.reason() == "a bug of the local AWS: KeyError: 'Sqs'"
    assert places_of_bugs(capsys) == ["broken"]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        account.aws.client("iam").get_role(RoleName=name)
    account.api.delete_stack(StackName=account.stack)
    monkeypatch.undo()
    assert account.created(resources) == "CREATE_COMPLETE"


def change_type(monkeypatch: pytest.MonkeyPatch, name: str, **calls: Any) -> None:
    monkeypatch.setitem(RESOURCE_TYPES, name, dataclasses.replace(RESOURCE_TYPES[name], **calls))


def test_a_change_that_cannot_be_undone_says_why(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = RESOURCE_TYPES["AWS::SQS::Queue"].configure

    def stuck(aws: Any, url: str, old: Any, new: Any) -> None:
        if new.get("MessageRetentionPeriod") != 90:
            raise HandlerError("the queue is stuck")
        plain(aws, url, old, new)

    def stack(timeout: int, description: str) -> Resources:
        return {"Q": queue(MessageRetentionPeriod=timeout), "Policy": {**managed(name, description), "DependsOn": "Q"}}

    name = f"back-{account.number}"
    account.created(stack(60, "one"))
    change_type(monkeypatch, "AWS::SQS::Queue", configure=stuck)
    assert account.deploy(stack(90, "two")) == "UPDATE_ROLLBACK_FAILED"
    assert account.events()[-2:] == ["Q UPDATE_FAILED", f"{account.stack} UPDATE_ROLLBACK_FAILED"]
    assert account.reason() == "the queue is stuck"


def managed(name: str, description: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    properties = {"ManagedPolicyName": name, "Description": description, "PolicyDocument": document}
    return {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}


def places_of_bugs(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The functions in which the printed tracebacks end."""
    shown = capsys.readouterr().err.split("Traceback (most recent call last):")[1:]
    return [re.findall(r", in (\w+)", one)[-1] for one in shown]


@pytest.mark.parametrize("where", ["within the process", "over the web"])
def test_a_bug_fails_the_call_and_prints_one_traceback(
    aws: LocalAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    def broken(*values: Any) -> None:
        raise KeyError("my bug")

    monkeypatch.setattr(CloudFormation, "call", broken)
    clients = Clients(aws.endpoint)
    api = aws.client("cloudformation") if where == "within the process" else clients.get("cloudformation", REGION)
    with pytest.raises(ResponseParserError):
        api.describe_stacks()
    clients.close()
    assert until(lambda: places_of_bugs(capsys)) == ["broken"]  # the web server answers first


def test_a_failed_change_is_rolled_back_and_the_old_machine_still_runs(account: Account) -> None:
    name = f"m{account.number}"
    account.created(machine(name, "one"))
    broken = machine(name, "two")
    broken["Alias"]["DependsOn"] = []
    broken["Last"] = {**role(f"{name}-role"), "DependsOn": "Alias"}
    assert account.deploy(broken) == "UPDATE_ROLLBACK_COMPLETE"
    states = account.aws.client("stepfunctions")
    arn = account.physical("Machine")
    assert '"one"' in states.describe_state_machine(stateMachineArn=arn)["definition"]
    live = states.describe_state_machine_alias(stateMachineAliasArn=f"{arn}:live")
    assert live["routingConfiguration"][0]["stateMachineVersionArn"] == f"{arn}:1"
    assert account.physical("Version") == f"{arn}:1"
    assert account.deploy(machine(name, "three")) == "UPDATE_COMPLETE"
    live = states.describe_state_machine_alias(stateMachineAliasArn=f"{arn}:live")["routingConfiguration"][0]
    version = states.describe_state_machine(stateMachineArn=live["stateMachineVersionArn"])
    assert '"three"' in version["definition"]


def test_a_changed_machine_is_a_new_version_and_the_old_one_stays(account: Account) -> None:
    name = f"m{account.number}"
    account.created(machine(name, "one"))
    changes = account.changes(machine(name, "two"))
    assert {name: one["Replacement"] for name, one in changes.items()} == {
        "Machine": "False",
        "Version": "Conditional",
        "Alias": "False",
    }
    account.deploy(machine(name, "two"))
    arn = account.physical("Machine")
    states = account.aws.client("stepfunctions")
    versions = states.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"]
    assert [one["stateMachineVersionArn"] for one in versions] == [f"{arn}:2", f"{arn}:1"]
    assert account.physical("Version") == f"{arn}:2"


def test_a_named_resource_is_not_replaced_under_its_name(account: Account) -> None:
    name = f"policy-{account.number}"
    account.created({"P": managed(name, "one")})
    assert account.deploy({"P": managed(name, "two")}) == "UPDATE_ROLLBACK_COMPLETE"
    assert "custom-named resource" in account.reason()


def test_a_bucket_has_all_that_the_template_says(account: Account) -> None:
    name = f"bucket-{account.number}"
    rules = [{"Id": "old", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 3}}]
    private = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
    encrypted = {"ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    whole = bucket(
        name,
        VersioningConfiguration={"Status": "Enabled"},
        LifecycleConfiguration={"Rules": rules},
        PublicAccessBlockConfiguration=private,
        BucketEncryption=encrypted,
        Tags=[{"Key": "a", "Value": "b"}],
        OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
    )
    assert account.created({"B": whole}) == "CREATE_COMPLETE"
    s3 = account.aws.client("s3")
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"][0]["ID"] == "old"
    assert s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"] == private
    assert "ServerSideEncryptionConfiguration" in s3.get_bucket_encryption(Bucket=name)
    assert s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert account.deploy({"B": bucket(name)}) == "UPDATE_ROLLBACK_COMPLETE"
    assert account.reason() == "the local AWS cannot remove BucketEncryption from a bucket"


def test_a_bucket_with_objects_is_not_deleted_and_the_stack_says_so(account: Account) -> None:
    name = f"full-{account.number}"
    account.created({"B": {**bucket(name), "DeletionPolicy": "Delete"}})
    account.aws.client("s3").put_object(Bucket=name, Key="k", Body=b"x")
    account.api.delete_stack(StackName=account.stack)
    assert account.status() == "DELETE_FAILED"


def test_a_deleted_stack_keeps_what_is_retained_and_is_found_by_its_arn_only(account: Account) -> None:
    name = f"retained-{account.number}"
    account.created({"B": bucket(name), "Q": queue()})
    identifier = account.api.describe_stacks(StackName=account.stack)["Stacks"][0]["StackId"]
    account.api.delete_stack(StackName=account.stack)
    assert account.aws.buckets.exists(name)
    with pytest.raises(ClientError, match="does not exist"):
        account.status()
    assert account.api.describe_stacks(StackName=identifier)["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE"
    account.api.delete_stack(StackName=account.stack)  # as if it had been there


def test_stacks_of_other_regions_are_not_seen(account: Account) -> None:
    account.created({"Q": queue()})
    other = account.aws._clients.get("cloudformation", "eu-west-1")
    with pytest.raises(ClientError, match="does not exist"):
        other.describe_stacks(StackName=account.stack)
