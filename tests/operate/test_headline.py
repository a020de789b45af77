"""What `show`, `runs` and `compare` say of a run with thousands of models: counts and the worst ones."""

from __future__ import annotations

from typing import Any

import pytest

from stepgluon.runs import compare, headline
from stepgluon.runs.history import Story
from stepgluon.runs.run_list import runs_table
from stepgluon.runs.run_record import run_json
from stepgluon.runs.view import panel

WORST = {"score": 9.5, "baseline": 2.0, "limit": 3, "verdict": "rejected", "reason": "rejected. MAE 9.5 (limit 3)."}


def summed(**more: Any) -> dict[str, Any]:
    counts = dict(zip(headline.COUNTS, (10_000, 200, 9_319, 583, 9_107, 795, 387, 48, 50, 495_100), strict=True))
    worst = [{"name": f"store-{n}", "value": f"Store {n}", **WORST} for n in range(20)]
    missing = [{"name": f"store-{n}", "value": f"store-{n}", "reason": "The machine was lost."} for n in range(20)]
    known = {"column": "store", "metric": "mae", "gaps": 500_000, "failed_groups": ["g0003"]}
    return {**counts, **known, "worst": worst, "missing_models": missing} | more


def told(status: str = "SUCCEEDED", **more: Any) -> dict[str, Any]:
    story = Story(started=1.0, ended=61.0, status=status, succeeded={"Post-process"})
    if status == "FAILED":
        story.error, story.cause, story.states = "Incomplete", "50 models did not predict.", ["Incomplete"]
    summary = {"rows": 1_000_000, "predictions": 495_100, "gaps": 500_000, "headline": summed(**more)}
    places = {"arn": "", "results": "/w/runs/june/predictions.csv", "folder": "/w/runs/june", "outbox": "/w/outbox"}
    return run_json("june", {}, story, summary, **places)


def test_a_run_of_ten_thousand_models_fits_on_a_screen() -> None:
    said = panel(told("FAILED")).splitlines()
    assert len(said) < 60
    assert said[0] == "Run june is incomplete after 60.0 s: 50 models did not predict."
    assert said[2:9] == [
        "  10,000 models, one for each store, in 200 groups",
        "  9,319 trained, 583 cached; 9,107 accepted, 795 rejected",
        "  387 predicted by a promoted model",
        "  48 left open: too few rows",
        "  50 not predicted",
        "  1 group failed: g0003",
        "",
    ]
    assert said[9:11] == ["Not predicted:", "  store-0: The machine was lost."]
    assert "  and 30 more (models.csv has all)" in said
    assert "  store-0 (Store 0)  9.5              2      3  rejected" in said
    assert sum(line.startswith("  store-1 ") or "(Store 1" in line for line in said) == 1
    assert "  495,100 of 500,000 gaps filled" in said
    assert said == [line.rstrip() for line in said]
    assert any(line.endswith("promote june") for line in said)


def test_it_says_that_small_partitions_share_a_model() -> None:
    said = panel(told(others=True))
    assert "  10,000 models, one for each store with enough rows, and one for the others, in 200 groups\n" in said


def test_a_run_whose_missing_models_were_all_rejected_is_not_to_be_repeated() -> None:
    said = panel(told("FAILED", repeatable=False), "run again")
    assert "  next     loosen the limit, set fallback.if_missing: use_trained, or promote an earlier run\n" in said
    assert "run again" not in said
    for more in ({"repeatable": True}, {}):
        assert "  again    run again\n" in panel(told("FAILED", **more), "run again")


def test_nothing_is_said_of_what_did_not_happen() -> None:
    none = {
        "default": 0,
        "open": 0,
        "missing": 0,
        "failed_groups": [],
        "missing_models": [],
        "worst": [],
        "accepted": 0,
    }
    said = panel(told(**none))
    assert "left open" not in said and "failed" not in said and "worst" not in said
    assert "promote" not in said


@pytest.mark.parametrize("broken", [{"models": "many"}, {"worst": [{"score": 1}]}, {"missing_models": None}])
def test_a_headline_of_an_edited_job_is_left_out(broken: dict[str, Any]) -> None:
    assert "headline" not in told(**broken)


def test_a_value_cannot_command_the_terminal() -> None:
    evil = [{"name": "value-0a1b", "value": "\x1b[31m\u202eevil\n", **WORST}]
    assert "value-0a1b (\ufffd[31m\ufffdevil)" in panel(told(worst=evil))


def test_the_runs_are_listed_with_their_counts_and_compared_by_them() -> None:
    record = told() | {"started": 1.0, "note": "", "failure": None}
    assert "9,107 of 10,000" in runs_table([record])
    second = told(accepted=9_500, rejected=402)
    said = compare.words(compare.compared((record, second), ({}, {})))
    assert "  ".join(["accepted", "           9,107", "9,500"]).split() == next(
        line.split() for line in said.splitlines() if line.startswith("accepted")
    )
    assert len(said.splitlines()) < 25
