"""report.html: what it says, that it is one file, and that nothing in the data can break out of it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import charts
import markup
import numpy as np
import pytest
import report
import report_models
from job_sandbox import Sandbox, config

EVIL = "<script>alert(1)</script>\"'&\x00\x1b[31m\u202e"


def verdict(name: str, mae: float | None = 100.0, **more: Any) -> dict[str, Any]:
    known = {"mae": mae, "mae_of_median": 400.0, "threshold": 200.0, "verdict": "accepted", "uses": "trained"}
    return {"name": name, **known, "outcome": "predicted"} | more


def evaluation(rows: int = 40, **more: Any) -> dict[str, Any]:
    actual = [float(n * 10) for n in range(rows)]
    predicted = [value + (n % 7 - 3) * 5 for n, value in enumerate(actual)]
    worst = [{"values": ["1", None], "actual": 10.0, "predicted": 25.0}]
    return {
        **{
            "label": "y",
            "r2": 0.985,
            "rmse": 130.0,
            "presets": "medium_quality",
            "time_limit": 60,
            "best_model": "CatBoost",
        },
        "seconds": {"fit": 12.5},
        "notes": [],
        "held_out": {"actual": actual, "predicted": predicted, "of": rows},
        "worst": {"columns": ["a", "b"], "rows": worst},
        "importance": [
            {"column": "a", "importance": 5.0, "stddev": 0.5},
            {"column": "b", "importance": -1.0, "stddev": None},
        ],
        "leaderboard": [{"model": "CatBoost", "mae_test": 100.0, "mae_val": 101.0, "fit_time": 3.0}],
    } | more


def run(verdicts: list[dict[str, Any]], filled: int = 10, gaps: int | None = 10, **profile: Any) -> tuple[Any, ...]:
    parts = [
        {"name": v["name"], "label": "y", "rows": 5, "rows_train": 80, "rows_test": 20, "rows_predict": 5}
        for v in verdicts
    ]
    for part, each in zip(parts, verdicts, strict=True):
        part["failure"] = (each.get("outcome_failure") or {}).get("Cause")
    known = {"rows": 110, "columns": [], "files": [{"name": "a.csv"}], "open_gaps": []} | profile
    summary = {"predictions": filled, "gaps": gaps, "models": parts}
    return {"name": "rents"}, {v["name"]: v for v in verdicts}, known, summary


def words(page: str) -> str:
    """The page's text as a reader sees it."""
    found: list[str] = []

    class Reader(HTMLParser):
        hidden = False

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.hidden = tag in ("style", "script", "head")

        def handle_data(self, data: str) -> None:
            if not self.hidden:
                found.append(data)

    Reader().feed(page)
    return re.sub(r"\s+", " ", " ".join(found))


def test_the_headline_says_what_was_filled_and_what_was_not() -> None:
    open_gaps = [{"label": "y", "rows": 80, "where": {"Stadt": [["Köln", 80]]}}]
    models = [verdict("a"), verdict("b", 300.0, verdict="rejected", uses="default", run="may", default_mae=150.0)]
    page = words(report.page(*run(models, 118, 198, open_gaps=open_gaps), {}))
    assert "Filled 118 of 198 gaps. 1 of 2 models accepted. 80 gaps have no model: Stadt = Köln." in page
    assert "The model promoted from run may predicts." in page and "promoted model 150" in page
    assert "75 % better than always guessing the median" in page


@pytest.mark.parametrize(
    ("filled", "gaps", "said"),
    [
        (89, 89, "Filled all 89 gaps."),
        (2, 2, "Filled both gaps."),
        (1, 1, "Filled the one gap."),
        (0, 0, "There were no gaps to fill."),
        (7, None, "Filled 7 gaps."),
    ],
)
def test_all_gaps_or_none(filled: int, gaps: int | None, said: str) -> None:
    assert report.filled({"predictions": filled, "gaps": gaps}) == said


def test_many_open_values_are_counted_and_several_where_columns_not_mixed_up() -> None:
    where = {"k": [[name, 2] for name in "abcde"]}
    assert report.without_model({"open_gaps": [{"label": "y", "rows": 10, "where": where}]}) == [
        "10 gaps have no model: k = a, b, c and 2 more."
    ]
    both = {"label": "y", "rows": 1, "where": {**where, "j": [[None, 1]]}}
    assert report.without_model({"open_gaps": [both]}) == ["1 gap has no model."]


