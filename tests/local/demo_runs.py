"""A command of a demo, with the demo's real jobs as forks of interpreters that have imported AutoGluon or XGBoost."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import forks
import pytest

from pipeline import workflow
from stepgluon.cli.main import main


def told(*words: str) -> dict[str, Any]:
    """What the command prints for scripts."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        forks.arrange(patch.setattr)
        code = main(workflow, [*words, "--json"])
    assert code == 0, out.getvalue() + err.getvalue()
    found: dict[str, Any] = json.loads(out.getvalue())
    return found
