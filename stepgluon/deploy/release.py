"""Everything to deploy, computed from the config alone: templates, objects and images.

config + definition --release--> Release; see docs/decisions/0060.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepgluon import limits
from stepgluon.config.source import LoadedConfig
from stepgluon.deploy.templates.base import base
from stepgluon.deploy.templates.cicd import cicd
from stepgluon.deploy.templates.endpoints import roll_backs
from stepgluon.deploy.templates.parts import canonical
from stepgluon.deploy.templates.pipeline import pipeline
from stepgluon.deploy.templates.policies import policy
from stepgluon.errors import ConfigError, SurroundingsError
from stepgluon.names import Names
from stepgluon.programs import builds_in_runs, builds_of, images_of, parameter_of
from stepgluon.scripts import packed

ROOT = Path(__file__).parent.parent.parent
UNKNOWN = "sha256:" + "0" * 64  # stands for the digest of an image that is not built yet
MANY = 20  # this many addresses always fit
TRIGGER = ROOT / "lambda" / "start_pipeline.py"
TELL = tuple(
    ROOT / file for file in ("lambda/tell_failure.py", "stepgluon/runs/history.py", "stepgluon/runs/job_log.py")
)


@dataclass(frozen=True)
class Stored:
    """An object in the work bucket; its key contains a hash of its content."""

    key: str
    body: bytes
    file: str  # its name in the folder that `template` writes


@dataclass(frozen=True)
class Image:
    name: str  # data, that of a program, or of a folder of the user's
    repository: str
    tag: str  # a hash of its content
    parameter: str  # the template's parameter for its digest
    folder: str = ""  # the user's, from which it is built
    in_runs: bool = False  # built by a run: then the parameter is for its tag


@dataclass(frozen=True)
class Template:
    part: str  # base, pipeline or cicd
    stack: str
    text: str  # the canonical bytes

    def given(self, digests: Mapping[str, str]) -> dict[str, str]:
        """Its parameters; an image that is not built yet has an unknown digest."""
        return {name: digests.get(name, UNKNOWN) for name in json.loads(self.text).get("Parameters", {})}


@dataclass(frozen=True)
class Release:
    names: Names
    definition: str
    others: Mapping[str, str]  # the definitions of the machines around the runs, by their names
    base: Template
    pipeline: Template
    cicd: Template | None
    objects: tuple[Stored, ...]
    images: tuple[Image, ...]

    def filled(self, digests: Mapping[str, str]) -> str:
        """The definition with the images' digests, substituted as by CloudFormation."""
        text = self.definition
        for image in self.images:
            text = text.replace(f"${{{image.parameter}}}", digests.get(image.parameter, UNKNOWN))
        return text


def release(loaded: LoadedConfig, definition: str, others: Mapping[str, str] | None = None) -> Release:
    """What to deploy; raises ConfigError if a template would exceed CloudFormation's limit."""
    names, others = Names(loaded.config), others or {}
    asl, trigger, tell = definition.encode(), zipped(TRIGGER), zipped(*TELL)
    config = names.config_uri.removeprefix(f"s3://{names.work_bucket}/")
    code = names.code_uri.removeprefix(f"s3://{names.work_bucket}/")
    source = names.source_uri.removeprefix(f"s3://{names.work_bucket}/")
    objects: tuple[Stored, ...] = (
        Stored(f"definitions/{_hash(asl)}.asl.json", asl, "definition.asl.json"),
        Stored(f"trigger/{_hash(trigger)}.zip", trigger, "start_pipeline.zip"),
        Stored(config, names.config_json.encode(), "config.json"),
        Stored(f"tell/{_hash(tell)}.zip", tell, "tell_failure.zip"),
        *(Stored(f"{code}{name}", content, f"code/{name}") for name, content in names.scripts.items()),
        *([Stored(source, packed(names.scripts), "sourcedir.tar.gz")] if names.scripts else []),
        *(
            Stored(f"definitions/{_hash(text.encode())}.asl.json", text.encode(), f"{name}.asl.json")
            for name, text in others.items()
        ),
    )
    keys = {stored.file.removesuffix(".asl.json"): stored.key for stored in objects}
    made = pipeline(names, objects[0].key, objects[1].key, objects[3].key, {name: keys[name] for name in others})
    templates = (
        _template(names, "base", base(names)),
        _template(names, "pipeline", made),
    )
    built = images(names)
    objects += tuple(_source(image) for image in built if image.in_runs)
    _fit(loaded, templates)
    _fit_into_iam(loaded, names)
    pushes = _template(names, "cicd", cicd(names)) if names.config.cicd else None
    return Release(names, definition, others, *templates, pushes, objects, built)


