"""`from stepgluon import Run`, with stand-ins for the jobs; tests/local/test_demo.py executes the notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from account import Picky
from test_run import CONFIG, User

from stepgluon import Run
from stepgluon.errors import StepgluonError, UsageError


def test_importing_stepgluon_imports_nothing_else() -> None:
    heavy = "('boto3', 'yaml', 'pandas')"
    code = f"import stepgluon, sys; print([name for name in sys.modules if name.split('.')[0] in {heavy}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_local_run_is_an_object(user: User, faults: Picky) -> None:
    told = user.good()
    run = Run.latest()
    assert (run.name, run.status, repr(run)) == (told["run"], "SUCCEEDED", f"<Run {told['run']}: SUCCEEDED>")
    assert Run(told["run"][:-1]).name == told["run"]
    adelie, _ = run.models
    assert (adelie.name, adelie.mae, adelie.verdict, adelie.uses) == ("adelie", 200, "accepted", "trained")
    folder = run._model("adelie")
    assert folder == Path(".local/fetched") / told["run"] / "models/adelie" and list(folder.iterdir())
    assert (adelie.metric, adelie.score) == ("mae", 200)
    (folder / "program").mkdir()
    with pytest.raises(StepgluonError, match="AutoGluon did not train adelie"):
        run.leaderboard("adelie")
    with pytest.raises(StepgluonError, match="has no model emperor"):
        run.predictor("emperor")
    assert run._repr_html_().startswith(("<iframe", "<pre>Run penguins-"))

    (user.folder / "seals.yml").write_text(CONFIG.replace("name: penguins", "name: seals"))
    with pytest.raises(UsageError, match="has no runs of seals, only of penguins "):
        Run.latest(config="seals.yml")
    with pytest.raises(UsageError, match="empty has no runs yet"):
        Run.latest(work="empty")
    with pytest.raises(UsageError, match="did you mean"):
        Run(told["run"][1:])


def test_a_run_without_a_result_shows_why(user: User, faults: Picky) -> None:
    user.orders(prepare="exit 1")
    user.told()
    run = Run.latest()
    page = run._repr_html_()
    assert page.startswith("<iframe") and "prepare does not like the data" in page
    Path(run.told["report"]).unlink()
    page = run._repr_html_()
    assert page.startswith("<pre>Run penguins-") and "prepare does not like the data" in page
    with pytest.raises(StepgluonError, match="has no result"):
        run.predictions()
