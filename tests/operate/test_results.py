"""logs, fetch, compare and clean, of local runs."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from account import Picky
from test_run import CONFIG, User

from stepgluon.config.load import loads
from stepgluon.errors import UsageError
from stepgluon.names import Names
from stepgluon.runs.compare import changed, compared, words
from stepgluon.runs.fetch import only_predicted
from stepgluon.runs.logs import CloudWatchLog, FileLog, follow_logs, jobs_of


def test_the_logs_the_result_and_a_model_of_a_run_are_fetched(user: User) -> None:
    told = user.good()
    run = told["run"]
    code, out, err = user.calls("logs", "latest")
    assert code == 0, err
    assert set(re.findall(r"^(\S.*) \(penguins-\S+\):$", out, re.MULTILINE)) == {"Train adelie", "Train gentoo"}
    lines = json.loads(user.calls("logs", run, "adelie", "--json")[1])["lines"]
    assert lines[0].startswith("Train adelie (penguins-train-adelie-") and len(lines) > 1
    assert not [line for line in lines if "gentoo" in line]
    code, _, err = user.calls("logs", run, "emperor")
    assert (code, err) == (2, f"error: {run} has no model emperor (it has adelie and gentoo)\n")

    code, out, err = user.calls("fetch", run[:-1], "--to", "got")
    assert code == 0, err
    assert set(out.split()) >= {"got/predictions.csv", "got/summary.json"}
    assert Path("got/predictions.csv").read_bytes() == Path(told["results"]).read_bytes()

    code, out, err = user.calls("fetch", run, "--model", "adelie")
    assert code == 0, err
    assert f"{run}/adelie/" in out and Path(out.split()[0]).is_file()
    code, _, err = user.calls("fetch", run, "--model", "emperor")
    assert (code, err) == (1, f"error: {run} has no model emperor (its models: adelie, gentoo)\n")

    (user.folder / "pipeline-config.yml").write_text(CONFIG.replace("threshold: 350", "threshold: 100"))
    again = user.told("--note", "stricter")["run"]
    code, out, err = user.calls("compare", run, again)
    assert code == 0, err
    assert "fallback.threshold: 350 → 100" in out
    assert re.search(r"adelie +200 +200 +same +accepted → rejected", out)
    assert len(out.splitlines()) < 24
    assert json.loads(user.calls("compare", run, run, "--json")[1])["config"] == {}
    assert "Both have the same config." in user.calls("compare", run, run)[1]


def test_clean_says_what_it_would_delete_and_keeps_models_and_promoted_runs(user: User) -> None:
    first, second = user.good()["run"], user.told()["run"]
    assert user.calls("promote", first)[0] == 0
    third = user.told()["run"]
    (user.folder / "seals.yml").write_text(CONFIG.replace("name: penguins", "name: seals"))
    code, out, err = user.calls("clean", "--keep", "1", "--config", "seals.yml")
    assert (code, out) == (0, "Nothing to delete beyond the latest run of seals.\n"), err
    models, markers = user.objects("models/"), user.objects("markers/")
    code, out, err = user.calls("clean", "--keep", "1")
    assert code == 0, err
    assert re.match(
        rf"Would delete 1 run of penguins, [\d.]+ MB:\n  {second}\nKept for their promoted models: {first}\.", out
    )
    assert out.endswith("Delete them: python pipeline.py clean --keep 1 --yes\n")
    assert len(json.loads(user.calls("runs", "--json")[1])) == 3
    assert user.calls("clean", "--keep", "1", "--yes")[1].startswith("Deleted 1 run of penguins, ")
    assert [run["run"] for run in json.loads(user.calls("runs", "--json")[1])] == [third, first]
    assert not [key for key in user.objects("runs/") if f"/{second}/" in key]
    assert [key for key in user.objects("runs/") if f"/{third}/" in key]
    assert (user.objects("models/").keys(), user.objects("markers/").keys()) == (models.keys(), markers.keys())
    assert user.told()["models"][0]["cached"] is True
    assert user.calls("clean", "--keep", "9", "--work", "typo")[0] == 2


def test_following_prints_what_was_added_until_the_run_has_ended(tmp_path: Path) -> None:
    file, told, said = tmp_path / "log", {"run": "r", "status": "RUNNING", "models": []}, []
    told |= {"jobs": [{"name": "j", "state": "Train adelie", "kind": "training"}]}
    steps = iter(["first\nsec", "ond\nthird\n", ""])
    file.write_text("")

    def wait(seconds: float) -> None:
        with file.open("a") as log:
            log.write(next(steps))
        told["status"] = "RUNNING" if "third" not in file.read_text() else "SUCCEEDED"

    assert follow_logs(lambda: told, lambda job: FileLog(file), "adelie", said.append, wait) == 3
    assert "".join(said) == "Train adelie (j):\nfirst\nsecond\nthird\n"


@pytest.mark.parametrize("separator", [",", ";"])
def test_only_the_predicted_rows_are_written(tmp_path: Path, separator: str) -> None:
    numbers, classes = ["prediction", "model", "verdict"], ["prediction", "probability", "model", "verdict"]
    columns = [
        {"label": label, **{key: f"{label}_{key}" for key in keys}}
        for label, keys in zip("ab", (numbers, classes), strict=True)
    ]
    (tmp_path / "summary.json").write_text(json.dumps({"columns": columns, "separator": separator}))
    header = ",".join(["x,a,b", *(f"{each['label']}_{key}" for each in columns for key in list(each)[1:])])
    rows = ['"1,\n5",2,y,,,,,,,', "2,,y,7,m,accepted,,,,", "3,2,,,,,no,0.8,n,accepted"]
    text = "\n".join([header, *rows]).replace(",", separator)
    (tmp_path / "predictions.csv").write_text(f"{text}\n")
    with only_predicted(tmp_path).open(newline="") as file:
        assert [row[0] for row in csv.reader(file, delimiter=separator)] == ["x", "2", "3"]


def test_a_comparison_of_many_settings_fits_one_screen() -> None:
    runs = [
        {"run": run, "status": "SUCCEEDED", "started": 0.0, "seconds": 1.0, "data": "s3://a/june/", "note": ""}
        | {"rows": 1000, "predictions": 5, "gaps": 8, "models": [{"name": "m", "mae": mae, "verdict": "accepted"}]}
        for run, mae in (("a", 2.0), ("b", 1.5))
    ]
    configs = ({"models": [{"name": "m", "drop": []}], **{f"k{n}": n for n in range(30)}}, {"models": []})
    told = compared((runs[0], runs[1]), configs)
    known = {"name": "m", "verdict": ["accepted"] * 2, "uses": [None, None]}
    assert told["models"] == [known | {"metric": ["mae"] * 2, "mae": [2.0, 1.5], "score": [2.0, 1.5]}]
    text = words(told)
    assert "  and 21 more\n" in text and "  models[m].name: m → absent\n" in text
    assert re.search(r"m +2 +1\.5 +-25\.0% +accepted\n", text)
    assert re.search(r"gaps filled +5 of 8 +5 of 8\n", text)
    assert "The config of one of the runs is unknown." in words(compared((runs[0], runs[1]), (None, {})))


def test_another_algorithm_or_model_is_one_change() -> None:
    single = "name: shop\nmodels:\n  - {name: price, label: price%s}\n"
    with_set = ", algorithm: {xgboost: 3.0-5, set: {eta: %s}}"
    texts = [
        single % "",
        single % with_set % 0.1,
        single % with_set % 0.2,
        single % "" + "  - {name: b, label: rent}\n",
    ]
    configs = [json.loads(Names(loads(text, "x.yml", None, {}).config).config_json) for text in texts]
    assert changed((configs[0], configs[1])) == {"models[price].algorithm": ["AutoGluon", "xgboost 3.0-5"]}
    assert changed((configs[1], configs[2])) == {"models[price].algorithm.set.eta": [0.1, 0.2]}
    assert changed((configs[3], configs[0])) == {"models[b].label": ["rent", "absent"]}


def test_scores_of_different_metrics_are_not_compared() -> None:
    models = [
        {"name": "m", "verdict": "accepted", "metric": metric, "score": 0.5} for metric in ("roc_auc", "log_loss")
    ]
    runs = [{"run": model["metric"], "status": "SUCCEEDED", "started": 0.0, "seconds": 1.0} for model in models]
    told = [run | dict.fromkeys(("rows", "predictions", "gaps", "data", "note")) for run in runs]
    first, second = (one | {"models": [model]} for one, model in zip(told, models, strict=True))
    assert re.search(r"m +0\.5 +0\.5 +roc_auc → log_loss +accepted\n", words(compared((first, second), ({}, {}))))
    assert re.search(r"m +0\.5 +0\.5 +same +accepted\n", words(compared((first, first), ({}, {}))))
    assert re.search(r"m +- +0\.5 +- → accepted\n", words(compared((first | {"models": []}, second), ({}, {}))))


class Logs:
    """Two pages, of which the first is empty; then a new event."""

    def __init__(self) -> None:
        self.pages = {None: ([], "1"), "1": (["one"], "2"), "2": ([], "2")}

    def describe_log_streams(self, **asked: str) -> dict[str, list[dict[str, str]]]:
        assert asked["logStreamNamePrefix"] == "job-1/"
        return {"logStreams": [{"logStreamName": "job-1/algo-1-123"}]}

    def get_log_events(self, nextToken: str | None = None, **asked: object) -> dict[str, object]:
        assert asked["startFromHead"] is True
        events, token = self.pages[nextToken]
        return {"events": [{"timestamp": 1, "message": f"{text}\n"} for text in events], "nextForwardToken": token}


def test_cloudwatch_is_read_from_where_the_last_call_ended() -> None:
    logs = Logs()
    log = CloudWatchLog(logs, "training", "job-1")
    assert (log.more(), log.more()) == (["one"], [])
    logs.pages["2"] = (["bar\rtwo"], "3")
    logs.pages["3"] = ([], "3")
    assert log.more() == ["two"]


@pytest.mark.parametrize("words", [("logs",), ("fetch",), ("compare", "latest")])
def test_a_run_that_does_not_exist_is_named(user: User, faults: Picky, words: tuple[str, ...]) -> None:
    code, out, err = user.calls(words[0], "latest", *words[1:])
    assert (code, out) == (2, ""), err
    assert err == "error: .local has no runs yet (start one: python pipeline.py run --data FILE)\n"


def test_a_model_found_in_the_data_has_the_log_of_its_group() -> None:
    jobs = [{"name": "j", "state": f"Train group {group}"} for group in ("g0000", "g0001")]
    record = {"run": "shop-1", "models": [], "jobs": jobs}
    assert jobs_of(record, "g0001") == jobs[1:]
    with pytest.raises(UsageError, match=r"no job of store-7 alone \(until the run has a result, give a"):
        jobs_of(record, "store-7")
