"""Fits the pipeline's mails to a local run: paths instead of S3 addresses, commands with --config and --work.

Links to the AWS console are left out: the account has no such run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path

from stepgluon.advice import EXAMPLE, pipeline_py
from stepgluon.names import Names
from stepgluon.runs.view import shown

_ASK = re.compile(rf"(?<=^{EXAMPLE}\n  )aws .*$", re.M)
_COMMAND = re.compile(r"python pipeline\.py (show|fetch|promote|redrive) ('[^'\n]*'|[\w.-]+)(?: --env \S+)?$", re.M)


def fitted(names: Names, work: Path) -> Callable[[str], str]:
    """A function for texts of mails; the commands get the options of the present call."""
    given = copy_context()  # mails are sent in other threads
    result = re.compile(rf"s3://{names.work_bucket}/runs/([^/\s]+)/result/(\S*)")

    def command(found: re.Match[str]) -> str:
        return given.copy().run(pipeline_py, found[1], *shlex.split(found[2]))

    def ask() -> str:
        shows = given.copy().run(pipeline_py, "show", "latest")
        return f"{shows}  # has the command for the local AWS"

    def fit(text: str) -> str:
        lines = [line for line in text.split("\n") if not (names.console and names.console in line)]
        text = _ASK.sub(lambda found: ask(), _COMMAND.sub(command, "\n".join(lines)))
        return result.sub(lambda found: shown(f"{work}/runs/{found[1]}/{found[2]}"), text)

    return fit
