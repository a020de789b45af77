"""Runs a user's script in a job, and checks the files that it leaves.

This module, prepare_files.py and score_files.py run in the user's container: they need Python 3.9 and no packages.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import job_io
from job_io import JobError, RetryableError, shown

_LINE = 64 * 1024  # read at once: a script may write a line without an end
_REST_SECONDS = 10  # for the end of the log of a script that has ended, whose children may keep it open


def run(name: str) -> None:
    """Run the script with this Python, in its folder; raises JobError with its last line of stderr if it fails."""
    script = job_io.processing_input("code") / name
    if not script.is_file():
        raise RetryableError(f"{name} is missing in {script.parent}; the job's inputs are not complete.")
    last = [""]
    process = subprocess.Popen(
        [sys.executable, "-u", os.fspath(script)],
        cwd=script.parent,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )

    said = process.stderr
    assert said is not None

    def read() -> None:
        for line in iter(lambda: said.readline(_LINE), ""):
            print(line, end="", file=sys.stderr, flush=True)
            last[0] = line.strip() or last[0]

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    code = process.wait()
    reader.join(_REST_SECONDS)
    if code == -9:
        raise RetryableError(f"{name} was killed, probably because memory ran out; give the job a larger instance.")
    if code:
        why = f": {last[0][:500].rstrip('.')}" if last[0] else ""
        raise JobError(f"{name} failed{why} (exit code {code}). Its log has more.")


def files_in(folder: Path, script: str) -> dict[str, Path]:
    """The files below a folder, by their path in it; raises JobError for a link or a special file."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in sorted(folders + names):
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                where = f"{folder.name}/{relative}"
                raise JobError(f"{script} wrote {shown(where)}, which is not a plain file; copy the file there.")
            if path.is_file():
                found[relative] = path
    return dict(sorted(found.items()))


def listing(files: dict[str, Path]) -> str:
    """The files' sums and names, as `sha256sum` prints them."""
    return "".join(f"{sha256(path)}  {name}\n" for name, path in files.items())


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()
