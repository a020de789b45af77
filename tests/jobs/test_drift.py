"""What the monitor finds in new rows: drift that was put into real tables, and none where there is none."""

from __future__ import annotations

import base64
import functools
import json
import shutil
from pathlib import Path
from typing import Any

import drift
import monitor
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import row_profile
from job_sandbox import DEMO, Outcome, Sandbox, config, points
from scipy import stats

from stepgluon.config.load import loads
from stepgluon.errors import StepgluonError
from stepgluon.local.drift_check import drift_of, rehearsal_of, rehearsed_words, words
from stepgluon.names import Names

CONFIG = """
name: test
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models: [{name: all, label: y, threshold: 9}]
"""
FEW_ALARMS = 5  # of 100 checks of rows that have not drifted


@functools.cache
def tables() -> dict[str, pd.DataFrame]:
    """Real tables that are on every computer with scikit-learn: with numbers, classes, texts and missing values."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

    found = {"diabetes": load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "y"})}
    found["cancer"] = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "y"})
    found["wine"] = load_wine(as_frame=True).frame.rename(columns={"target": "y"})
    penguins = pd.concat([pd.read_csv(DEMO / f"penguins-{year}.csv") for year in (2024, 2025)])
    found["penguins"] = penguins.rename(columns={"body_mass_g": "y"})
    return {name: frame.sample(frac=1, random_state=0).reset_index(drop=True) for name, frame in found.items()}


def profile_of(frame: pd.DataFrame, folder: Path) -> tuple[dict[str, Any], pa.Table]:
    """A model's profile, whose predictions are those of a straight line."""
    known = pa.Table.from_pandas(frame, preserve_index=False)
    (folder / "train").mkdir(parents=True)
    pq.write_table(known, folder / "train/part-00000.parquet")
    names = [name for name in frame if name != "y"]
    numbers = frame["y"].fillna(0).to_numpy(float)
    held_out, answers = numbers[::2], (numbers + np.random.default_rng(1).normal(size=len(numbers)))[::2]
    metrics = {"metric": "mae", "score": float(np.abs(held_out - answers).mean())}
    row_profile.write(folder, folder / "train", names, numbers, held_out, answers, metrics)
    found: dict[str, Any] = json.loads((folder / "profile.json").read_text())
    return found, known


