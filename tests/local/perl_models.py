"""A container that trains and serves, in Perl, because the plain Debian that the tests build on has no Python.

It fits a straight line through the label and the column that the hyperparameter `column` names. The hyperparameter
`train`, and `serve` for the server, is a piece of Perl that misbehaves first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from images.containers import BASE, CACHE, alone, call, make_base

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
FILES = Path(__file__).parent / "line-model"


@contextmanager
def image(name: str) -> Iterator[str]:
    """Its address; the store has it while the block runs."""
    with alone():
        make_base()
        container = call("buildah", "from", BASE).strip()
        root = Path(call("buildah", "mount", container).strip())
        for file in ("train", "serve"):
            shutil.copy(FILES / file, root / "usr/local/bin")
        call("buildah", "commit", "--quiet", "--rm", container, f"localhost/{name}:1")
        before = os.environ.get("CONTAINERS_STORAGE_CONF")
        os.environ["CONTAINERS_STORAGE_CONF"] = os.fspath(CACHE / "storage.conf")
        try:
            yield f"{REGISTRY}/{name}:1"
        finally:
            os.environ.pop("CONTAINERS_STORAGE_CONF")
            if before:
                os.environ["CONTAINERS_STORAGE_CONF"] = before
            call("buildah", "rmi", f"localhost/{name}:1")