def test_what_was_assumed_of_the_tables_is_said_with_the_data() -> None:
    files = [{"name": "a.csv", "assumed": ["read with ; as separator."]}]
    column = {"name": "x", "type": "double", "missing": 0, "distinct": 5}
    known = run(
        [verdict("a")], files=files, columns=[column], assumed=["The label 'y' has only two values."], sampled_rows=55
    )
    page = words(report.page(*known, {}))
    assert "The label 'y' has only two values. a.csv: read with ; as separator." in page
    assert "those of a sample of 55 rows" in page and "≥ 5" in page


def test_the_headline_figures_have_the_hash_of_the_data_and_each_model_a_place_for_earlier_errors() -> None:
    for count in (1, 12):
        page = report.page(*run([verdict(f"m{n}") for n in range(count)], sha256="3f9a02c1b7e4d8"), {})
        assert "110 in 1 file, SHA-256 3f9a02c1b7e4" in words(page) and "b7e4d" not in page
        assert page.count("<!--stepgluon:errors m") == count


def test_a_model_has_its_charts_its_worst_rows_and_its_notes() -> None:
    note = "In 60 s AutoGluon could fit only one kind of model, LightGBM; a higher time_limit lets it try others."
    page = report.page(*run([verdict("a")]), {"a": evaluation(notes=[note])})
    for said in (
        note,
        "R² 0.985",
        "The 1 held-out row with the largest errors",
        "+15",
        "Leaderboard",
        "fitted for 12.5 s",
    ):
        assert said in words(page)
    assert page.count('role="img"') == 3


def test_a_model_without_score_threshold_or_prediction_is_shown_with_its_reason() -> None:
    unscored = verdict(
        "a", None, mae_of_median=None, verdict="rejected", uses="default", failure={"Cause": "2 rows are too few."}
    )
    failed = verdict("b", threshold=None, outcome="failed", outcome_failure={"Cause": "Out of memory."})
    page = words(report.page(*run([unscored, failed]), {}))
    assert "2 rows are too few." in page and "not trained" in page
    assert "5 gaps of b could not be predicted." in page and "Out of memory." in page


def test_from_twelve_models_on_there_is_a_table() -> None:
    few, many = (report.page(*run([verdict(f"m{n}") for n in range(count)]), {}) for count in (11, 12))
    assert few.count('class="card"') == 11 and "sortable" not in few.partition("</style>")[2].partition("<script")[0]
    assert 'class="card"' not in many and '<table class="sortable">' in many and "m11" in many


def test_nothing_in_the_data_is_markup() -> None:
    column = {"name": EVIL, "type": "string", "missing": 1, "distinct": 2, "top": [[EVIL, 3, 1]]}
    worst = {"columns": [EVIL], "rows": [{"values": [EVIL], "actual": 1.0, "predicted": 2.0}]}
    hostile = evaluation(
        notes=[EVIL],
        worst=worst,
        importance=[{"column": EVIL, "importance": 1.0, "stddev": 0.1}],
        presets=EVIL,
        best_model=EVIL,
    )
    models = [verdict(EVIL, outcome="failed", outcome_failure={"Cause": EVIL}, run=EVIL, uses="default")]
    open_gaps = [{"label": EVIL, "rows": 1, "where": {EVIL: [[EVIL, 1]]}}]
    known = run(models, columns=[column], open_gaps=open_gaps)
    known[3]["models"][0]["label"] = EVIL
    page = report.page({"name": EVIL}, *known[1:], {EVIL: hostile})
    assert page.count("<script") == page.count("</script>") == 1
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search("[\x00\x1b\u202e]", page)


def test_the_page_loads_nothing_and_runs_only_its_own_script() -> None:
    page = report.page(*run([verdict("a")]), {"a": evaluation(6000)})
    assert not re.search(r"https?://|url\(|@import|src=|<link", page)
    assert "default-src 'none'" in page and re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'", page)


