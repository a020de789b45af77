"""A release: its names and sizes, the same bytes everywhere, and the command that writes it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from golden import GOLDEN, TEMPLATE_CASES, config_of
from released import (
    DEFINITION,
    ROOT,
    case,
    characters,
    config,
    documents,
    of_type,
    physical_names,
    references,
    released,
    walk,
)

from pipeline import workflow
from stepgluon.cli.main import main
from stepgluon.deploy.release import TELL, TRIGGER, zipped
from stepgluon.deploy.templates.policies import policy
from stepgluon.errors import ConfigError
from stepgluon.limits import TEMPLATE_BYTES
from stepgluon.names import Names

MANAGED_POLICY_CHARACTERS = 6_144
ROLE_CHARACTERS = 10_240  # of all inline policies of a role
ROLES = ("job", "machine", "trigger", "tell")
everywhere = pytest.mark.parametrize("name", TEMPLATE_CASES)


def test_a_template_with_many_addresses_and_models_can_be_sent_with_the_call() -> None:
    own = "s3://a-name-of-twenty-ch-work-123456789012-ap-southeast-3"
    loaded = config(
        name="a-name-of-twenty-ch",
        region="ap-southeast-3",
        notify=[f"{'a' * 50}.{number}@{'b' * 60}.example.com" for number in range(20)],
        models=[
            {"name": f"model-{number}", "label": f"y{number}", "default_model": f"{own}/{'m' * 60}-{number}/"}
            for number in range(150)
        ],
        network={
            "subnets": [f"subnet-{n:017x}" for n in range(16)],
            "security_groups": [f"sg-{n:017x}" for n in range(5)],
        },
        encryption={"kms_key": "arn:aws:kms:ap-southeast-3:123456789012:key/11111111-2222-3333-4444-555555555555"},
        tags={f"tag-{number}": "v" * 30 for number in range(8)},
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


def test_two_pipelines_and_two_environments_in_one_account_share_no_name() -> None:
    pipelines = [
        released(config(name="x")),
        released(config("prod", environments={"prod": {}})),
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
    others = {account for _, service, _, account in arns if service != "ecr"}  # AWS's own images are in AWS's accounts
    assert others <= {"", loaded.config.account}
    assert not any(isinstance(item, str) and "${" in item for item in walk(json.loads(released(loaded).base.text)))


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
        "from stepgluon.config.load import load; from stepgluon.deploy.release import release;"
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


@pytest.mark.parametrize(("function", "scripts"), [("Trigger", (TRIGGER,)), ("Tell", TELL)])
def test_lambda_can_read_the_zip_and_it_holds_the_scripts_alone(function: str, scripts: tuple[Path, ...]) -> None:
    body = zipped(*scripts)
    assert body == zipped(*scripts)
    made = released(config())
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert {member.filename: archive.read(member) for member in archive.infolist()} == {
            script.name: script.read_bytes() for script in scripts
        }
        assert all(member.external_attr >> 16 == 0o100644 for member in archive.infolist())
        properties = of_type(made, "AWS::Lambda::Function")[function]
        module, _, name = properties["Handler"].partition(".")
        assert f"def {name}(".encode() in archive.read(f"{module}.py")
    assert {stored.key: stored.body for stored in made.objects}[properties["Code"]["S3Key"]] == body


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
        "tell_failure.zip": zipped(*TELL),
    }
    assert "The config has no cicd, so deploy leaves cicd.json out." in capsys.readouterr().err


def test_the_command_writes_nothing_for_a_config_with_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("name: X\n", encoding="utf-8")
    assert main(workflow, ["template", "--config", str(file), "--out", str(tmp_path / "out")], {}) == 2
    assert not (tmp_path / "out").exists()
