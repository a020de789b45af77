"""A job's files: its inputs from S3, whose prefixes work as in SageMaker, its settings, and its outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.s3.buckets import Buckets
from localaws.s3.store import Content, Objects, Stored
from localaws.sagemaker.archives import pack
from localaws.sagemaker.job_process import ROOT, JobFailed, inside

NO_OBJECTS = (
    'ClientError: No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
    "exists in the selected region ({region}), that objects exist under that S3 prefix, and that the role "
    '"{role}" has "s3:ListBucket" permissions on bucket "{bucket}".'
)
NO_ROLE = (
    "Could not assume role {role}. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' "
    "to assume the role."
)
NAME_BYTES = 255  # of a file's or folder's name, on all common file systems
SENTENCE = 1024  # [sm] FailureReason and ExitMessage

Refused = Callable[[str, dict[str, Any]], str]
"""Why the job's role may not call an operation of S3; empty if it may."""
Uploaded = tuple[int, str, Content]
"""An uploaded file: the output's number, its path below the output's folder, and its content."""


@dataclass(frozen=True)
class Input:
    uri: str
    folder: str  # in the container
    sharded: bool
    is_manifest: bool


@dataclass(frozen=True)
class Found:
    """An input with the objects below it."""

    input: Input
    files: tuple[tuple[str, Stored], ...]  # name below the folder, and object


@dataclass(frozen=True)
class Output:
    """A folder that is uploaded at the end to the prefix `uri`, which has no / at its end; as one file if packed."""

    folder: str
    uri: str
    archive: str = ""  # the file's name


# Inputs


def inputs_of(kind: str, request: dict[str, Any]) -> list[Input]:
    if kind == "training":
        channels = request.get("InputDataConfig", [])
        given = [(f"{ROOT}/input/data/{one['ChannelName']}", one["DataSource"].get("S3DataSource")) for one in channels]
    else:
        sources = [one.get("S3Input") for one in request.get("ProcessingInputs", [])]
        given = [(source["LocalPath"], source) for source in sources if source]
    return [
        Input(
            source["S3Uri"],
            folder,
            sharded=source.get("S3DataDistributionType") == "ShardedByS3Key",
            is_manifest=source["S3DataType"] == "ManifestFile",
        )
        for folder, source in given
        if source
    ]


def split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def find(given: Input, objects: Objects, role: str, region: str, refused: Refused) -> Found:
    bucket, prefix = split(given.uri)
    # A key that ends with / is a folder created in the console.
    stored = [found for found in objects.below(bucket, prefix) if not found.key.endswith("/")]
    if not stored or refused("s3:ListObjectsV2", {"Bucket": bucket, "Prefix": prefix}):
        raise JobFailed(NO_OBJECTS.format(uri=given.uri, region=region, role=role, bucket=bucket))
    if given.is_manifest:
        _check_readable(stored[:1], bucket, refused)
        bucket, prefix, stored = _listed(given, objects, stored[0])
    _check_readable(stored, bucket, refused)
    files = tuple((_name(found.key, prefix), found) for found in stored)
    for name, found in files:
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\0" in part or len(part.encode()) > NAME_BYTES for part in parts):
            raise JobFailed(f"ClientError: The key {found.key!r} of the bucket {bucket} cannot be a file's path.")
    return Found(given, files)


def _check_readable(stored: list[Stored], bucket: str, refused: Refused) -> None:
    for found in stored:
        if reason := refused("s3:GetObject", {"Bucket": bucket, "Key": found.key}):
            raise JobFailed(f"ClientError: Data download failed:AccessDenied (403): {reason}")


def _listed(given: Input, objects: Objects, manifest: Stored) -> tuple[str, str, list[Stored]]:
    """The objects that a manifest names: `[{"prefix": "s3://bucket/folder/"}, "key below it", ...]`."""
    try:
        first, *keys = json.loads(objects.file(manifest.content).read_bytes())
        bucket, prefix = split(first["prefix"])
        wanted = [prefix + key for key in keys]
    except (ValueError, TypeError, KeyError):
        raise JobFailed(f"ClientError: The manifest {given.uri} is not a list of a prefix and keys.") from None
    found = [(key, objects.one(bucket, key)) for key in wanted]
    for key, stored in found:
        if stored is None:
            raise JobFailed(f"ClientError: Data download failed:Failed to download s3://{bucket}/{key}: Not Found")
    return bucket, prefix, [stored for _, stored in found if stored]


