"""The user's Python files that run on SageMaker: all next to preprocess.py, or to a training script for an AWS image.

With files in place of tables, they are the input `code` of jobs in the user's container, with ours below stepgluon/,
which run them. An AWS image gets them packed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

from stepgluon.config.schema import PipelineConfig

OURS = "stepgluon"
REPOSITORY = Path(__file__).parents[1]
_WRAPPERS = ("archive", "job_io", "job_model", "prepare_files", "score_files", "usage", "user_script")


def scripts_of(config: PipelineConfig) -> dict[str, bytes]:
    """Their contents by their path in the input."""
    given = [config.data.prepare, *(model.algorithm.script for model in config.models if model.algorithm)]
    first = next(filter(None, given), None)
    if first is None:
        return {}
    files = {path.name: path for path in sorted((REPOSITORY / first).parent.glob("*.py"))}
    if config.data.files:
        files |= {f"{OURS}/{name}.py": REPOSITORY / "code" / f"{name}.py" for name in _WRAPPERS}
    return {name: path.read_bytes() for name, path in files.items()}


def digests(scripts: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in scripts.items()}


def packed(scripts: dict[str, bytes]) -> bytes:
    """The user's scripts as sourcedir.tar.gz, with the same bytes everywhere."""
    made = io.BytesIO()
    with gzip.GzipFile("", "wb", 0, made, mtime=0) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in scripts.items():
            if not name.startswith(f"{OURS}/"):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def source_digest(scripts: dict[str, bytes]) -> str:
    return hashlib.sha256(packed(scripts)).hexdigest()
