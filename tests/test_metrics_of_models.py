"""Models that other metrics than MAE judge: each in its direction, and with its own words in mails and history."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from interpreter import Run, run
from test_workflow import PROMOTED, answers, answers_of, models

from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.live.state import models_of
from stepgluon.names import Names
from stepgluon.runs.history import verdict
from stepgluon.runs.view import table
from stepgluon.workflow.compile import compile_definition

HEAD = """
name: penguins
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models:
"""
CONFIG = (
    HEAD
    + """  - {name: adelie, label: mass, where: {species: adelie}, threshold: 350}
  - {name: chinstrap, label: sex, where: {species: chinstrap}, metric: roc_auc, at_least: 0.8}
  - {name: gentoo, label: other, where: {species: gentoo}, %s}
"""
)


@cache
def definition(gentoo: str) -> str:
    return compile_definition(loads(CONFIG % gentoo, "config.yml", None, {}), workflow).text


def measured(metric: str, score: Any, baseline: Any = 0.62, **more: Any) -> dict[str, Any]:
    found = {"metric": metric, "score": score, "baseline": baseline, "manifest": "5" * 64}
    return {"Body": json.dumps({**found, **more})}


def ended(gentoo: str, score: dict[str, Any], given: Any = None) -> Run:
    good = measured("roc_auc", 0.91, 0.5)
    scores = {"Read_score_of_chinstrap": good, "Read_score_of_gentoo": score}
    return run(definition(gentoo), answers(Choose_models=PROMOTED, **scores), given or {})


JUDGED = [
    ("metric: accuracy, at_least: 0.85", 0.91, "accepted. accuracy 0.91 (at least 0.85; baseline 0.62)."),
    ("metric: accuracy, at_least: 0.85", 0.85, "accepted. accuracy 0.85 (at least 0.85; baseline 0.62)."),
    ("metric: accuracy, at_least: 0.85", 0.84, "rejected. accuracy 0.84 (at least 0.85; baseline 0.62)."),
    ("metric: accuracy, at_least: 0.85", 85, "rejected. accuracy 85 (at least 0.85; baseline 0.62)."),
    ("metric: accuracy", 0.1, "accepted. accuracy 0.1 (no limit; baseline 0.62)."),
    ("metric: r2, at_least: -0.5", -0.25, "accepted. r2 -0.25 (at least -0.5; baseline 0.62)."),
    ("metric: r2", -7, "accepted. r2 -7 (no limit; baseline 0.62)."),
    ("metric: rmse, at_most: 350", 349, "accepted. rmse 349 (at most 350; baseline 0.62)."),
    ("metric: rmse, threshold: 350", 351, "rejected. rmse 351 (at most 350; baseline 0.62)."),
    ("metric: log_loss", -1, "rejected. log_loss -1 (no limit; baseline 0.62)."),
    ("metric: log_loss", None, "rejected. No score."),
    ("metric: log_loss, at_most: 1", "0.5", "rejected. No score."),
]


@pytest.fixture(scope="module")
def judged() -> Run:
    """One run, with a model for each of them."""
    models = "".join(f"  - {{name: m{n}, label: y{n}, {limit}}}\n" for n, (limit, _, _) in enumerate(JUDGED))
    text = compile_definition(loads(HEAD + models, "config.yml", None, {}), workflow).text
    scores = {f"m{n}": measured(metric_of(limit), score) for n, (limit, score, _) in enumerate(JUDGED)}
    return run(text, answers_of(scores))


def metric_of(limit: str) -> str:
    return limit.split()[1].rstrip(",")


@pytest.mark.parametrize(("place", "limit", "score", "reason"), [(n, *row) for n, row in enumerate(JUDGED)])
def test_a_score_is_compared_in_the_direction_of_its_metric(
    judged: Run, place: int, limit: str, score: Any, reason: str
) -> None:
    found = models(judged)[f"m{place}"]
    assert (found["reason"], found["verdict"]) == (reason, reason.split(".")[0])
    assert found["metric"] == metric_of(limit)
    assert found["score"] == (score if isinstance(score, (int, float)) else None)
    assert (found["mae"], found["threshold"]) == (None, None)
    assert f"- m{place}: {reason}" in judged.mail("models") and f"- m{place}: {reason}" in judged.mail("finished")
    assert verdict(found) == reason


def test_models_of_several_metrics_run_together_and_mae_keeps_its_keys() -> None:
    found = models(ended("metric: rmse", measured("rmse", 5, 9, mae=4, mae_of_median=8)))
    adelie, chinstrap, gentoo = (found[name] for name in ("adelie", "chinstrap", "gentoo"))
    assert adelie["reason"] == "accepted. MAE 231.5 (limit 350; always guessing the median: 612)."
    assert [adelie[key] for key in ("metric", "score", "baseline", "mae", "threshold")] == [
        "mae",
        231.5,
        612,
        231.5,
        350,
    ]
    assert chinstrap["reason"] == "accepted. roc_auc 0.91 (at least 0.8; baseline 0.5)."
    assert (gentoo["mae"], gentoo["mae_of_median"], gentoo["score"], gentoo["baseline"]) == (None, None, 5, 9)


def test_a_reason_for_a_missing_score_is_in_the_mail() -> None:
    reason = "the held-out part has only one class, so roc_auc is undefined"
    done = ended("metric: roc_auc", measured("roc_auc", None, None, reason=reason))
    found = models(done)["gentoo"]
    assert verdict(found) == f"rejected. No score: {reason}."
    unfit = "The model promoted from run old was not used: it predicts numbers."
    assert found["reason"] == f"{verdict(found)} {unfit}"


def test_a_threshold_of_the_run_is_of_models_that_mae_judges() -> None:
    done = ended("metric: rmse, at_most: 9", measured("rmse", 8), {"overrides": {"threshold": 2}})
    assert {name: each["verdict"] for name, each in models(done).items()} == {
        **{"adelie": "rejected", "chinstrap": "accepted", "gentoo": "accepted"}
    }


def test_a_machine_of_mae_alone_knows_no_other_metric() -> None:
    text = definition("threshold: 350")
    assert '"scored":["mae","mae_of_median","manifest","score","baseline","reason"]' in text
    alone = loads(re.sub(", metric: roc_auc, at_least: 0.8", "", CONFIG % "threshold: 350"), "config.yml", None, {})
    assert not re.search("at_least|at_most|own.score", compile_definition(alone, workflow).text)


def test_the_terminal_s_table_names_metrics_only_if_they_differ_from_mae() -> None:
    known = {"verdict": "accepted", "uses": "trained", "threshold": 350, "mae": 231.5, "mae_of_median": 612}
    alone = table([{"name": "adelie", **known}])
    assert alone[0].split() == ["model", "MAE", "of", "the", "median", "limit", "result", "predicts", "with"]
    other = {
        **known,
        "mae": None,
        "threshold": None,
        "metric": "roc_auc",
        "score": 0.91,
        "baseline": 0.5,
        "at_least": 0.8,
    }
    assert [line.split() for line in table([{"name": "adelie", **known}, {"name": "left", **other}])] == [
        ["model", "metric", "score", "baseline", "limit", "result", "predicts", "with"],
        ["adelie", "MAE", "231.5", "612", "at", "most", "350", "accepted", "the", "trained", "model"],
        ["left", "roc_auc", "0.91", "0.5", "at", "least", "0.8", "accepted", "the", "trained", "model"],
    ]


def test_the_live_page_keeps_the_limit_of_another_metric_if_the_run_gives_a_threshold() -> None:
    names = Names(loads(CONFIG % "metric: rmse, at_most: 9", "config.yml", None, {}).config)
    limits = {one.name: (one.limit, one.value) for one in models_of(names, 150.0)}
    assert limits == {"adelie": ("threshold", 150.0), "chinstrap": ("at_least", 0.8), "gentoo": ("at_most", 9)}


@pytest.mark.parametrize(("classes", "uses"), [({"classes": True}, "default"), ({}, "trained")])
def test_only_a_promoted_model_of_classes_predicts_classes(classes: dict[str, bool], uses: str) -> None:
    kept = {"m_chinstrap": {"uses": "default", "model_uri": "s3://b/promoted/", "run": "may", **classes}}
    bad = {"Read_score_of_chinstrap": measured("roc_auc", 0.6, 0.5), "Read_score_of_gentoo": measured("rmse", 1)}
    made = run(definition("metric: rmse"), answers(Choose_models={"Body": json.dumps(kept)}, **bad))
    (chinstrap,) = [one for one in made.output["models"] if one["name"] == "chinstrap"]
    assert (chinstrap["verdict"], chinstrap["uses"]) == ("rejected", uses)
