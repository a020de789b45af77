"""`runs` as a table, locally and in an account."""

from __future__ import annotations

import os
from typing import Any

import pytest

from stepgluon.figures import took
from stepgluon.runs.history import DELIVERS, Story
from stepgluon.runs.run_list import runs_table
from stepgluon.runs.run_record import run_json
from stepgluon.runs.view import panel, table

ARN = "arn:aws:states:eu-west-1:123456789012:execution:penguins:"


def told(run: str, status: str = "SUCCEEDED", **more: Any) -> dict[str, Any]:
    models = [{"name": "adelie", "verdict": "accepted"}, {"name": "gentoo", "verdict": "rejected"}]
    known = {"run": run, "arn": ARN + run, "status": status, "started": 0.0, "seconds": 77.4, "note": ""}
    return {**known, "models": models, "failure": None, **more}


FAILED = told(
    "penguins-261130-0a1",
    "FAILED",
    note="by hand",
    models=[],
    seconds=4.26,
    failure={"error": "States.TaskFailed", "sentence": "penguins.csv: column 'body_mass_g' is missing.", "state": "x"},
)


def test_a_line_has_the_pipeline_the_state_and_the_models_and_below_it_the_reason() -> None:
    assert runs_table([told("penguins-261130-3f2"), FAILED]) == (
        "run                  pipeline  started        took  state     accepted  note\n"
        "penguins-261130-3f2  penguins  -        1 min 17 s  finished  1 of 2\n"
        "penguins-261130-0a1  penguins  -             4.3 s  failed              by hand\n"
        "    penguins.csv: column 'body_mass_g' is missing.\n"
    )


@pytest.mark.parametrize("columns", [60, 80])
def test_it_fits_a_narrow_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(os, "isatty", lambda file: True)
    runs = [told("penguins-prod-261130-3f2", note="a note " * 20, started=1764000000.0), {**FAILED, "note": "x" * 90}]
    table = runs_table(runs)
    assert max(map(len, table.splitlines())) <= columns
    assert "penguins-prod-261130-3f2" in table and "…" in table


@pytest.mark.parametrize(
    ("status", "error", "word"),
    [
        ("ABORTED", "Interrupted", "stopped"),
        ("TIMED_OUT", "", "took too long"),
        ("CUT OFF", "", "cut off"),
        ("FAILED", "Incomplete", "incomplete"),
        ("RUNNING", "", "running"),
    ],
)
def test_the_states_are_words(status: str, error: str, word: str) -> None:
    failure = {"error": error, "sentence": "", "state": ""} if error else None
    assert f" {word} " in runs_table([told("r", status, failure=failure)])


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (59.4, "59.4 s"), (59.9, "1 min 00 s"), (7300, "2 h 01 min")]
)
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert took(seconds) == words


def test_limits_say_their_direction_if_the_models_have_several_metrics() -> None:
    mae = {"name": "a", "verdict": "accepted", "mae": 2.0, "threshold": 300.0, "uses": "trained"}
    rmse = {"name": "b", "verdict": "accepted", "metric": "rmse", "score": 3.0, "at_most": 300.0, "uses": "trained"}
    story = Story(status="SUCCEEDED", models=[mae, rmse], succeeded={DELIVERS})
    both = run_json("r", {}, story, None)["models"]
    assert [row.split("  accepted")[0].split("  ")[-1].strip() for row in table(both)[1:]] == ["at most 300"] * 2
    assert " at most" not in table(both[:1])[1]


def test_a_model_s_r2_and_learner_are_those_of_the_summary_whatever_it_holds() -> None:
    verdict = {"name": "a", "verdict": "accepted", "mae": 2.0, "threshold": 3, "uses": "trained"}
    story = Story(status="SUCCEEDED", models=[verdict], succeeded={DELIVERS})
    for models in ([{"name": "a", "r2": 0.98765, "learner": "LightGBM"}], None, "?", [7, {"name": "a", "r2": "?"}]):
        (model,) = run_json("r", {}, story, {"models": models})["models"]
        known = isinstance(models, list) and "learner" in (models[0] if isinstance(models[0], dict) else {})
        head, row = table([model])
        assert ("R²" in head and "0.988" in row) is known
        assert row.endswith("the trained LightGBM" if known else "the trained model")


@pytest.mark.parametrize(("gaps", "line"), [(0, "  no gaps to fill"), (3, "  2 of 3 gaps filled")])
def test_a_run_says_how_many_gaps_it_filled_or_that_there_were_none(gaps: int, line: str) -> None:
    known = {"predictions": min(gaps, 2), "gaps": gaps, "results": None, "jobs": [], "models": [], "folder": "."}
    assert line in panel(told("penguins-261130-3f2", outbox="outbox", data="", lines=[], **known)).splitlines()
