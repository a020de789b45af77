"""What holds for the templates and is known to no linter."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from golden import GOLDEN, TEMPLATE_CASES, config_of, environment_of

from pipeline import workflow
from stepgluon.cli import main
from stepgluon.config import LoadedConfig, load, loads
from stepgluon.errors import ConfigError
from stepgluon.limits import TEMPLATE_BYTES
from stepgluon.names import Names
from stepgluon.release import TRIGGER, Release, release, zipped
from stepgluon.templates.policies import FOLDER, PLACEHOLDER, policy

ROOT = Path(__file__).parent.parent
DEFINITION = '{"States":{}}\n'
MANAGED_POLICY_CHARACTERS = 6_144
ROLE_CHARACTERS = 10_240  # of all inline policies of a role
HAS_TAGS = {
    "AWS::CloudWatch::Alarm",
    "AWS::CodeBuild::Project",
    "AWS::CodePipeline::Pipeline",
    "AWS::ECR::Repository",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::StepFunctions::StateMachine",
}
# All that AWS lets nobody restrict to a resource; docs/decisions/0063 has each with its reason.
EVERYWHERE = {
    "cloudwatch:PutMetricData",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ecr:GetAuthorizationToken",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
ROLES = ("job", "machine", "trigger")


def config(**more: Any) -> LoadedConfig:
    values = {
        "name": "x",
        "account": "123456789012",
        "region": "ap-northeast-1",
        "notify": ["team@example.com"],
        "models": [{"name": "one", "label": "y"}],
        "fallback": {"threshold": 1},
    }
    return loads(json.dumps({**values, **more}), "config.yml", None, {})


def released(loaded: LoadedConfig, definition: str = DEFINITION) -> Release:
    return release(loaded, definition)


def case(name: str) -> LoadedConfig:
    return load(config_of(name), environment_of(name), {})


def documents(made: Release) -> dict[str, dict[str, Any]]:
    return {t.part: json.loads(t.text) for t in (made.base, made.pipeline, made.cicd) if t}


def resources(made: Release) -> dict[str, dict[str, Any]]:
    return {name: one for document in documents(made).values() for name, one in document["Resources"].items()}


def of_type(made: Release, kind: str) -> dict[str, dict[str, Any]]:
    return {name: one["Properties"] for name, one in resources(made).items() if one["Type"] == kind}


def walk(value: Any) -> Iterator[Any]:
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(item)


def references(value: Any) -> set[str]:
    """The logical ids that a value needs, also by DependsOn."""
    found = set()
    for item in walk(value):
        if isinstance(item, dict):
            found |= {item["Ref"]} if isinstance(item.get("Ref"), str) else set()
            found |= {item["Fn::GetAtt"][0]} if "Fn::GetAtt" in item else set()
            depends = item.get("DependsOn", [])
            found |= {depends} if isinstance(depends, str) else set(depends)
    return found


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


everywhere = pytest.mark.parametrize("name", TEMPLATE_CASES)


@everywhere
def test_whatever_is_referred_to_stands_in_the_same_template(name: str) -> None:
    for part, document in documents(released(case(name))).items():
        known = document["Resources"].keys() | document.get("Parameters", {}).keys()
        assert references(document) <= known, part


@everywhere
def test_nothing_waits_for_itself(name: str) -> None:
    for document in documents(released(case(name))).values():
        waiting = {key: references(one) & document["Resources"].keys() for key, one in document["Resources"].items()}
        while waiting:
            ready = {key for key, needs in waiting.items() if not needs & waiting.keys()}
            assert ready, f"these wait for each other: {sorted(waiting)}"
            waiting = {key: needs for key, needs in waiting.items() if key not in ready}


@everywhere
def test_everything_that_can_have_tags_has_the_pipelines(name: str) -> None:
    loaded = case(name)
    prefix = Names(loaded.config).prefix
    for key, one in resources(released(loaded)).items():
        tags = {tag["Key"]: tag["Value"] for tag in one["Properties"].get("Tags", [])}
        if one["Type"] in HAS_TAGS:
            assert tags == {"stepgluon": prefix, **loaded.config.tags}, key
        else:
            assert not tags, f"{one['Type']} takes tags: it belongs into HAS_TAGS"


def test_the_types_that_take_tags_are_those_of_the_services_schemas() -> None:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    used = {one["Type"] for name in TEMPLATE_CASES for one in resources(released(case(name))).values()}
    schemas = {kind: PROVIDER_SCHEMA_MANAGER.get_resource_schema("ap-northeast-1", kind).schema for kind in used}
    assert {kind for kind, schema in schemas.items() if "Tags" in schema["properties"]} == used & HAS_TAGS


def test_a_template_with_many_addresses_and_models_can_be_sent_with_the_call() -> None:
    own = "s3://a-name-of-twenty-ch-work-123456789012-ap-southeast-3"
    loaded = config(
        name="a-name-of-twenty-ch",
        region="ap-southeast-3",
        notify=[f"{'a' * 50}.{number}@{'b' * 60}.example.com" for number in range(40)],
        models=[
            {"name": f"model-{number}", "label": f"y{number}", "default_model": f"{own}/{'m' * 60}-{number}/"}
            for number in range(150)
        ],
        network={
            "subnets": [f"subnet-{n:017x}" for n in range(16)],
            "security_groups": [f"sg-{n:017x}" for n in range(5)],
        },
        encryption={"kms_key": "arn:aws:kms:ap-southeast-3:123456789012:key/11111111-2222-3333-4444-555555555555"},
        tags={f"tag-{number}": "v" * 30 for number in range(10)},
    )
    made = released(loaded)
    for part in (made.base, made.pipeline):
        assert len(part.text.encode()) < TEMPLATE_BYTES, part.part
    names = made.names
    assert characters(policy(names, "boundary")) <= MANAGED_POLICY_CHARACTERS
    for part in ROLES:
        assert characters(policy(names, part)) <= ROLE_CHARACTERS, part


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("notify", [f"{number}@example.com" for number in range(400)]),
        ("tags", {f"tag-{number}": "v" * 200 for number in range(40)}),
    ],
)
def test_a_template_that_is_too_large_is_told_where_it_can_be_made_smaller(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as told:
        released(config(**{key: value}))
    assert f": {key}: the template pipeline is " in str(told.value)


def characters(document: dict[str, Any]) -> int:
    """White space is not counted by IAM."""
    return len(json.dumps(document, separators=(",", ":")))


def physical_names(made: Release) -> set[str]:
    fields = r"(Bucket|Repository|ManagedPolicy|Role|Topic|Queue|Function|StateMachine|LogGroup|Alarm)Name$"
    found = set()
    for one in resources(made).values():
        for field, value in one["Properties"].items():
            if re.fullmatch(fields, field) and isinstance(value, str):
                found.add(value)
        if one["Type"] == "AWS::Events::Rule":
            found.add(one["Properties"]["Name"])
    return found


def test_two_pipelines_and_two_environments_in_one_account_share_no_name() -> None:
    environments = {"environments": {"prod": {}}}
    text = json.dumps({**json.loads(config().config.model_dump_json(exclude_defaults=True)), **environments})
    pipelines = [
        released(config(name="x")),
        released(loads(text, "config.yml", "prod", {})),
        released(config(name="x-prod-prod")),
        released(config(name="x", region="eu-west-1")),
    ]
    regional = [physical_names(made) for made in pipelines[:3]]
    assert all(len(names) >= 12 for names in regional)
    assert not any(a & b for index, a in enumerate(regional) for b in regional[:index])
    # Where names are one space for all regions, the region is part of them.
    roles = [{p.get("RoleName") for p in of_type(made, "AWS::IAM::Role").values()} for made in pipelines]
    buckets = [{p["BucketName"] for p in of_type(made, "AWS::S3::Bucket").values()} for made in pipelines]
    assert not roles[0] & roles[3]
    assert not buckets[0] & buckets[3]
    stacks = [template.stack for made in pipelines[:3] for template in (made.base, made.pipeline)]
    assert len(set(stacks)) == len(stacks)


@everywhere
def test_nothing_is_exported_or_imported(name: str) -> None:
    for document in documents(released(case(name))).values():
        assert not any("Export" in output for output in document["Outputs"].values())
        assert not any(isinstance(item, dict) and "Fn::ImportValue" in item for item in walk(document))


@everywhere
def test_the_region_the_account_and_the_partition_are_those_of_the_config(name: str) -> None:
    loaded = case(name)
    names = Names(loaded.config)
    text = "".join(template.text for template in (lambda made: (made.base, made.pipeline))(released(loaded)))
    arns = re.findall(r"arn:([a-z-]+):([a-z0-9]+):([a-z0-9-]*):([0-9]*)", text)
    assert {partition for partition, *_ in arns} == {names.partition.name}
    assert {region for _, _, region, _ in arns} <= {"", loaded.config.region}
    assert {account for *_, account in arns} <= {"", loaded.config.account}
    assert not any(isinstance(item, str) and "${" in item for item in walk(json.loads(released(loaded).base.text)))


@everywhere
def test_buckets_are_private_kept_encrypted_versioned_and_take_only_tls(name: str) -> None:
    made = released(case(name))
    all_of_them = resources(made)
    buckets = of_type(made, "AWS::S3::Bucket")
    assert buckets.keys() == {"RawBucket", "WorkBucket"}
    for key, bucket in buckets.items():
        assert all_of_them[key]["DeletionPolicy"] == all_of_them[key]["UpdateReplacePolicy"] == "Retain"
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        key_id = made.names.config.encryption.kms_key
        assert rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID") == key_id
        [statement] = all_of_them[f"{key}Policy"]["Properties"]["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_results_and_models_never_expire() -> None:
    bucket = of_type(released(config()), "AWS::S3::Bucket")["WorkBucket"]
    for rule in bucket["LifecycleConfiguration"]["Rules"]:
        assert not {"ExpirationInDays", "ExpirationDate"} & rule.keys()


def test_images_that_an_old_version_of_the_machine_may_use_never_expire() -> None:
    made = released(config())
    for key, repository in of_type(made, "AWS::ECR::Repository").items():
        assert resources(made)[key]["DeletionPolicy"] == resources(made)[key]["UpdateReplacePolicy"] == "Retain"
        rules = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        assert {rule["selection"]["tagStatus"] for rule in rules} == {"untagged"}
        assert repository["ImageTagMutability"] == "IMMUTABLE"


def test_the_bucket_tells_the_function_only_after_it_may() -> None:
    made = released(config())
    bucket = resources(made)["RawBucket"]
    permission = resources(made)["TriggerPermission"]["Properties"]
    assert bucket["DependsOn"] == "TriggerPermission"
    [told] = bucket["Properties"]["NotificationConfiguration"]["LambdaConfigurations"]
    assert told["Filter"] == {"S3Key": {"Rules": [{"Name": "suffix", "Value": ".run"}]}}
    assert permission["SourceAccount"] == "123456789012"
    assert permission["SourceArn"] == f"arn:aws:s3:::{bucket['Properties']['BucketName']}"


def test_an_upload_starts_the_alias_and_the_alias_follows_each_change_of_the_machine() -> None:
    made = released(config())
    all_of_them = resources(made)
    started = all_of_them["Trigger"]["Properties"]["Environment"]["Variables"]["STATE_MACHINE_ARN"]
    assert started == f"{made.names.machine_arn}:{all_of_them['LiveAlias']['Properties']['Name']}"
    version = all_of_them["MachineVersion"]
    # A new revision replaces the version; the one before is kept for a rollback.
    assert version["Properties"]["StateMachineRevisionId"] == {"Fn::GetAtt": ["Machine", "StateMachineRevisionId"]}
    assert version["UpdateReplacePolicy"] == "Retain"
    [route] = all_of_them["LiveAlias"]["Properties"]["RoutingConfiguration"]
    assert route == {"StateMachineVersionArn": {"Ref": "MachineVersion"}, "Weight": 100}


def test_another_definition_or_image_changes_the_machine_and_the_same_changes_nothing() -> None:
    first, same, other = (released(config(), definition) for definition in (DEFINITION, DEFINITION, "{}\n"))
    assert first == same
    machines = [of_type(made, "AWS::StepFunctions::StateMachine")["Machine"] for made in (first, other)]
    assert machines[0]["DefinitionS3Location"] != machines[1]["DefinitionS3Location"]
    assert first.base == other.base
    assert machines[0]["DefinitionSubstitutions"] == {
        image.parameter: {"Ref": image.parameter} for image in first.images
    }
    keys = {stored.key for stored in first.objects}
    assert machines[0]["DefinitionS3Location"]["Key"] in keys
    assert of_type(first, "AWS::Lambda::Function")["Trigger"]["Code"]["S3Key"] in keys


def test_the_release_is_the_same_from_every_folder_and_in_every_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from stepgluon.config import load; from stepgluon.release import release;"
        "made = release(load(Path(sys.argv[1]), None, {}), '{}'); import hashlib;"
        "print(hashlib.sha256(repr((made.base, made.pipeline, made.objects, made.images)).encode()).hexdigest())"
    )
    told = set()
    for seed, folder in (("1", tmp_path), ("2", ROOT)):
        surroundings = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", program, str(ROOT / "pipeline-config.yml")]
        told.add(
            subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=True).stdout
        )
    assert len(told) == 1


def test_lambda_can_read_the_zip_and_it_holds_the_script_alone() -> None:
    body = zipped(TRIGGER)
    assert body == zipped(TRIGGER)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        [member] = archive.infolist()
        assert member.external_attr >> 16 == 0o100644
        assert archive.read(member) == TRIGGER.read_bytes()
        handler = of_type(released(config()), "AWS::Lambda::Function")["Trigger"]["Handler"]
        assert handler == f"{member.filename.removesuffix('.py')}.handler"


def test_what_is_lost_is_mailed() -> None:
    made = released(config(notify=["a@example.com", "b@example.com"]))
    all_of_them = resources(made)
    queue, topic = {"Fn::GetAtt": ["Queue", "Arn"]}, {"Ref": "Topic"}
    [target] = all_of_them["FailureRule"]["Properties"]["Targets"]
    assert target["Arn"] == topic
    assert target["DeadLetterConfig"] == {"Arn": queue}
    assert all_of_them["Trigger"]["Properties"]["DeadLetterConfig"] == {"TargetArn": queue}
    alarm = all_of_them["QueueAlarm"]["Properties"]
    assert alarm["AlarmActions"] == [topic]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["Queue", "QueueName"]}}]
    subscriptions = of_type(made, "AWS::SNS::Subscription").values()
    assert {s["Endpoint"] for s in subscriptions} == {"a@example.com", "b@example.com"}


def test_whoever_has_confirmed_need_not_do_so_again_when_others_come_and_go() -> None:
    first, second = (
        of_type(released(config(notify=notify)), "AWS::SNS::Subscription")
        for notify in (["a@example.com", "b@example.com"], ["c@example.com", "b@example.com"])
    )
    [stays] = first.keys() & second.keys()
    assert first[stays]["Endpoint"] == second[stays]["Endpoint"] == "b@example.com"


def test_whoever_mails_may_use_the_topics_key() -> None:
    made = released(config())
    assert of_type(made, "AWS::SNS::Topic")["Topic"]["KmsMasterKeyId"] == {"Fn::GetAtt": ["Key", "Arn"]}
    statements = policy(made.names, "key")["Statement"]
    may = {as_list(s["Principal"].get("Service", s["Principal"].get("AWS")))[0]: s for s in statements}
    # KMS is told no source by EventBridge, so a condition would lose the mails.
    assert "Condition" not in may["events.amazonaws.com"]
    for publisher in ("events.amazonaws.com", "cloudwatch.amazonaws.com", made.names.role_arn("machine")):
        assert may[publisher]["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]


def test_with_a_key_of_the_users_there_is_no_other() -> None:
    made = released(case("everything"))
    assert "Key" not in resources(made)
    key = made.names.config.encryption.kms_key
    assert of_type(made, "AWS::SNS::Topic")["Topic"]["KmsMasterKeyId"] == key
    assert of_type(made, "AWS::SQS::Queue")["Queue"]["KmsMasterKeyId"] == key


@everywhere
def test_each_role_is_what_its_files_say_trusts_its_own_account_and_has_the_boundary(name: str) -> None:
    made = released(case(name))
    names = made.names
    roles = of_type(made, "AWS::IAM::Role")
    assert {"JobRole", "MachineRole", "TriggerRole"} <= roles.keys()
    for part in ROLES:
        role = roles[f"{part.title()}Role"]
        assert role["PermissionsBoundary"] == names.boundary_arn
        assert [p["PolicyDocument"] for p in role["Policies"]] == [policy(names, part)]
        assert role["AssumeRolePolicyDocument"] == policy(names, f"{part}-trust")
        [statement] = role["AssumeRolePolicyDocument"]["Statement"]
        if part == "trigger":
            continue  # Lambda documents no source; docs/decisions/0063
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": names.config.account}
        assert "aws:SourceArn" in statement["Condition"]["ArnLike"]


@everywhere
@pytest.mark.parametrize("part", [*ROLES, "boundary"])
def test_only_what_has_no_resources_is_allowed_everywhere(name: str, part: str) -> None:
    for statement in policy(Names(case(name).config), part)["Statement"]:
        assert statement["Effect"] == "Allow"
        assert all(not action.endswith(":*") for action in as_list(statement["Action"]))
        if "*" in as_list(statement["Resource"]):
            assert statement["Sid"].endswith("HasNoResources")
            assert set(as_list(statement["Action"])) <= EVERYWHERE


@everywhere
def test_the_boundary_knows_each_action_of_each_role_and_no_other(name: str) -> None:
    names = Names(case(name).config)

    def actions(part: str) -> set[str]:
        statements = policy(names, part)["Statement"]
        return {action.removesuffix("*") for s in statements for action in as_list(s["Action"])}

    # The machine uses the key of the mails by the key's own policy, which the boundary limits too.
    assert set().union(*map(actions, ROLES)) | {"kms:Decrypt", "kms:GenerateDataKey"} == actions("boundary")


def test_what_a_config_does_not_need_is_not_allowed() -> None:
    plain, full = Names(config().config), Names(case("everything").config)
    for part in (*ROLES, "boundary"):
        few, many = ({s["Sid"] for s in policy(names, part)["Statement"]} for names in (plain, full))
        assert few < many, part
    services = {action.split(":")[0] for s in policy(plain, "job")["Statement"] for action in as_list(s["Action"])}
    assert not services & {"ec2", "kms"}


def test_the_policies_leave_no_placeholder_and_know_no_account() -> None:
    names = Names(config().config)
    for file in FOLDER.glob("*.json"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"[0-9]{12}|arn:aws", text), file.name
        if PLACEHOLDER.search(text):
            assert "${" not in json.dumps(policy(names, file.stem)), file.name


def test_the_command_writes_all_that_a_deployment_consists_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    given = ["template", "--config", str(config_of("one-model")), "--out", str(out)]
    assert main(workflow, given, {}) == 0
    definition = (GOLDEN / "one-model" / "definition.asl.json").read_text(encoding="utf-8")
    made = released(case("one-model"), definition)
    written = {file.name: file.read_bytes() for file in out.iterdir()}
    pushes = json.loads(written.pop("cicd.json"))
    assert json.loads(written.pop("deployer-policy.json")) == policy(made.names, "deployer")
    assert references(pushes) <= pushes["Resources"].keys()
    assert written == {
        "base.json": made.base.text.encode(),
        "pipeline.json": made.pipeline.text.encode(),
        "definition.asl.json": definition.encode(),
        "start_pipeline.zip": zipped(TRIGGER),
        "config.json": made.names.config_json.encode(),
    }
    assert "the config has no cicd, so deploy leaves cicd.json out" in capsys.readouterr().err


def test_the_command_writes_nothing_for_a_config_with_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("name: X\n", encoding="utf-8")
    assert main(workflow, ["template", "--config", str(file), "--out", str(tmp_path / "out")], {}) == 2
    assert not (tmp_path / "out").exists()