def _name(key: str, prefix: str) -> str:
    """An object's path below the input's folder: relative to the prefix if that is a folder."""
    if key == prefix:
        return key.rsplit("/", 1)[-1]
    if prefix and not prefix.endswith("/") and key[len(prefix)] == "/":
        return key[len(prefix) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def lay_out(found: list[Found], objects: Objects, root: Path, number: int, count: int) -> None:
    """Copy an instance's share of the inputs to its folder; the job may change the copies."""
    for one in found:
        folder = inside(root, one.input.folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, stored in one.files[number::count] if one.input.sharded else one.files:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            objects.copy_out(stored.content, file)


def write_settings(kind: str, request: dict[str, Any], root: Path, number: int, count: int) -> None:
    """Create the container's folders, and the files that describe the job to it."""
    hosts = [f"algo-{index + 1}" for index in range(count)]
    resources = {"current_host": hosts[number], "hosts": hosts, "network_interface_name": "eth0"}
    folders = [root / "home", root / "tmp", root / "output" / "data"]
    folders += [root / ("input/data" if kind == "training" else "processing")]
    folders += [inside(root, output.folder) for output in outputs_of(kind, "", request)]
    if kind == "training":
        folder = root / "input" / "config"
        channels = {channel["ChannelName"]: _channel(channel) for channel in request.get("InputDataConfig", [])}
        hyperparameters = request.get("HyperParameters", {})
        settings = {"hyperparameters.json": hyperparameters, "inputdataconfig.json": channels}
    else:
        folder, settings = root / "config", {"processingjobconfig.json": request}
    for made in (folder, *folders):
        os.makedirs(made, exist_ok=True)
    for name, content in {**settings, "resourceconfig.json": resources}.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def _channel(channel: dict[str, Any]) -> dict[str, str]:
    """A channel's entry in inputdataconfig.json."""
    source = channel["DataSource"].get("S3DataSource", {})
    distribution = source.get("S3DataDistributionType", "FullyReplicated")
    known = {"TrainingInputMode": "File", "S3DistributionType": distribution, "RecordWrapperType": "None"}
    return known | ({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})


# Outputs


def outputs_of(kind: str, name: str, request: dict[str, Any]) -> list[Output]:
    if kind == "training":
        place = f"{request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output"
        if request["OutputDataConfig"].get("CompressionType") == "NONE":
            return [Output(f"{ROOT}/model", f"{place}/model")]
        return [
            Output(f"{ROOT}/model", place, "model.tar.gz"),
            Output(f"{ROOT}/output/data", place, "output.tar.gz"),
        ]
    if kind == "transform":
        return [Output(f"{ROOT}/out", request["TransformOutput"]["S3OutputPath"].rstrip("/"))]
    outputs = [output.get("S3Output") for output in request.get("ProcessingOutputConfig", {}).get("Outputs", [])]
    return [Output(given["LocalPath"], given["S3Uri"].rstrip("/")) for given in outputs if given]


def upload(outputs: list[Output], roots: list[Path], buckets: Buckets, refused: Refused) -> list[Uploaded]:
    """Write all contents, then all keys, so an output appears as a whole."""
    done: list[Uploaded] = []
    for number, output in enumerate(outputs):
        files = [found for root in roots for found in files_of(inside(root, output.folder))]
        if output.archive:
            archive = roots[0] / "tmp" / output.archive
            files = [(output.archive, archive)] if pack(files, archive) else []
        contents = buckets.objects.copy_all([file for _, file in files])
        done += [(number, relative, found) for (relative, _), found in zip(files, contents, strict=True) if found]
    publish(outputs, done, buckets, refused)
    return done


def publish(outputs: list[Output], uploaded: list[Uploaded], buckets: Buckets, refused: Refused) -> None:
    places = [(*split(f"{outputs[number].uri}/{relative}"), content) for number, relative, content in uploaded]
    for bucket, key, _ in places:
        if reason := refused("s3:PutObject", {"Bucket": bucket, "Key": key}):
            raise JobFailed(f"ClientError: Artifact upload failed:AccessDenied (403): {reason}")
    for bucket, key, content in places:
        buckets.put_content(bucket, key, content)


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The regular files of a folder, with their paths below it."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(place, name)
            # A link may point outside the job's folder; a pipe has no end.
            if file.is_file() and not file.is_symlink():
                yield file.relative_to(folder).as_posix(), file


def sentence(roots: list[Path], name: str) -> str:
    """The text of output/failure or output/message; empty if there is none."""
    for root in roots:
        try:
            text = (root / "output" / name).read_text("utf-8", "replace").strip()
        except OSError:
            continue
        if text:
            return text[:SENTENCE]
    return ""
