"""What the Dockerfiles take from the rest of the house: locks and code. `python docker/update.py` writes it anew."""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOUSE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(HOUSE / "docker"))
import update  # noqa: E402  docker/ is no package

pytestmark = pytest.mark.parametrize("image", ["data", "autogluon", "xgboost"])


def text_of(image: str, name: str) -> str:
    return (HOUSE / "docker" / image / name).read_text(encoding="utf-8")


def packages(lock: str) -> dict[str, str]:
    """Each package's whole entry in a lock."""
    found: dict[str, str] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if re.match(r"[a-zA-Z0-9]", line):
            requirement = Requirement(line.rstrip("\\\n"))
            name = f"{canonicalize_name(requirement.name)} {requirement.specifier}"
            assert name not in found, f"{name} stands twice"
        if not line.lstrip().startswith("#"):
            found[name] = found.get(name, "") + line
    return found


def versions(image: str) -> dict[str, str]:
    return dict(name.split(" ==") for name in packages(text_of(image, "requirements.lock")))


def test_a_lock_has_the_same_versions_and_hashes_as_the_lock_of_the_house(image: str) -> None:
    house = packages((HOUSE / "requirements.lock").read_text(encoding="utf-8"))
    ours = packages(text_of(image, "requirements.lock"))
    assert len(ours) >= 2
    assert [name for name, entry in ours.items() if house.get(name) != entry] == []
    assert [name for name, entry in ours.items() if "--hash=sha256:" not in entry] == []


def test_a_lock_has_all_that_its_packages_need_and_nothing_that_none_needs(image: str) -> None:
    ours = versions(image)
    wanted = {canonicalize_name(need.name) for need in update.direct(image)}
    for name in ours:
        extras = [
            extra for need in update.direct(image) for extra in need.extras if name == canonicalize_name(need.name)
        ]
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            pytest.skip(f"{name}, which the images have, is not for this computer, so its needs are not known here")
        for need in update.requirements(lines, extras):
            wanted.add(canonicalize_name(need.name))
            assert need.specifier.contains(ours.get(canonicalize_name(need.name), "none"), prereleases=True), (
                f"{name} needs {need}, docker/{image}/requirements.lock does not have it"
            )
    assert set(ours) - wanted == set()


def test_update_would_change_nothing(image: str) -> None:
    assert text_of(image, "requirements.lock") == update.lock(image), "run: python docker/update.py"
    assert text_of(image, "Dockerfile") == update.dockerfile(image), "run: python docker/update.py"


def started(value: Any) -> list[tuple[str, str]]:
    """Each image and script that a definition names together."""
    if isinstance(value, list):
        return [pair for each in value for pair in started(each)]
    if not isinstance(value, dict):
        return []
    pairs = [pair for each in value.values() for pair in started(each)]
    if "ContainerEntrypoint" in value:
        pairs.append((value.get("ImageUri") or value["TrainingImage"], value["ContainerEntrypoint"][1]))
    return pairs


def test_the_scripts_that_the_definition_starts_are_in_the_image(image: str) -> None:
    definitions = [
        json.loads(path.read_text("utf-8")) for path in (HOUSE / "tests/golden").glob("*/definition.asl.json")
    ]
    pairs = [pair for definition in definitions for pair in started(definition)]
    scripts = {script for address, script in pairs if f"-{image}@" in address}
    if image == "xgboost":
        scripts.add("/opt/program/predict.py")  # in the image that the model's marker names
    if image == "data":
        scripts |= {"/opt/program/monitor.py", "/opt/program/xgboost_model.py"}  # of another machine; for prepare
    assert scripts | {"/opt/program/serve.py"} == {f"/opt/program/{job}.py" for job in [*update.JOBS[image], "serve"]}
    for job in update.JOBS[image]:
        assert f"    code/{job}.py \\\n" in text_of(image, "Dockerfile")
    assert "\n    /opt/program/\n" in text_of(image, "Dockerfile")


def test_the_base_is_pinned_by_its_digest_and_the_same_for_both(image: str) -> None:
    base = re.findall(r"^ARG BASE=(.+)$", text_of(image, "Dockerfile"), re.MULTILINE)
    assert re.fullmatch(r"public\.ecr\.aws/docker/library/python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base[0])
    assert base == re.findall(r"^ARG BASE=(.+)$", text_of("data", "Dockerfile"), re.MULTILINE)
    assert base[0].split(":")[1].split("-")[0] == update.TARGET["python_full_version"]


def test_the_dockerfile_says_exec_form_and_copies_no_folder_of_the_house(image: str) -> None:
    lines = text_of(image, "Dockerfile").replace("\\\n", " ").splitlines()
    entrypoints = ['ENTRYPOINT ["python3"]'] if image == "data" else []  # it would come before `serve`
    assert [line for line in lines if line.startswith(("ENTRYPOINT", "CMD"))] == entrypoints
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1] if word[0] != "-"]
    assert [word for word in copied if word != "/opt/venv" and not (HOUSE / word).is_file()] == []