def drifted(profile: dict[str, Any], new: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The columns that differ, as the monitor decides it."""
    columns = profile["columns"]
    table = pa.Table.from_pandas(new[list(columns)], preserve_index=False)
    tests = drift.TESTS * (len(columns) + 2) + 1
    found = {
        name: drift.compared(shape, table.column(name).cast(shape["type"]), monitor.LIMIT, tests)
        for name, shape in columns.items()
    }
    return {name: one for name, one in found.items() if one["drifted"]}


# Measures


@pytest.mark.parametrize(("x", "degrees"), [(0.0, 1), (3.2, 1), (10.0, 2), (25.0, 9), (60.0, 19), (200.0, 49)])
def test_the_tail_of_chi_square_is_that_of_scipy(x: float, degrees: int) -> None:
    assert drift.upper_tail(x, degrees) == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-9)


@pytest.mark.parametrize("counts", [([30, 90, 180], [20, 25, 35]), ([290, 10], [70, 10]), ([5, 0, 9], [7, 0, 8])])
def test_chi_square_is_that_of_scipy(counts: tuple[list[int], list[int]]) -> None:
    old, now = (np.array(side) for side in counts)
    seen = old + now > 0
    expected = stats.chi2_contingency([old[seen], now[seen]]).pvalue
    assert drift.chi_square(old, now) == pytest.approx(expected, rel=1e-6)


def test_ks_is_that_of_scipy_where_each_value_has_a_bin() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(0, 15, 3000), random.integers(0, 15, 800) * 0.9 // 1
    old, now = (np.bincount(side.astype(int), minlength=15) for side in (one, other))
    distance, p = drift.kolmogorov_smirnov(old, now)
    expected = stats.ks_2samp(one, other, method="asymp")
    assert distance == pytest.approx(expected.statistic) and p == pytest.approx(expected.pvalue, rel=0.5)


def test_one_limit_means_about_the_same_for_all_measures() -> None:
    """As the documentation says: numbers that have moved by 0.45 standard deviations."""
    random = np.random.default_rng(0)
    one, other = random.normal(size=200_000), random.normal(0.45, size=200_000)
    edges = np.quantile(one, np.arange(1, 20) / 20)
    old, now = (row_profile.in_bins(side, edges) for side in (one, other))
    found = [measure(old, now)[0] for measure in (drift.psi, drift.kolmogorov_smirnov, drift.jensen_shannon)]
    assert all(0.15 < one < 0.25 for one in found), found


def test_small_samples_of_one_distribution_have_no_index() -> None:
    """Without the correction, 60 rows would have a PSI of about 0.2 by chance."""
    random = np.random.default_rng(0)
    found = [drift.psi(*(random.multinomial(rows, [0.1] * 10) for rows in (300, 60)))[0] for _ in range(200)]
    assert np.mean(found) < 0.06


# Real tables


@pytest.mark.parametrize("name", ["diabetes", "cancer", "wine", "penguins"])
def test_rows_that_have_not_drifted_seldom_alarm(name: str, tmp_path: Path) -> None:
    frame, alarms = tables()[name], []
    for seed in range(100):
        mixed = frame.sample(frac=1, random_state=seed)
        new = max(monitor.LEAST_ROWS, len(mixed) // 4)
        profile, _ = profile_of(mixed[new:], tmp_path / str(seed))
        if found := drifted(profile, mixed[:new]):
            alarms.append((seed, list(found)))
    assert len(alarms) <= FEW_ALARMS, alarms


@pytest.mark.parametrize("seed", range(5))
def test_what_has_moved_is_found_and_nothing_else(seed: int, tmp_path: Path) -> None:
    mixed = tables()["diabetes"].sample(frac=1, random_state=seed)
    new = mixed[:140].copy()
    new["bmi"] += mixed["bmi"].std()  # everyone is heavier
    new["sex"] = np.where(np.arange(140) % 5 == 0, 1.0, 2.0)  # another group of people
    new.loc[new.index[:40], "s5"] = np.nan  # the laboratory measured less
    found = drifted(profile_of(mixed[140:], tmp_path)[0], new)
    assert set(found) == {"bmi", "sex", "s5"}
    assert found["s5"]["measure"] == "missing"


def test_a_new_category_is_found(tmp_path: Path) -> None:
    frame = tables()["penguins"]
    column = next(name for name in frame if frame[name].nunique() == 3 and frame[name].dtype == object)
    new = frame[:100].copy()
    new.loc[new.index[:30], column] = "Emperor"
    found = drifted(profile_of(frame[100:], tmp_path)[0], new)
    assert found[column]["new_values"] == [["Emperor", 30]] and found[column]["measure"] == "js"


# The job


def job(
    box: Sandbox,
    frame: pd.DataFrame,
    profiled: pd.DataFrame,
    captured: tuple[dict[str, Any], ...] = (),
    **environment: str,
) -> tuple[Outcome, dict[str, Any]]:
    place = box.root / "processing/input/profile"
    profile_of(profiled, place)
    types = pa.Table.from_pandas(profiled, preserve_index=False).schema
    features = {field.name: str(field.type) for field in types if field.name != "y"}
    box.put_json("processing/input/manifest/manifest.json", {"label": "y", "files": {}, "features": features})
    box.configure(config())
    if len(frame):
        (box.root / "processing/input/tables").mkdir()
        frame.to_csv(box.root / "processing/input/tables/new.csv", index=False)
    if captured:
        folder = box.root / "processing/input/captured/endpoint/AllTraffic/2026/11/30/10"
        folder.mkdir(parents=True)
        (folder / "one.jsonl").write_text("".join(json.dumps(line) + "\n" for line in captured))
    outcome = box.run("monitor.py", STEPGLUON_MODEL="all", **environment)
    file = box.out / "drift.json"
    return outcome, json.loads(file.read_text()) if file.exists() else {}


def request(rows: pd.DataFrame, answers: Any, encoding: str = "CSV") -> dict[str, Any]:
    """A line of captured data as SageMaker writes it."""
    bodies = rows.to_csv(index=False, header=False), "".join(f"{one}\n" for one in answers)
    if encoding == "JSON":
        records = json.loads(rows.to_json(orient="records"))
        bodies = json.dumps(records), json.dumps({"predictions": [{"prediction": float(one)} for one in answers]})
    if encoding == "BASE64":
        bodies = tuple(base64.b64encode(body.encode()).decode() for body in bodies)  # type: ignore[assignment]  # two
    kind = "application/json" if encoding == "JSON" else "text/csv"
    sides = [
        {"observedContentType": kind, "mode": mode, "data": body, "encoding": encoding}
        for mode, body in zip(("INPUT", "OUTPUT"), bodies, strict=True)
    ]
    return {
        "captureData": dict(zip(("endpointInput", "endpointOutput"), sides, strict=True)),
        "eventMetadata": {"eventId": "5c1f", "inferenceTime": "2026-11-30T10:05:00Z"},
        "eventVersion": "0",
    }


def test_tables_with_labels_and_predictions_show_a_larger_error(sandbox: Sandbox) -> None:
    frame = tables()["diabetes"]
    new = frame[:120].assign(prediction=frame["y"][:120] + np.tile([40, -40], 60))
    outcome, found = job(sandbox, new, frame[120:])
    assert outcome.code == 0, outcome.log
    assert (found["outcome"], found["rows"], found["error"]["rows"]) == ("drift", 120, 120)
    assert found["error"]["now"] == pytest.approx(40) and found["error"]["before"] < 2
    assert "its error is 40 (" in found["sentence"]
    result = json.loads((sandbox.out / "result.json").read_text())
    assert result == {"outcome": "drift", "sentence": found["sentence"], "rows": 120}
    assert "its error is 40" in (sandbox.out / "drift.html").read_text()


@pytest.mark.parametrize("encoding", ["CSV", "JSON", "BASE64"])
def test_captured_rows_are_compared(sandbox: Sandbox, encoding: str) -> None:
    frame = tables()["diabetes"]
    rows = frame.drop(columns="y")
    captured = [request(rows[n : n + 10], frame["y"][n : n + 10], encoding) for n in range(0, 200, 10)]
    captured[-1]["captureData"]["endpointInput"]["data"] = "no row"
    outcome, found = job(sandbox, frame[:0], frame[200:], tuple(captured))
    assert outcome.code == 0, outcome.log
    assert (found["rows"], found["requests"], found["refused"], found["outcome"]) == (190, 20, 1, "none")
    assert sum(found["prediction"]["now"]) == 190 and not found["prediction"]["drifted"]


def test_columns_that_are_missing_new_or_of_another_type_are_named(sandbox: Sandbox) -> None:
    frame = tables()["diabetes"]
    new = frame[:100].drop(columns=["s1", "y"]).assign(clinic="north")
    new["age"] = "old"
    outcome, found = job(sandbox, new, frame[100:])
    assert outcome.code == 0, outcome.log
    assert (found["missing_columns"], found["new_columns"], found["other_type"]) == (
        ["s1"],
        ["clinic"],
        {"age": "string"},
    )
    assert found["outcome"] == "drift" and "the tables lack 's1'; the type of 'age' differs" in found["sentence"]


def test_few_rows_say_so_and_are_no_drift(sandbox: Sandbox) -> None:
    frame = tables()["diabetes"]
    outcome, found = job(sandbox, frame[:20], frame[20:])
    assert outcome.code == 0 and found["outcome"] == "unknown"
    assert found["sentence"] == "Model all, 20 new rows: too few to compare (at least 50 are needed)."


def test_later_dates_are_no_drift(sandbox: Sandbox) -> None:
    frame = tables()["diabetes"].assign(day=pd.date_range("2026-01-01", periods=442))
    frame["day"] = frame["day"].astype("datetime64[us]")
    outcome, found = job(sandbox, frame[300:], frame[:300])
    assert outcome.code == 0, outcome.log
    day = next(each for each in found["columns"] if each["name"] == "day")
    assert found["outcome"] == "none" and day["score"] > 1 and not day["drifted"]


def test_a_model_without_a_profile_says_what_to_do(sandbox: Sandbox) -> None:
    frame = tables()["diabetes"]
    sandbox.configure(config())
    outcome = sandbox.run("monitor.py", STEPGLUON_MODEL="all")
    assert outcome.message == "Model all has no profile.json: it was trained by an older version; train it again."
    assert len(frame) == 442


@pytest.mark.parametrize("limit", ["0", "high", "nan", "-1"])
def test_a_bad_limit_is_named(sandbox: Sandbox, limit: str) -> None:
    outcome, _ = job(sandbox, tables()["diabetes"], tables()["diabetes"], STEPGLUON_DRIFT=limit)
    assert outcome.code == 1 and outcome.message and "STEPGLUON_DRIFT" in outcome.message


def test_many_rows_are_sampled_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import new_rows

    monkeypatch.setattr(new_rows, "SAMPLE", 1000)
    rows = new_rows.NewRows({"a": "double", "b": "string"}, classes=False)
    for start in range(0, 10_000, 700):
        count = min(700, 10_000 - start)
        rows.add({"a": pa.array(np.arange(start, start + count, dtype=float))}, count)
    kept = rows.sample.column("a").to_numpy()
    assert rows.rows == 10_000 and kept.tolist() == list(range(0, 10_000, 16))
    assert rows.sample.column("b").null_count == len(kept)


def test_the_command_lets_the_model_predict_and_shows_a_larger_error(trained: Path, tmp_path: Path) -> None:
    names = Names(loads(CONFIG, "config.yml", None, {}).config)
    rows = pd.DataFrame(points(120, 500))
    rows["y"] += 30.0
    rows.to_csv(tmp_path / "today.csv", index=False)
    files, to = [tmp_path / "today.csv"], tmp_path / "drift"

    def fetch(inputs: Path) -> None:
        shutil.copytree(trained, inputs / "model")

    found = drift_of(names, "all", files, 0.2, fetch, to)
    assert found["error"]["rows"] == 120 and found["error"]["now"] == pytest.approx(30, abs=2)
    assert found["outcome"] == "drift" and not any(each["drifted"] for each in found["columns"])
    assert sum(found["prediction"]["now"]) == 120 and not found["prediction"]["drifted"]
    said = words(found, "drift.html")
    assert said.startswith("Model all, 120 new rows: its error is 3") and said.endswith("Page: drift.html\n")
    assert (to / "drift.html").is_file()
    (tmp_path / "today.csv").write_text("a,b\n1,2,3\n")
    with pytest.raises(StepgluonError, match=r"cannot be compared: today\.csv, row 1 \(line 2\) has 3 cells"):
        drift_of(names, "all", files, 0.2, fetch, to)


def test_a_rehearsal_shows_what_a_new_model_answers_differently(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XGBoost serves, with too few rounds; a model of AutoGluon is to replace it."""
    from xgboost_archives import packed, prepared, saved, scored
    from xgboost_archives import trained as boosted

    first, second = Sandbox(tmp_path / "first"), Sandbox(tmp_path / "second")
    monkeypatch.setenv("STEPGLUON_ROOT", str(first.root))
    folder = prepared(first, pd.DataFrame(points(300, 1000)).to_csv(index=False))
    assert scored(second, folder, packed({"xgboost-model": saved(boosted(folder, rounds=2))})).code == 0
    names = Names(loads(CONFIG, "config.yml", None, {}).config)

    def fetch(inputs: Path) -> None:
        for source, place in ((second.out, "old"), (trained, "new"), (folder / "test", "test")):
            shutil.copytree(source, inputs / place)

    found = rehearsal_of(names, "all", [], fetch, tmp_path / "to")
    assert (found["rows"], found["classes"]) == (60, False) and found["differ"] > 50
    assert found["new"]["error"] < found["old"]["error"] / 2
    assert found["old"]["milliseconds"] > 0
    worst = [abs(row["old"] - row["new"]) for row in found["worst"]]
    assert worst == sorted(worst, reverse=True) and found["columns"] == ["a", "b"]
    said = rehearsed_words(found, "rehearse.html")
    assert said.startswith(f"The new model predicts {found['differ']} of 60 rows differently, by ")
    assert "mean absolute error" in said and "50% of answers below" in said
    assert "Largest differences" in (tmp_path / "to/rehearse.html").read_text()
