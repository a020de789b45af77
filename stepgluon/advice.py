"""The commands that messages suggest, with the --config, --env and --work of this call."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

CONFIG, WORK = "pipeline-config.yml", ".local"
_OF_A_FOLDER = frozenset(  # commands that have --work
    (
        "run",
        "local",
        "runs",
        "show",
        "watch",
        "redrive",
        "promote",
        "logs",
        "fetch",
        "compare",
        "clean",
        "models",
        "cost",
        "advise",
        "monitor",
        "rehearse",
    )
)
_given: ContextVar[tuple[str, ...]] = ContextVar("given", default=())
_folder: ContextVar[tuple[str, ...]] = ContextVar("folder", default=())


def pipeline_py(words: str, *values: str) -> str:
    """`deploy --only base` -> python pipeline.py deploy --only base --env prod; `values` are quoted for the shell."""
    folder = _folder.get() if words.split()[0] in _OF_A_FOLDER and "--aws" not in words else ()
    return " ".join(["python pipeline.py", words, *map(shlex.quote, (*values, *_given.get(), *folder))])


@contextmanager
def as_given(config: Path | None, environment: str | None, work: Path | None = None) -> Iterator[None]:
    """In the block, suggested commands repeat the options for config and work folder, unless they are defaults."""
    file = ("--config", str(config)) if config and str(config) != CONFIG else ()
    given = _given.set((*file, *(("--env", environment) if environment else ())))
    folder = _folder.set(("--work", str(work)) if work and str(work) != WORK else ())
    try:
        yield
    finally:
        _given.reset(given)
        _folder.reset(folder)


REQUESTS = {False: ("rows.csv", "text/csv"), True: ("FILE", "application/octet-stream")}


EXAMPLE = "Example of a call:"  # before `asking` in a mail, by which a local run finds it


def asking(endpoint: str, address: str = "", region: str = "", target: str = "", files: bool = False) -> str:
    """The command that asks an endpoint of the account, or of a local AWS, which needs no credentials.

    `target` is the archive of a model, for an endpoint of many; `files` says that a request is a file, not rows.
    """
    where = f" --endpoint-url {address} --no-sign-request" if address else ""
    call = f"aws{where} sagemaker-runtime invoke-endpoint --endpoint-name {endpoint}"
    call += f" --region {region}" if region else ""
    call += f" --target-model {target}" if target else ""
    file, kind = REQUESTS[files]
    return f"{call} --content-type {kind} --body fileb://{file} answers.csv"