def images(names: Names) -> tuple[Image, ...]:
    folders, in_runs = builds_of(names.config), builds_in_runs(names.config)
    tags = _tags([f"{name}={folders[name]}" if name in folders else name for name in images_of(names.config)])
    return tuple(
        Image(
            name, names.repository(name), tag, parameter_of(name, names.config), folders.get(name, ""), name in in_runs
        )
        for name, tag in tags.items()
    )


def _source(image: Image) -> Stored:
    """The zip of the image's folder that CodeBuild builds from; docker/build.sh hashes the same files."""
    folder = ROOT / image.folder
    files = sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return Stored(f"builds/{image.name}/{image.tag}.zip", zipped(*files, below=folder), f"{image.name}.zip")


def _tags(names: list[str]) -> dict[str, str]:
    """The images' tags, computed by the script that builds them, from their files."""
    script = ROOT / "docker" / "build.sh"
    try:
        said = subprocess.run(["bash", str(script), "--tags", *names], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SurroundingsError("bash is not installed, and docker/build.sh needs it (install bash)") from None
    if said.returncode:
        raise SurroundingsError(f"the images' tags cannot be reckoned: {said.stderr.strip()}")
    return dict(line.rsplit(":", 1) for line in said.stdout.split())


def zipped(*scripts: Path, below: Path | None = None) -> bytes:
    """A zip of the scripts, readable by Lambda, or of the files of a folder.

    The same scripts give the same bytes everywhere. They are stored uncompressed, because compressors differ.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for script in scripts:
            member = zipfile.ZipInfo(script.relative_to(below).as_posix() if below else script.name)
            mode = 0o100755 if below and os.access(script, os.X_OK) else 0o100644
            member.external_attr = mode << 16  # without a mode, Lambda may not read it
            member.create_system = 3  # Unix, on any system
            archive.writestr(member, script.read_bytes())
    return packed.getvalue()


def _template(names: Names, part: str, document: dict[str, Any]) -> Template:
    return Template(part, names.stack(part), canonical(document))


def _fit(loaded: LoadedConfig, templates: Iterable[Template]) -> None:
    """Check the size: addresses, tags and the alarms of releases have no limit of their own."""
    for template in templates:
        over = len(template.text.encode()) - limits.TEMPLATE_BYTES
        if over > 0:
            rolled_back = any(map(roll_backs, loaded.config.models))
            key = "notify" if len(loaded.config.notify) > MANY else "models" if rolled_back else "tags"
            advice = {
                "notify": "give a mailing list",
                "models": "remove serve.release of some models, whose alarms are in it",
                "tags": "use fewer or shorter ones",
            }[key]
            message = (
                f"the template {template.part} is {over:,} bytes larger than CloudFormation takes"
                f" (at most {limits.TEMPLATE_BYTES:,}: {advice})"
            )
            raise ConfigError(loaded.source.file, [loaded.source.problem(key, message)])


# [iam] Characters of a boundary, and of all inline policies of a role; white space does not count.
MOST = {"boundary": 6_144, "machine": 10_240, "job": 10_240}


def _fit_into_iam(loaded: LoadedConfig, names: Names) -> None:
    """Check the policies that grow with what the models use."""
    for part, most in MOST.items():
        over = len(json.dumps(policy(names, part), separators=(",", ":"))) - most
        if over > 0:
            message = (
                f"the models use so much that the policy {part} is {over:,} characters larger than IAM takes"
                f" (at most {most:,}: make two pipelines of them, such as one of those that are served)"
            )
            raise ConfigError(loaded.source.file, [loaded.source.problem("models", message)])


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