def test_a_page_of_very_many_models_stays_below_two_megabytes() -> None:
    verdicts = [verdict(f"model-{n}") for n in range(150)]
    g = np.random.default_rng(1)
    noisy = evaluation(
        held_out={"actual": g.normal(size=5000).tolist(), "predicted": g.normal(size=5000).tolist(), "of": 9000}
    )
    page = report.page(*run(verdicts), {v["name"]: noisy for v in verdicts})
    assert len(page.encode()) < 2_000_000
    assert "left out" in page


def test_a_model_of_xgboost_is_described_as_what_it_is() -> None:
    found = evaluation() | {"program": "xgboost", "trees": 300, "leaderboard": [], "best_model": "XGBoost"}
    del found["time_limit"]
    page = words(report.page(*run([verdict("a")]), {"a": found}))
    assert "XGBoost trained 300 trees." in page and "AutoGluon fitted" not in page
    assert "Each column's share of the splits' total gain" in page.replace("&#39;", "'").replace("’", "'")


def test_the_trainings_of_a_tuning_are_a_table_with_the_best_first() -> None:
    values = [{"eta": f"0.{n}123456", "kind": EVIL} for n in range(1, 15)]
    tried = [{"job": f"t{n}", "status": "Completed", "set": one, "score": n * 1.5} for n, one in enumerate(values)]
    tried[3] = {"job": "t3", "status": "Failed", "set": values[3], "reason": EVIL}
    trials = {"metric": "validation:mae", "goal": "Minimize", "of": 14, "chosen": "t0", "trials": tried}
    found = evaluation() | {"program": "xgboost", "trees": 300, "leaderboard": [], "trials": trials}
    page = report.page(*run([verdict("a")]), {"a": found})
    said = words(page)
    assert "Tuning: 14 trainings with other hyperparameters, best first" in said
    assert "validation mae" in said and "0.1123" in said and "failed" in said and "and 2 trainings more" in said
    assert "<b>0</b>" in page and "<b>1.50</b>" not in page, "the chosen one stands out"
    assert "<script>alert" not in page


def test_damaged_evaluations_are_left_out_and_a_bug_never_fails_the_job(tmp_path: Path) -> None:
    place = tmp_path / "in/models/{}/f/job/output/model/evaluation.json"
    for name, content in (("a", "no JSON"), ("b", "[1]"), ("c", json.dumps(evaluation()))):
        file = Path(str(place).format(name))
        file.parent.mkdir(parents=True)
        file.write_text(content)
    assert list(report.evaluations_in(tmp_path / "in")) == ["c"]
    known = run([verdict("a")])
    report.write(tmp_path, *known, {"a": {"held_out": "nonsense"}})
    assert "Filled all 10 gaps." in (tmp_path / "report.html").read_text("utf-8")
    report.write(tmp_path, *known[:3], {"models": "nonsense"}, {})
    assert not (tmp_path / "report.html").exists()
    report.write(tmp_path, *known, {})
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_charts_survive_constant_infinite_and_single_values() -> None:
    for values in ([5.0], [0.0, 0.0], [1e300, -1e300], [1e-12, 2e-12]):
        array = np.array(values)
        assert "<svg" in charts.scatter(array, array, "y")
        assert "nan" not in charts.residuals(array - array, "y")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (274.006, "274"),
        (12345.6, "12,346"),
        (0.01234, "0.0123"),
        (2026, "2026"),
        (-1.5, "−1.5"),
        (0, "0"),
        (None, "–"),
        (1e12, "1.00e+12"),
    ],
)
def test_numbers_have_the_digits_that_matter(value: Any, shown: str) -> None:
    assert markup.number(value) == shown


def test_post_process_writes_the_report(sandbox: Sandbox) -> None:
    sandbox.put_parquet(
        "processing/input/rows/part-00000.parquet", {"stepgluon_row": [0, 1], "x": [1, 2], "y": [1.0, None]}
    )
    sandbox.put_predictions("all", "part-00000.parquet", [1], [7.0])
    sandbox.put_json("processing/input/verdicts/verdicts.json", [verdict("all")])
    model = {
        "name": "all",
        "label": "y",
        "rows_train": 1,
        "rows_test": 0,
        "rows_predict": 1,
        "predict_files": ["part-00000.parquet"],
    }
    sandbox.put_json(
        "processing/input/profile/profile.json", {"rows": 2, "gaps": 1, "rows_no_model_selects": 0, "models": [model]}
    )
    place = "processing/input/predictions/models/all/f/job/output/model/evaluation.json"
    sandbox.put_json(place, evaluation())
    sandbox.configure(config())
    outcome = sandbox.run("postprocess.py")
    assert outcome.code == 0, outcome.log
    page = words((sandbox.out / "report.html").read_text("utf-8"))
    assert "Filled the one gap. The model was accepted." in page and "R² 0.985" in page
    assert "<details open" in (sandbox.out / "report.html").read_text("utf-8"), "the only model is unfolded"


