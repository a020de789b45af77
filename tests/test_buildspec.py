"""Both buildspecs, run phase by phase as CodeBuild does, in a copy of the checkout, against the local AWS.

Real: every command of the buildspec, `make setup`, `pipeline.py` as a process of its own, docker/build.sh, and the aws
command line. Not real: docker, which only pushes a manifest; and what `make check` and `make test` do, which would be
this very test again: they are noted, and can be told to fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
import pytest
import yaml

from localaws.base.environment import UNREACHABLE
from localaws.server.aws import LocalAws, Settings
from stepgluon.config.load import load
from stepgluon.deploy.templates.cicd import BUILDSPECS
from stepgluon.names import Names

HOUSE = Path(__file__).parent.parent
TAKEN = (
    ".dockerignore",
    "Makefile",
    "buildspec-check.yml",
    "buildspec.yml",
    "code",
    "docker",
    "lambda",
    "localaws",
    "pipeline.py",
    "policy",
    "requirements.lock",
    "stepgluon",
)
PHASES = ("install", "pre_build", "build", "post_build")
CONFIG = """name: pushed
account: ${AWS_ACCOUNT_ID}
region: eu-west-1
notify: [team@example.com]
models: [{name: one, label: price}]
fallback: {threshold: 100}
cicd: {source: {codecommit: {name: pushed}}}
"""
MAKE = """#!/bin/sh
echo "$1" >>"$NOTES/made"
case $1 in check | test) [ ! -e "$NOTES/$1-fails" ] ;; *) exec "$MAKE_ITSELF" "$@" ;; esac
"""
# Knows what it has built; pushes a manifest of its own for each tag to the ECR that the aws command line knows.
DOCKER = """#!/bin/sh
echo "$1" >>"$NOTES/docker"
case $1 in
info) ;;
image) [ -e "$NOTES/$(echo "$3" | tr / _)" ] ;;
build) while [ $# -gt 1 ]; do if [ "$1" = --tag ]; then touch "$NOTES/$(echo "$2" | tr / _)"; fi; shift; done ;;
login) cat >/dev/null ;;
push)
    name=${2#*/}
    media=application/vnd.docker
    aws ecr put-image --repository-name "${name%:*}" --image-tag "${name#*:}" --image-manifest "{\\"schemaVersion\\": 2,
    \\"mediaType\\": \\"$media.distribution.manifest.v2+json\\", \\"config\\": {\\"size\\": 2,
    \\"mediaType\\": \\"$media.container.image.v1+json\\", \\"digest\\": \\"sha256:${name#*:}${name#*:}\\"},
    \\"layers\\": [{\\"size\\": 2, \\"mediaType\\": \\"$media.image.rootfs.diff.tar.gzip\\",
    \\"digest\\": \\"sha256:${name#*:}${name#*:}\\"}]}" >&2
    ;;
esac
"""


def phases(root: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Those of both stages' files, in the order in which they run."""
    for file in BUILDSPECS.values():
        spec = yaml.safe_load((root / file).read_text())
        assert spec["phases"].keys() <= set(PHASES)
        yield from ((file, name, spec["phases"][name]) for name in PHASES if name in spec["phases"])


@dataclass(frozen=True)
class Build:
    phase: str  # the file and the phase of it that failed
    code: int
    said: str


class Checkout:
    """A commit as CodeBuild gets it."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.root, self.notes, programs = folder / "src", folder / "notes", folder / "bin"
        for name in TAKEN:
            source, place = HOUSE / name, self.root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, place)  # with its byte code, which each process would make anew
            else:
                shutil.copy2(source, place)
        (self.root / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)  # as the cache would leave it
        os.utime(self.root / "requirements.lock", (0, 0))  # as if git had written it before make wrote .venv
        (self.root / "pipeline-config.yml").write_text(CONFIG)
        self.notes.mkdir()
        programs.mkdir()
        for name, text in (("make", MAKE), ("docker", DOCKER), ("aws", forks.AWS)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        make = shutil.which("make")
        assert make, "make is not here"
        self.environment = {
            **UNREACHABLE,
            "PATH": os.pathsep.join([str(programs), str(Path(sys.prefix) / "bin"), os.environ["PATH"]]),
            "HOME": str(folder),
            "NOTES": str(self.notes),
            "MAKE_ITSELF": make,
            "AWS_ACCOUNT_ID": "123456789012",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        }

    def push(self) -> Build:
        """What CodeBuild does: a phase's commands in one shell, and with ABORT nothing after the first that fails."""
        said = ""
        for file, name, phase in phases(self.root):
            assert phase["on-failure"] == "ABORT", "otherwise post_build would follow a failed build"
            done = self.run("\n".join(["set -e", *phase["commands"]]))
            said += done.stdout
            if done.returncode:
                return Build(f"{file} {name}", done.returncode, said)
        return Build("", 0, said)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def change(self, name: str, old: str, new: str) -> None:
        file = self.root / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    def noted(self, name: str) -> list[str]:
        file = self.notes / name
        return file.read_text().split() if file.exists() else []


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(Settings(tmp_path_factory.mktemp("aws"), "123456789012", "eu-west-1")) as running:
        yield running


