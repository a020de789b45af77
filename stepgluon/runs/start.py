"""`start`: upload tables to the raw bucket, and start an execution of the live version.

A .run file also starts a run, through the trigger. `start` calls Step Functions itself, so it immediately knows the
run's name, or why the run cannot start. The input has the same format as the trigger's.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import secrets
import shlex
import time
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepgluon.aws import Door, answer, transfers
from stepgluon.errors import SurroundingsError, UsageError, did_you_mean, visible
from stepgluon.names import Names
from stepgluon.runs.executions import deployed, sizes

NOTE_CHARACTERS = 500
SUFFIXES = (3, 8, 20)  # characters of the token in a run's name, as in lambda/start_pipeline.py


def check_files(files: Sequence[Path], option: str = "--data ") -> None:
    """Raise UsageError for the first file that cannot be uploaded as a table."""
    names: dict[str, Path] = {}
    for file in files:
        if not file.exists():
            guess = did_you_mean(file.name, [each.name for each in file.parent.glob("*")])
            problem = f"there is no such file (did you mean {guess}?)" if guess else "there is no such file"
        elif file.is_dir():
            problem = f"this is a folder (name the tables in it, like {shlex.quote(str(file))}/*.csv)"
        elif not file.is_file():
            problem = "not a regular file; save its output to a file first"
        elif not os.access(file, os.R_OK):
            problem = "you may not read this file (change its permissions)"
        elif file.name.startswith((".", "_")) or file.name.lower().endswith(".run"):
            problem = "the pipeline ignores files with such a name (rename it)"
        elif visible(file.name) != file.name or "\n" in file.name or "\t" in file.name:
            problem = "the name has control characters (rename it)"
        elif file.name in names:
            problem = f"{names[file.name]} has the same name, and both go to one folder (rename one)"
        else:
            names[file.name] = file
            continue
        raise UsageError(f"{option}{file}: {problem}")


def start(
    door: Door,
    names: Names,
    folder: str,
    threshold: float | None,
    note: str,
    fresh: bool = False,
    estimate: str = "",
) -> str:
    """Start a run; return its name. The client repeats a lost call with the same name, so only one run starts."""
    overrides, token = {} if threshold is None else {"threshold": threshold}, secrets.token_hex(10)
    given: dict[str, Any] = {"data": folder, "note": one_line(note), "overrides": overrides, "token": token}
    given |= {"fresh": True} if fresh else {}
    given |= {"estimate": estimate} if estimate else {}
    day = time.strftime("%y%m%d", time.gmtime())
    for length in SUFFIXES:
        name = f"{names.machine}-{day}-{token[:length]}"
        if answer(functools.partial(execute, door, names, name, given), "ExecutionAlreadyExists"):
            return name
    raise SurroundingsError("all names for this run are taken (try again)")


def execute(door: Door, names: Names, name: str, given: dict[str, Any]) -> str:
    """Start the live version; return the run's name."""
    with deployed(names):
        door.client("stepfunctions").start_execution(stateMachineArn=names.live, name=name, input=json.dumps(given))
    return name


def folder_of(door: Door, names: Names, folder: str) -> str:
    """The S3 address of an existing folder: s3://BUCKET/FOLDER/, or FOLDER in the raw bucket."""
    address = folder if folder.startswith("s3://") else f"s3://{names.raw_bucket}/{folder.lstrip('/')}"
    address = address.rstrip("/") + "/"
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    if bucket != names.raw_bucket:
        raise UsageError(f"{address}: the jobs may read only s3://{names.raw_bucket}/ (upload the tables there)")
    with deployed(names):
        page = door.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    if not page.get("Contents"):
        raise UsageError(f"{address} is empty (upload the tables: aws s3 cp my.csv {shlex.quote(address)})")
    return address


def look(door: Door, names: Names) -> None:
    """Raise NotDeployed if the account has no pipeline to start."""
    with deployed(names):
        door.client("stepfunctions").describe_state_machine_alias(stateMachineAliasArn=names.live)


def upload(door: Door, names: Names, files: Sequence[Path]) -> str:
    """Upload tables to a folder named after their contents; return it. Existing files are not sent again."""
    folder = folder_for({file.name: _sha256(file) for file in files})
    s3 = door.client("s3")
    with deployed(names):
        there = sizes(s3, names.raw_bucket, folder)
    missing = [file for file in files if there.get(file.name) != file.stat().st_size]
    with transfers(s3) as manager:
        sent = [manager.upload(str(file), names.raw_bucket, folder + file.name) for file in missing]
        for one in sent:
            one.result()
    return f"s3://{names.raw_bucket}/{folder}"


def one_line(note: str) -> str:
    """The note for a mail: one line, nothing invisible, limited length; lambda/ does the same for .run files."""
    spaced = "".join(" " if character.isspace() else character for character in note)
    visible = "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    line = " ".join(visible.split())
    return line if len(line) <= NOTE_CHARACTERS else line[: NOTE_CHARACTERS - 1] + "…"


def folder_for(tables: Mapping[str, str]) -> str:
    """A folder name from the first table, and from all names and SHA-256s: other tables get another folder."""
    digest = hashlib.sha256(json.dumps(sorted(tables.items())).encode()).hexdigest()
    return f"{stem_of(next(iter(tables)))}-{digest[:12]}/"


def stem_of(table: str) -> str:
    """The beginning of a file's name, for the name of a folder."""
    return re.sub(r"[^A-Za-z0-9]+", "-", table.split(".")[0]).strip("-")[:40].strip("-") or "data"


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
