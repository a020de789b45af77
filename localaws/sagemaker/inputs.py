"""A job's inputs from S3; prefixes work as in SageMaker."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.s3.store import Objects, Stored
from localaws.sagemaker.job_process import ROOT, inside

NO_OBJECTS = (
    'ClientError: No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
    "exists in the selected region ({region}), that objects exist under that S3 prefix, and that the role "
    '"{role}" has "s3:ListBucket" permissions on bucket "{bucket}".'
)
NAME_BYTES = 255  # of a file's or folder's name, on all common file systems


class InputError(Exception):
    """The reason for which SageMaker would fail the job."""


Refused = Callable[[str, dict[str, Any]], str]
"""Why the job's role may not call an operation of S3; empty if it may."""


@dataclass(frozen=True)
class Input:
    uri: str
    folder: str  # in the container
    sharded: bool
    is_manifest: bool = False


@dataclass(frozen=True)
class Found:
    """An input with the objects below it."""

    input: Input
    files: tuple[tuple[str, Stored], ...]  # name below the folder, and object

    def of_instance(self, number: int, count: int) -> tuple[tuple[str, Stored], ...]:
        return self.files[number::count] if self.input.sharded else self.files


def inputs_of(kind: str, request: dict[str, Any]) -> list[Input]:
    if kind == "training":
        return [
            Input(source["S3Uri"], f"{ROOT}/input/data/{channel['ChannelName']}", _sharded(source))
            for channel in request.get("InputDataConfig", [])
            if (source := channel.get("DataSource", {}).get("S3DataSource"))
        ]
    return [
        Input(source["S3Uri"], source["LocalPath"], _sharded(source), source["S3DataType"] == "ManifestFile")
        for given in request.get("ProcessingInputs", [])
        if (source := given.get("S3Input"))
    ]


def _sharded(source: dict[str, Any]) -> bool:
    return source.get("S3DataDistributionType") == "ShardedByS3Key"


def split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def find(given: Input, objects: Objects, role: str, region: str, refused: Refused) -> Found:
    bucket, prefix = split(given.uri)
    # A key that ends with / is a folder created in the console.
    stored = [found for found in objects.below(bucket, prefix) if not found.key.endswith("/")]
    if not stored or refused("s3:ListObjectsV2", {"Bucket": bucket, "Prefix": prefix}):
        raise InputError(NO_OBJECTS.format(uri=given.uri, region=region, role=role, bucket=bucket))
    if given.is_manifest:
        _readable(stored[:1], bucket, refused)
        bucket, prefix, stored = _listed(given, objects, stored[0])
    _readable(stored, bucket, refused)
    files = tuple((_name(found.key, prefix), found) for found in stored)
    for name, found in files:
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\0" in part or len(part.encode()) > NAME_BYTES for part in parts):
            raise InputError(f"ClientError: The key {found.key!r} of the bucket {bucket} cannot be a file's path.")
    return Found(given, files)


def _readable(stored: list[Stored], bucket: str, refused: Refused) -> None:
    for found in stored:
        told = refused("s3:GetObject", {"Bucket": bucket, "Key": found.key})
        if told:
            raise InputError(f"ClientError: Data download failed:AccessDenied (403): {told}")


def _listed(given: Input, objects: Objects, manifest: Stored) -> tuple[str, str, list[Stored]]:
    """The objects that a manifest names: `[{"prefix": "s3://bucket/folder/"}, "key below it", ...]`."""
    try:
        first, *keys = json.loads(objects.file(manifest.content).read_bytes())
        bucket, prefix = split(first["prefix"])
        wanted = [prefix + key for key in keys]
    except (ValueError, TypeError, KeyError):
        raise InputError(f"ClientError: The manifest {given.uri} is not a list of a prefix and keys.") from None
    there = []
    for key in wanted:
        found = objects.one(bucket, key)
        if found is None:
            raise InputError(f"ClientError: Data download failed:Failed to download s3://{bucket}/{key}: Not Found")
        there.append(found)
    return bucket, prefix, there


def _name(key: str, prefix: str) -> str:
    """An object's path below the input's folder: relative to the prefix if that is a folder."""
    if key == prefix:
        return key.rsplit("/", 1)[-1]
    if prefix and not prefix.endswith("/") and key[len(prefix)] == "/":
        return key[len(prefix) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def lay_out(found: list[Found], objects: Objects, root: Path, number: int, count: int) -> None:
    for one in found:
        folder = inside(root, one.input.folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, stored in one.of_instance(number, count):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            # A copy: the job may change its files.
            objects.copy_out(stored.content, file)


def write_settings(kind: str, request: dict[str, Any], root: Path, number: int, count: int) -> None:
    """Write the files that describe the job to its container."""
    hosts = [f"algo-{index + 1}" for index in range(count)]
    resources = {"current_host": hosts[number], "hosts": hosts, "network_interface_name": "eth0"}
    if kind == "training":
        folder = root / "input" / "config"
        channels = {
            channel["ChannelName"]: {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"}
            for channel in request.get("InputDataConfig", [])
        }
        settings = {
            "hyperparameters.json": request.get("HyperParameters", {}),
            "inputdataconfig.json": channels,
            "resourceconfig.json": resources,
        }
        made = [root / "input" / "data", root / "model", root / "output" / "data"]
    else:
        folder = root / "config"
        settings = {"processingjobconfig.json": request, "resourceconfig.json": resources}
        outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        made = [inside(root, output["S3Output"]["LocalPath"]) for output in outputs if "S3Output" in output]
        made += [root / "processing", root / "output"]
    for made_folder in [folder, root / "home", root / "tmp", *made]:
        os.makedirs(made_folder, exist_ok=True)
    for name, content in settings.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