@pytest.fixture(scope="module")
def account(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> LocalAws:
    """In which a person has run `deploy --only base cicd`; the tests push into it one after the other."""
    first = Checkout(tmp_path_factory.mktemp("first"), aws.endpoint)
    done = first.run(".venv/bin/python pipeline.py deploy --only base cicd")
    assert done.returncode == 0, done.stdout
    return aws


@pytest.fixture
def checkout(account: LocalAws, tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "one", account.endpoint)


def names_of(checkout: Checkout) -> Names:
    return Names(load(checkout.root / "pipeline-config.yml", None, checkout.environment).config)


def live(aws: LocalAws, names: Names) -> dict[str, Any]:
    """All that a push may change."""
    stack = aws.client("cloudformation").describe_stacks(StackName=names.stack("pipeline"))["Stacks"][0]
    states = aws.client("stepfunctions")
    alias = states.describe_state_machine_alias(stateMachineAliasArn=names.live)
    version = alias["routingConfiguration"][0]["stateMachineVersionArn"]
    objects = aws.client("s3").list_objects_v2(Bucket=names.work_bucket)["Contents"]
    return {
        "status": stack["StackStatus"],
        "digests": {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]},
        "version": version,
        "definition": states.describe_state_machine(stateMachineArn=version)["definition"],
        "objects": sorted(found["Key"] for found in objects),
        "images": sorted(image["imageDigest"] for image in images(aws, names)),
    }


def stacks(aws: LocalAws) -> dict[str, Any]:
    """Each stack's last change."""
    found = aws.client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"]: (stack["StackStatus"], stack.get("LastUpdatedTime")) for stack in found}


def images(aws: LocalAws, names: Names) -> list[dict[str, Any]]:
    ecr = aws.client("ecr")
    found = [ecr.describe_images(repositoryName=names.repository(name)) for name in ("data", "autogluon")]
    return [image for answer in found for image in answer["imageDetails"]]


def test_the_first_push_deploys_a_push_of_the_config_builds_no_image_and_a_bad_one_changes_nothing(
    aws: LocalAws, checkout: Checkout
) -> None:
    names = names_of(checkout)
    first = checkout.push()
    assert first.code == 0, first.said
    before = live(aws, names)
    assert checkout.noted("made") == ["setup", "check", "test", "setup"]
    assert checkout.noted("docker").count("push") == 2
    assert sorted(before["digests"].values()) == before["images"]
    assert len(set(before["images"])) == 2
    assert all(digest in before["definition"] for digest in before["images"])

    checkout.change("pipeline-config.yml", "threshold: 100", "threshold: 4711")
    second = checkout.push()
    assert second.code == 0, second.said
    after = live(aws, names)
    assert checkout.noted("docker").count("build") == 2, "nothing was built again"
    assert after["digests"] == before["digests"]
    assert after["version"] != before["version"]
    assert "4711" in after["definition"]

    checkout.change("pipeline-config.yml", "threshold: 4711", "threshold: low")
    third = checkout.push()
    assert (third.phase, third.code) == ("buildspec-check.yml build", 2)
    assert "pipeline-config.yml:6:23: fallback.threshold: the text 'low' is not a number" in third.said
    assert live(aws, names) == after


@pytest.mark.parametrize("target", ["check", "test"])
def test_what_is_not_right_here_is_not_deployed(aws: LocalAws, checkout: Checkout, target: str) -> None:
    before = stacks(aws), images(aws, names_of(checkout))
    (checkout.notes / f"{target}-fails").touch()
    checkout.change("pipeline-config.yml", "threshold: 100", "threshold: 815")
    build = checkout.push()
    assert build.phase == "buildspec-check.yml build"
    assert build.code
    assert checkout.noted("made")[-1] == target
    assert (stacks(aws), images(aws, names_of(checkout))) == before


def test_two_pushes_at_once_end_with_images_and_definition_of_one_commit(
    aws: LocalAws, checkout: Checkout, tmp_path: Path
) -> None:
    other = Checkout(tmp_path / "two", aws.endpoint)
    for number, one in enumerate((checkout, other), 1):
        one.change("pipeline-config.yml", "threshold: 100", f"threshold: 900{number}")
        for script in ("prepare.py", "train.py"):
            file = one.root / "code" / script
            file.write_text(f"{file.read_text()}# commit {number}\n")
    with ThreadPoolExecutor(2) as both:
        builds = list(both.map(Checkout.push, (checkout, other)))
    # One may be refused, because the other changes the stack at that moment; then it is red, and the other is live.
    assert any(build.code == 0 for build in builds), [build.said for build in builds]
    now = live(aws, names_of(checkout))
    assert now["status"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    winners = [number for number in (1, 2) if f"900{number}" in now["definition"]]
    assert len(winners) == 1
    one = (checkout, other)[winners[0] - 1]
    tags = dict(line.rsplit(":", 1) for line in one.run("docker/build.sh --tags").stdout.split())
    pushed = {image["imageDigest"]: image["imageTags"] for image in images(aws, names_of(one))}
    assert sorted(pushed[digest][0] for digest in now["digests"].values()) == sorted(tags.values())
    assert all(digest in now["definition"] for digest in now["digests"].values())


def test_it_calls_make_and_pipeline_py_alone_and_quotes_what_it_is_given() -> None:
    commands = [command for _, _, phase in phases(HOUSE) for command in phase["commands"]]
    for command in commands:
        program, _, rest = command.partition(" ")
        assert program in ("make", ".venv/bin/python")
        assert program == "make" or rest.startswith("pipeline.py ")
        given = rest.replace('${STEPGLUON_ENV:+--env "$STEPGLUON_ENV"}', "")
        assert not set("$`;|&<>") & set(given)
    changing = [command for command in commands if " deploy " in command]
    assert changing == commands[-1:], "nothing follows deploy, and nothing before it changes the account"
