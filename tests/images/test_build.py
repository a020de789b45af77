"""docker/build.sh with an engine that only takes notes, and the real aws command line with an ECR on this computer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import forks
import pytest
from moto.server import ThreadedMotoServer

HOUSE = Path(__file__).resolve().parents[2]
TAKEN = ("docker", "code", "stepgluon/__init__.py", ".dockerignore", "pipeline-config.yml")
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
# Builds into a folder, pushes to the ECR that the aws command line knows, and notes how it was called.
ENGINE = """#!/bin/sh
echo "$1" >>"$NOTES/calls"
case $1 in
info) [ ! -e "$NOTES/no-daemon" ] ;;
image | inspect)
    for name; do true; done
    [ -e "$NOTES/$(echo "$name" | tr / _)" ]
    ;;
build)
    shift
    printf '%s\\n' "$@" >>"$NOTES/arguments"
    while [ $# -gt 1 ]; do
        case "$1 $2" in
        "--tag "*) touch "$NOTES/$(echo "$2" | tr / _)" ;;
        "--secret id="*) cp "${2#*src=}" "$NOTES/$(echo "$2" | sed 's/id=//; s/,.*//')" ;;
        esac
        shift
    done
    ;;
login) cat >"$NOTES/password" ;;
push)
    [ ! -e "$NOTES/no-push" ] || exit 1
    set -- "${2#*/}" "$(cat "$NOTES/manifest")"
    aws ecr put-image --repository-name "${1%:*}" --image-tag "${1#*:}" --image-manifest "$2"
    ;;