def test_better_and_worse_than_the_median_are_named() -> None:
    said = [report_models.Model(verdict("a", mae), {}, {}).better for mae in (100.0, 400.0, 600.0)]
    assert said == [
        f"{word} always guessing the median" for word in ("75 % better than", "as good as", "50 % worse than")
    ]


def test_the_error_has_the_labels_unit() -> None:
    page = words(report.page(*run([verdict("a", unit="g"), verdict("b", None, unit="g")]), {"a": evaluation()}))
    assert "100 g mean absolute error of y" in page and "– mean absolute error" in page and "MAE 100 g, R²" in page


# Other metrics


def test_a_model_of_classes_has_its_metric_and_a_confusion_matrix_in_place_of_a_scatter() -> None:
    judged = {"metric": "roc_auc", "score": 0.91, "baseline": 0.5, "at_least": 0.8, "threshold": None}
    found = evaluation(metric="roc_auc", accuracy=0.875, r2=None)
    del found["held_out"]
    found |= {"confusion": {"classes": ["no", "yes", None], "rows": [[50, 3, 0], [4, 20, 0], [1, 0, 7]]}}
    found["worst"]["rows"] = [{"values": ["1", None], "actual": "yes", "predicted": EVIL, "probability": 0.125}]
    found["leaderboard"] = [{"model": "CatBoost", "roc_auc_test": 0.91, "roc_auc_val": 0.92, "fit_time": 3.0}]
    models = [verdict("churn", None, mae_of_median=None, **judged)]
    page = report.page(*run(models), {"churn": found})
    said = words(page)
    for each in ("0.91 ROC AUC of y", "Higher is better.", "baseline 0.5", "limit 0.8", "accuracy 0.875"):
        assert each in said, said
    assert "actual no yes others no 50 3 0 yes 4 20 0 others 1 0 7" in said
    assert "held-out ROC AUC validation ROC AUC" in said and "probability of actual 1 – yes" in said
    assert "not trained" not in said and "Predicted against actual" not in said and "<script>alert(1)" not in page


def test_a_model_of_classes_without_a_score_says_why() -> None:
    failure = {"Error": "", "Cause": "No score: the held-out part has only one class, so roc_auc is undefined"}
    judged = {"metric": "roc_auc", "score": None, "baseline": None, "verdict": "rejected", "failure": failure}
    assert failure["Cause"] in words(report.page(*run([verdict("churn", None, **judged)]), {}))


def test_the_typical_error_of_two_models_is_between_them() -> None:
    page = words(report.page(*run([verdict("a", 300.0), verdict("b", 200.0)]), {}))
    assert "Both models accepted." in page and "Typical error 38 % lower than always guessing the median" in page


def test_the_typical_error_leaves_out_models_that_promoted_ones_replace() -> None:
    replaced = verdict("b", 399.0, verdict="rejected", uses="default", default_mae=90.0)
    assert "Error 25 % lower than" in words(report.page(*run([verdict("a", 300.0), replaced]), {}))
    assert "than always guessing the median Rows" not in words(report.page(*run([replaced]), {}))


@pytest.mark.parametrize("count", [1, 12])
def test_a_model_says_what_its_name_cannot(count: int) -> None:
    _, *known = run([verdict("value-6df977"), *(verdict(f"m{n}") for n in range(1, count))])
    models = [{"name": "value-6df977", "where": {"都道府県": ["東京", "大阪"]}}, {"name": "m1", "where": {"n": "M1"}}]
    page = words(report.page({"name": "rents", "models": models}, *known, {}))
    assert ", 都道府県 = 東京 or 大阪" in page and "n = M1" not in page
