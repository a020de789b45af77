"""The demo's real jobs, with AutoGluon, as `make demo` runs them: through the command line and the local AWS, twice."""

from __future__ import annotations

import ast
import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from demo_runs import told

from stepgluon.config.load import load
from stepgluon.cost.billed import cost_of
from stepgluon.cost.estimate import estimate
from stepgluon.cost.known import durations
from stepgluon.cost.prices import prices_of

HOUSE = Path(__file__).resolve().parents[2]
DEMO = sorted((HOUSE / "demo").glob("*.csv"))
PENGUINS = ("adelie", "chinstrap", "gentoo")
NUMBERS = {"bill_length_mm", "bill_depth_mm", "flipper_length_mm", "year", "body_mass_g"}


class Place:
    """A folder with the demo's config, with less time for training."""

    def __init__(self, folder: Path) -> None:
        self.config, self.work = folder / "pipeline-config.yml", folder / "work"
        text, changed = re.subn(r"time_limit: 10m", "time_limit: 10s", (HOUSE / "pipeline-config.yml").read_text())
        assert changed
        self.config.write_text(text)

    def call(self, *words: str) -> dict[str, Any]:
        return told(*words, "--config", str(self.config), "--work", str(self.work))

    def run(self, *words: str) -> dict[str, Any]:
        return self.call("run", "--local", "--data", *map(str, DEMO), *words)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def first(place: Place) -> dict[str, Any]:
    return place.run()


def result(run: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(run["results"]).read_text().splitlines()))


def test_every_demo_model_is_good_enough_and_better_than_the_median(first: dict[str, Any]) -> None:
    assert [model["name"] for model in first["models"]] == list(PENGUINS)
    assert all(150 < model["mae"] < 350 and model["uses"] == "trained" for model in first["models"])
    assert first["rows"] == len(result(first)) and first["predictions"] >= 60


def test_every_job_of_the_demo_says_what_it_used(first: dict[str, Any]) -> None:
    held = {job["state"]: job["used"]["memory"] for job in first["jobs"]}
    assert all(0.02 < memory < 8 for memory in held.values()), held


def test_what_the_demo_cost_is_the_estimate_for_the_next_run(place: Place, first: dict[str, Any]) -> None:
    region = "us-east-1"  # whose prices are known
    config, prices = load(place.config, None, {}).config.changed(region=region), prices_of(region)
    cost = cost_of(first["jobs"], f"arn:aws:states:{region}:123456789012:execution:penguins:{first['run']}")
    found = estimate(config, prices, durations([first]))
    assert cost is not None and (found.bound, found.unpriced, cost["unpriced"]) == ("about", [], [])
    assert found.usd == pytest.approx(cost["usd"], rel=0.2)
    assert found.models() == pytest.approx(cost["models"], rel=0.2)
    assert estimate(config, prices).usd > 2 * found.usd, "the time limits are far from it"


def test_the_demo_result_is_its_input_with_the_gaps_filled(first: dict[str, Any]) -> None:
    came = [row for path in DEMO for row in csv.DictReader(path.read_text().splitlines())]
    went = result(first)
    assert len(went) == len(came)
    for before, after in zip(came, went, strict=True):
        for name, cell in before.items():
            same = float(after[name]) == float(cell) if name in NUMBERS and cell else after[name] == cell
            assert same, (name, cell, after[name])
        assert bool(after["prediction"]) == (before["body_mass_g"] == "")
        if after["prediction"]:
            assert 2000 < float(after["prediction"]) < 7000
            assert after["model"] == before["species"].lower()


def test_the_notebook_shows_the_run(place: Place, first: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells are executed in the folder of the run, in one namespace, as a kernel does."""
    place.work.parent.joinpath(".local").symlink_to(place.work)
    monkeypatch.chdir(place.work.parent)
    notebook = json.loads((HOUSE / "docs" / "first-run.ipynb").read_text("utf-8"))
    shown: list[Any] = []
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            *lines, last = ast.parse("".join(cell["source"])).body
            assert isinstance(last, ast.Expr), "a cell ends with what it shows"
            exec(compile(ast.Module(lines, []), "cell", "exec"), names)
            shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
    run, models, rows, board, values = shown
    assert (run.name, run.status) == (first["run"], "SUCCEEDED")
    assert [name for name, _, _ in models] == list(PENGUINS)
    assert set(rows.model) <= set(PENGUINS) and len(rows) == 5
    assert "mae_val" in board.columns
    predicted = run.predictions().query("model == 'adelie'").prediction.head()
    assert values.tolist() == pytest.approx(predicted.tolist())
    page = run._repr_html_()
    assert page.startswith("<iframe srcdoc=") and "adelie" in page


def test_the_demo_s_report_has_every_part(first: dict[str, Any]) -> None:
    page = Path(first["report"]).read_text("utf-8")
    assert f"Filled all {first['predictions']} gaps." in page
    for part in ("Predicted against actual", "How much the error grows", "largest errors", "Leaderboard", "tried"):
        assert page.count(part) >= len(PENGUINS), part
    for part in (first["run"], "Timeline", "Train adelie</a>", "body_mass_g", "flipper_length_mm"):
        assert part in page, part
    assert len(page.encode()) < 200_000


def test_promoted_models_predict_the_same_where_no_model_is_good_enough(place: Place, first: dict[str, Any]) -> None:
    assert set(place.call("promote", first["run"])["promoted"]) == set(PENGUINS)
    second = place.run("--threshold", "150")
    assert [(model["verdict"], model["uses"]) for model in second["models"]] == [("rejected", "default")] * 3
    assert {row["model"] for row in result(second)} - {""} == set(PENGUINS)
    assert [row["prediction"] for row in result(second)] == [row["prediction"] for row in result(first)]