esac
"""
MANIFEST = """{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
"config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": "sha256:%s"},
"layers": []}"""


class Checkout:
    """A copy of the house as far as images go, with a PATH that has only the note-taking engine."""

    def __init__(self, folder: Path, engine: str = "docker") -> None:
        self.root, self.notes = folder / "house", folder / "notes"
        for name in TAKEN:
            source, place = HOUSE / name, self.root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, place)
        self.notes.mkdir()
        (self.notes / "manifest").write_text(MANIFEST % ("0" * 64))
        programs = folder / "bin"
        programs.mkdir()
        (programs / engine).write_text(ENGINE)
        (programs / engine).chmod(0o755)
        for tool in (
            "awk",
            "bash",
            "cat",
            "cp",
            "cut",
            "dirname",
            "find",
            "grep",
            "mktemp",
            "rm",
            "sed",
            "sh",
            "sha256sum",
        ):
            self.link(programs, tool)
        for tool in ("sort", "tail", "touch", "tr"):
            self.link(programs, tool)
        (programs / "python3").symlink_to(sys.executable)
        self.environment = {"PATH": str(programs), "NOTES": str(self.notes), "HOME": str(folder)}
        self.programs = programs

    def link(self, programs: Path, tool: str) -> None:
        found = shutil.which(tool)
        assert found, f"{tool} is not here"
        (programs / tool).symlink_to(found)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "docker/build.sh", *arguments],
            capture_output=True,
            text=True,
            env=self.environment | environment,
            cwd="/",
        )

    def tags(self, **environment: str) -> dict[str, str]:
        done = self.run("--tags", **environment)
        assert (done.returncode, done.stderr) == (0, "")
        return dict(line.split(":") for line in done.stdout.splitlines())

    def calls(self, which: str) -> int:
        notes = self.notes / "calls"
        return notes.read_text().split().count(which) if notes.exists() else 0

    def append(self, name: str, text: str = "# more\n") -> None:
        with (self.root / name).open("a") as file:
            file.write(text)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


# The tag


def test_the_same_content_has_the_same_tag_wherever_and_whenever_it_is(checkout: Checkout, tmp_path: Path) -> None:
    other = Checkout(tmp_path / "elsewhere with a space")
    for number, path in enumerate(sorted(other.root.rglob("*"))):
        os.utime(path, (number, number))
        path.chmod(0o700)
    assert checkout.tags() == other.tags(LANG="tr_TR.UTF-8", TZ="Asia/Tokyo")
    assert set(checkout.tags()) == {"data", "autogluon"}


CHANGES = {
    "pipeline-config.yml": set(),
    "code/prepare.py": {"data"},
    "code/train.py": {"autogluon"},
    "code/job_io.py": {"data", "autogluon"},
    "docker/data/requirements.lock": {"data"},
    "docker/autogluon/Dockerfile": {"autogluon"},
    "docker/build.sh": set(),
    "stepgluon/__init__.py": set(),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_change_gives_a_new_tag_to_the_images_that_contain_it(checkout: Checkout, changed: str) -> None:
    before = checkout.tags()
    checkout.append(changed)
    after = checkout.tags()
    assert {image for image in before if before[image] != after[image]} == CHANGES[changed]


def test_the_image_of_xgboost_has_a_tag_of_its_own_code_and_is_built_if_named(checkout: Checkout) -> None:
    names = ("xgboost", "demo-xgboost", "demo-autogluon")
    before = checkout.run("--tags", *names).stdout.split()
    checkout.append("code/score.py")
    after = checkout.run("--tags", *names).stdout.split()
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]
    assert after[0].split(":")[1] == after[1].split(":")[1] != after[2].split(":")[1]


def test_a_folder_of_the_user_s_has_a_tag_of_its_files_and_is_built_there(checkout: Checkout) -> None:
    folder = checkout.root / "docker/mine"
    (folder / "weights").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "weights/a file").write_text("1")
    name = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo-mine"

    def tag() -> str:
        done = checkout.run("--tags", f"{name}=docker/mine")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    tags = [tag(), tag()]
    checkout.append("docker/mine/weights/a file")
    tags.append(tag())
    (folder / "weights/a file").chmod(0o755)
    tags.append(tag())
    assert all(one.startswith(f"{name}:") for one in tags)
    assert len(set(tags)) == 3 and tags[0] == tags[1]
    assert checkout.run("mine=docker/mine").returncode == 0
    arguments = (checkout.notes / "arguments").read_text().split()
    assert arguments[:4] == ["--file", "docker/mine/Dockerfile", "--tag", f"mine:{tag().rpartition(':')[2]}"]
    assert arguments[-1] == "docker/mine" and "--build-arg" not in arguments
    done = checkout.run("mine=docker/other")
    assert (done.returncode, done.stderr) == (2, "docker/build.sh: there is no docker/other/Dockerfile\n")


def test_another_base_or_platform_is_another_image(checkout: Checkout) -> None:
    tags = [checkout.tags(), checkout.tags(BASE="debian:bookworm"), checkout.tags(PLATFORM="linux/arm64")]
    assert len({tag for each in tags for tag in each.values()}) == 6


def test_a_copy_of_the_base_in_another_registry_is_the_same_base(checkout: Checkout) -> None:
    one, other = (
        f"{registry}/python:3.11@sha256:{'0' * 64}" for registry in ("public.ecr.aws/docker/library", "cache.example")
    )
    assert checkout.tags(BASE=one) == checkout.tags(BASE=other)


def test_a_change_of_the_config_alone_builds_nothing(checkout: Checkout) -> None:
    first = checkout.run()
    assert checkout.calls("build") == 2
    checkout.append("pipeline-config.yml")
    second = checkout.run()
    assert (second.returncode, second.stdout, second.stderr) == (0, first.stdout, "")
    assert checkout.calls("build") == 2


def test_a_changed_job_builds_only_its_image(checkout: Checkout) -> None:
    checkout.run()
    checkout.append("code/train.py")
    assert "autogluon:" in checkout.run().stderr
    assert checkout.calls("build") == 3


def test_a_tag_is_reckoned_where_no_file_can_be_written(checkout: Checkout) -> None:
    assert checkout.tags(TMPDIR="/nonexistent") == checkout.tags()
    kept = checkout.root / "kept"
    kept.mkdir()
    assert checkout.tags(scratch=str(kept)) == checkout.tags()
    assert kept.is_dir()


# Building


def test_without_a_place_for_scratch_files_nothing_is_built(checkout: Checkout) -> None:
    done = checkout.run(TMPDIR="/nonexistent")
    assert (done.returncode, done.stdout, checkout.calls("build")) == (1, "", 0)
    assert done.stderr == ("docker/build.sh: no folder can be made in /nonexistent; set TMPDIR to another\n")


def test_what_is_built_already_needs_no_scratch_files(checkout: Checkout) -> None:
    first = checkout.run()
    again = checkout.run(TMPDIR="/nonexistent")
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, "")


@pytest.mark.parametrize("fails", ["", "data"])
def test_no_scratch_files_are_left(checkout: Checkout, tmp_path: Path, fails: str) -> None:
    place = tmp_path / "scratch"
    place.mkdir()
    if fails:
        (checkout.programs / "docker").write_text(ENGINE.replace("build)\n", "build)\n    exit 3\n"))
    done = checkout.run(TMPDIR=str(place))
    assert (done.returncode, len(done.stdout.splitlines())) == ((3, 0) if fails else (0, 2))
    assert list(place.iterdir()) == []


def test_nothing_of_this_computers_way_to_the_index_is_in_the_build_but_lent(
    checkout: Checkout, tmp_path: Path
) -> None:
    certificates = tmp_path / "authority.pem"
    certificates.write_text("a certificate\n")
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://me:secret@index.example/simple\nextra-index-url =\n    file:///srv/wheels\n"
        "    https://more.example/simple\nfind-links = /srv/wheels\ncert = /elsewhere.pem\n"
    )
    settings = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_CERT": str(certificates), "PIP_RETRIES": "9"}
    assert checkout.run("data", **settings).returncode == 0
    assert sorted((checkout.notes / "pip").read_text().splitlines()) == [
        "[global]",
        "cert = /etc/pip.pem",
        "extra-index-url = https://more.example/simple",
        "index-url = https://me:secret@index.example/simple",
        "retries = 9",
    ]
    assert (checkout.notes / "certificates").read_text() == "a certificate\n"
    assert "example" not in (checkout.notes / "arguments").read_text()


def test_a_computer_without_pip_settings_builds_too(checkout: Checkout) -> None:
    (checkout.programs / "python3").unlink()
    assert checkout.run("data").returncode == 0
    assert (checkout.notes / "pip").read_text() == "[global]\n"


@pytest.mark.parametrize("engine", ["podman", "buildah"])
def test_other_engines_write_dockers_format(tmp_path: Path, engine: str) -> None:
    checkout = Checkout(tmp_path, engine)
    assert f"building with {engine}" in checkout.run("data").stderr
    assert "--format\ndocker\n" in (checkout.notes / "arguments").read_text()


def test_docker_without_its_daemon_is_no_engine(checkout: Checkout) -> None:
    (checkout.notes / "no-daemon").touch()
    done = checkout.run("data")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == "docker/build.sh: docker (with its daemon running), podman or buildah is needed; none is here\n"
    )


def test_a_name_that_is_no_image_is_named_before_anything_is_built(checkout: Checkout) -> None:
    done = checkout.run("data", "demo-dta")
    assert (done.returncode, done.stdout, checkout.calls("build")) == (2, "", 0)
    assert done.stderr == (
        "docker/build.sh: 'demo-dta' is not an image: a name is data, autogluon or xgboost, "
        "or ends with one of them after a dash\n"
    )


def test_a_file_that_is_missing_is_named(checkout: Checkout) -> None:
    (checkout.root / "code/train.py").unlink()
    done = checkout.run("autogluon")
    assert (done.returncode, done.stdout, checkout.calls("build")) == (1, "", 0)
    assert done.stderr == "docker/build.sh: docker/autogluon/Dockerfile copies code/train.py, which is not there\n"


# Pushing


@pytest.fixture
def ecr(checkout: Checkout) -> Iterator[Checkout]:
    """The checkout with an account that has one repository, demo-data."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    account = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
    checkout.environment |= {**account, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    (checkout.programs / "aws").write_text(forks.AWS)
    (checkout.programs / "aws").chmod(0o755)
    client = boto3.client(
        "ecr",
        region_name="eu-west-1",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_repository(repositoryName="demo-data")
    yield checkout
    client.delete_repository(repositoryName="demo-data", force=True)
    client.close()
    server.stop()


def test_a_push_prints_the_digest_and_is_not_done_again(ecr: Checkout) -> None:
    first = ecr.run("--push", f"{REGISTRY}/demo-data")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(f"{REGISTRY}/demo-data:{ecr.tags()['data']} sha256:")
    assert len(first.stdout.split(" sha256:")[1]) == 65
    assert (ecr.notes / "password").read_text()
    for path in ecr.notes.glob(f"{REGISTRY}*"):  # another computer, which has not built it
        path.unlink()
    again = ecr.run("--push", f"{REGISTRY}/demo-data")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert (ecr.calls("build"), ecr.calls("push")) == (1, 1)


def test_a_push_that_fails_is_an_error(ecr: Checkout) -> None:
    (ecr.notes / "no-push").touch()
    done = ecr.run("--push", f"{REGISTRY}/demo-data")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{REGISTRY}/demo-data:{ecr.tags()['data']} was not pushed" in done.stderr


def test_a_repository_that_is_not_there_is_an_error_before_the_build(ecr: Checkout) -> None:
    done = ecr.run("--push", f"{REGISTRY}/demo-autogluon")
    assert (done.returncode, done.stdout, ecr.calls("build")) == (1, "", 0)
    assert "RepositoryNotFoundException" in done.stderr


def test_a_push_to_what_is_not_ecr_is_bad_usage(checkout: Checkout) -> None:
    done = checkout.run("--push", "demo-data")
    assert (done.returncode, done.stdout, checkout.calls("build")) == (2, "", 0)
    assert "--push needs a repository of ECR" in done.stderr
