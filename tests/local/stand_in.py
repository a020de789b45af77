"""The command line as it is, but with the stand-in jobs of scripts/ in place of code/, and short waits.

    python tests/local/stand_in.py FOLDER CODE run --local --data ...

FOLDER keeps compiled definitions between tests, CODE has the jobs.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SCRIPTS = HERE / "scripts"
MINUTES = 300.0  # the deadline of whatever takes a moment, also on a machine that is slow and busy


def unchecked(names: Any, files: Any) -> Any:
    return nullcontext(lambda: {"problems": [], "notes": [], "files": []})


def arrange(
    shared: Path,
    set_attribute: Callable[[Any, str, Any], None] = setattr,
    code: Callable[[], Path] = lambda: SCRIPTS,
    faults: Any = None,
    **changed: Any,
) -> None:
    import forks

    from localaws.stepfunctions import parse_cache, queue
    from stepgluon.live import page
    from stepgluon.local import data_check, redrive, run

    if faults:
        faults.install(set_attribute)
    usual = {"waiting": 0.0005, "grace_seconds": 0.3, "cores": 2, "cores_per_job": 1, "ending_seconds": MINUTES}
    forks.arrange(set_attribute)
    settings_of, definition_of, install = run.settings_of, run.compiled, parse_cache.install
    set_attribute(
        run, "settings_of", lambda *given: replace(settings_of(*given), **{**usual, **changed, "code": code()})
    )
    set_attribute(run, "compiled", lambda loaded, workflow, work: definition_of(loaded, workflow, shared))
    set_attribute(data_check, "started", unchecked)  # the stand-in jobs' orders are no tables
    set_attribute(parse_cache, "install", lambda work: install(shared))
    # The product's own deadlines are for users, whose machine is not that busy.
    for module, deadline in (
        (redrive, "KEPT_SECONDS"),
        (run, "TRIGGER_SECONDS"),
        (queue, "BEGINS_SECONDS"),
        (page, "CLOSING_SECONDS"),
    ):
        set_attribute(module, deadline, MINUTES)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job has ignored
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from pipeline import workflow
    from stepgluon.cli.main import main

    arrange(Path(sys.argv[1]), code=lambda: Path(sys.argv[2]))
    sys.exit(main(workflow, sys.argv[3:]))
