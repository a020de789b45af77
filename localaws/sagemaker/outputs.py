"""A job's outputs: the uploaded files, and its last sentence."""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.s3.buckets import Buckets
from localaws.s3.store import Content
from localaws.sagemaker.fault_injection import Faults
from localaws.sagemaker.inputs import InputError, Refused, split
from localaws.sagemaker.job_process import inside

SENTENCE = 1024  # [sm] FailureReason and ExitMessage


@dataclass(frozen=True)
class Output:
    """A folder that is uploaded at the end to the prefix `uri`, which has no / at its end."""

    folder: str
    uri: str
    packed: bool = False


def outputs_of(kind: str, name: str, request: dict[str, Any]) -> list[Output]:
    if kind == "training":
        config = request["OutputDataConfig"]
        place = f"{config['S3OutputPath'].rstrip('/')}/{name}/output"
        if config.get("CompressionType", "GZIP") == "NONE":
            return [Output("/opt/ml/model", f"{place}/model")]
        return [Output("/opt/ml/model", f"{place}/model.tar.gz", packed=True)]
    return [
        Output(given["LocalPath"], given["S3Uri"].rstrip("/"))
        for output in request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        if (given := output.get("S3Output"))
    ]


# An uploaded file: the output's number, its name below it, and its content.
Uploaded = tuple[int, str, Content]


def upload(
    outputs: list[Output],
    roots: list[Path],
    buckets: Buckets,
    faults: Faults,
    kind: str,
    name: str,
    refused: Refused,
) -> list[Uploaded]:
    """Write all contents, then all keys, so an output appears as a whole."""
    done: list[Uploaded] = []
    for number, output in enumerate(outputs):
        for root in roots:
            folder = inside(root, output.folder)
            for relative, file in [("", _pack(folder, root))] if output.packed else list(_files(folder)):
                faults.upload(kind, name, file)
                done.append((number, relative, buckets.objects.copy_in(file)))
    publish(outputs, done, buckets, refused)
    return done


def publish(outputs: list[Output], uploaded: list[Uploaded], buckets: Buckets, refused: Refused) -> None:
    now = time.time()
    places = [_place(outputs[number], relative) for number, relative, _ in uploaded]
    for bucket, key in places:
        told = refused("s3:PutObject", {"Bucket": bucket, "Key": key})
        if told:
            raise InputError(f"ClientError: Artifact upload failed:AccessDenied (403): {told}")
    for (bucket, key), (_, _, content) in zip(places, uploaded, strict=True):
        buckets.put_content(bucket, key, content, now)


def _place(output: Output, relative: str) -> tuple[str, str]:
    bucket, key = split(output.uri)
    return bucket, "/".join(part for part in (key, relative) if part)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(place, name)
            # A link may point outside the job's folder; a pipe has no end.
            if file.is_file() and not file.is_symlink():
                yield file.relative_to(folder).as_posix(), file


def _pack(folder: Path, root: Path) -> Path:
    packed = root / "tmp" / "model.tar.gz"
    with tarfile.open(packed, "w:gz", compresslevel=1) as tar:
        for relative, file in _files(folder):
            tar.add(file, relative, recursive=False)
    return packed


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
