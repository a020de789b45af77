"""report.html after the end of a run: the run's name and timeline, or why it failed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from stepgluon.runs import report
from stepgluon.runs.earlier import RUNS, Earlier, before
from stepgluon.runs.history import Job, Story, kept, read
from stepgluon.runs.run_record import run_json

EVIL = "<script>alert(1)</script>\x00"
POST = "<main><!--stepgluon:run-->models<!--stepgluon:timeline-->data</main>"


def a_job(state: str, started: float, ended: float, status: str = "Completed", **more: Any) -> Job:
    return Job(
        "training", f"job-{state}-{started:g}".replace(" ", "-"), state, 1000 + started, 1000 + ended, status, **more
    )


def told(story: Story, *cached: str, **more: Any) -> dict[str, Any]:
    given = {"note": "by hand", "data": "s3://raw/june/"} | more.pop("given", {})
    places = {
        "arn": "arn",
        "results": None,
        "folder": "runs/rents-1",
        "outbox": "outbox",
        "said": ["Traceback", "KeyError: 'x'"],
    }
    return run_json("rents-1", given, story, None, lambda job: job.name in cached, **(places | more))


def ended(*jobs: Job, status: str = "SUCCEEDED", **more: Any) -> Story:
    return Story(started=1000, ended=1100, status=status, jobs=list(jobs), **more)


def failure(**more: Any) -> Story:
    return ended(a_job("Prepare data", 1, 5, "Failed"), status="FAILED", states=["Prepare data"], **more)


def test_the_page_of_post_process_gets_the_run_and_its_timeline() -> None:
    story = ended(a_job("Train a", 5, 70, began=1040.0), reused={"Predict a": 1071.0})
    page = report.completed(POST, told(story), story)
    assert page.startswith('<main><p class="about">run rents-1 · ')
    assert "took 1 min 40 s · by hand · s3://raw/june/" in page
    assert page.index("models") < page.index("<h2>Timeline</h2>") < page.index("data</main>")
    assert "waited 35.0 s, 30.0 s" in page and page.count('class="waited"') == 1
    assert page.index("Train a") < page.index("Predict a") and "cached" in page


def test_the_page_has_the_endpoints_and_says_how_to_ask_them() -> None:
    release = {"outcome": "released", "endpoint": "rents-<a>", "said": "rents-a serves it now."}
    story = ended(models=[{"name": "a", "verdict": "accepted", "release": release}])
    page = report.completed(POST, told(story), story)
    assert "<td>a</td><td>rents-&lt;a&gt;</td><td>rents-a serves it now.</td>" in page
    assert "How to ask: <code>python pipeline.py show rents-1</code>" in page
    assert "Endpoints" not in report.completed(POST, told(ended()), ended())


def a_run(name: str, mae: float | None, started: float = 10.0, **more: Any) -> dict[str, Any]:
    models = [{"name": "a", "mae": mae, "verdict": "accepted"}]
    return {"run": name, "arn": f"arn:rents:{name}", "started": started, "models": models, **more}


def test_a_models_errors_in_the_last_runs_are_a_line_with_its_limit() -> None:
    story = ended(models=[{"name": "a", "verdict": "accepted", "mae": 274.0, "threshold": 350}])
    card = "<main><!--stepgluon:run--><!--stepgluon:errors a--><!--stepgluon:errors b--></main>"
    runs = (a_run("may", 310.0), a_run("april", 400.0))
    page = report.completed(card, told(story), story, earlier=Earlier(runs))
    assert "last 3 runs: 400 → 274" in page and page.count("<svg") == 1 and 'class="limit"' in page
    assert "<!--stepgluon" not in page
    alone = report.completed(card, told(story), story)
    assert "<svg" not in alone and "<!--stepgluon" not in alone


def test_only_scores_of_one_metric_are_a_line() -> None:
    judged = {"name": "a", "verdict": "accepted", "metric": "accuracy", "score": 0.9, "at_least": 0.8}
    story = ended(models=[judged])
    runs = (a_run("may", 310.0), {**a_run("april", None), "models": [{**judged, "score": 0.85}]})
    page = report.completed("<!--stepgluon:errors a-->", told(story), story, earlier=Earlier(runs))
    assert "last 2 runs: 0.85 → 0.9<" in page and 'class="limit"' in page


@pytest.mark.parametrize("errors", [[5.0, 5.0], [0.0, 0.0], [1e300, 1e-300], [-1.0, 2.0, 1e9]])
def test_a_line_of_equal_or_huge_errors_stays_in_its_picture(errors: list[float]) -> None:
    for limit in (None, 0.0, 5.0, 1e300):
        heights = re.findall(r"[ML][\d.]+ (-?[\d.]+)", report._line(errors, limit))
        assert heights and all(0 <= float(height) <= 28 for height in heights)


def test_a_run_is_compared_with_the_one_before_it() -> None:
    story, now = ended(), {"data_sha256": "b", "rows": 1260}
    was = a_run("may", 310.0, data_sha256="a", rows=1240)
    configs = ({"train": {"time_limit": 60}}, {"train": {"time_limit": 90}})
    both = Earlier((was,), configs).compared(told(story) | now)
    assert (
        both == "Compared with run may: different data (1,260 rows, 1,240 before); config: train.time_limit: 60 → 90."
    )
    same = Earlier((was | now,), (configs[0], configs[0]))
    assert same.compared(told(story) | now) == "Compared with run may: same data; same config."
    assert "Compared with run may: same data" in report.completed(POST, told(story) | now, story, earlier=same)
    failed = failure(cause="x")
    assert "Compared with run may: same config." in report.failed(told(failed), failed, earlier=same)
    many = tuple({str(key): number for key in range(9)} for number in (1, 2))
    assert Earlier((was,), (many[0], many[1])).compared(told(story)).endswith("4: 1 → 2, 4 more.")
    assert Earlier((was,)).compared(told(story)) == Earlier().compared(told(story)) == ""


def test_earlier_runs_are_those_of_the_pipeline_that_evaluated_a_model() -> None:
    others = [a_run("later", 1.0, 30.0), a_run("unscored", None), a_run("other", 1.0) | {"arn": "arn:shop:other"}]
    runs = [*others, *(a_run(f"r{n}", 1.0, 9.0 - n) for n in range(20))]
    assert [run["run"] for run in before(a_run("now", 1.0, 20.0), runs)] == [f"r{n}" for n in range(RUNS - 1)]


def test_a_job_that_failed_and_was_tried_again_is_one_lane() -> None:
    story = ended(a_job("Train a", 0, 10, "Failed"), a_job("Train a", 12, 50), a_job("Predict a", 60, 60.2))
    page = report.timeline(told(story, "job-Predict-a-60"), story, logs=True)
    assert page.count("<tr>") == 2
    assert "failed after 10.0 s, 38.0 s" in page
    assert '<a href="logs/job-Train-a-12.log">Train a</a>' in page
    assert page.count('class="broke"') == 1 and page.count('class="cachedjob"') == 1


def test_a_long_timeline_is_folded_and_an_empty_one_is_left_out() -> None:
    story = ended(*(a_job(f"Train {n}", n, n + 10) for n in range(30)))
    assert "<details><summary>30 jobs</summary>" in report.timeline(told(story), story)
    assert report.timeline(told(ended()), ended()) == ""


def test_a_failed_run_has_its_reason_once_and_the_command_that_repeats_it() -> None:
    story = failure(cause="The disk is full.")
    page = report.failed(told(story), story)
    assert "<h1>Failed in Prepare data.</h1>" in page
    assert page.count("The disk is full.") == 1
    assert "python pipeline.py redrive rents-1" in page and "KeyError: &#x27;x&#x27;" in page
    assert page.startswith("<!doctype html>") and "$" not in page.partition("</style>")[0]
    assert "<!--stepgluon" not in page


def test_the_wrong_cells_are_a_table() -> None:
    story = failure(cause="2 rows hold text.")
    lines = [f"cell: {json.dumps(['a.csv', f'row {n}', 'price', EVIL])}" for n in (1, 2)]
    page = report.failed(told(story, said=["1 file", *lines, "2 rows hold text."]), story)
    assert "<h2>Wrong cells</h2>" in page and page.count("<td>price</td>") == 2
    assert "cell: " not in page and "<pre>1 file</pre>" in page and "<script>alert" not in page
    assert "Wrong cells" not in report.failed(told(story), story)


def test_failed_trainings_come_before_the_sentence_that_no_model_can_predict() -> None:
    model = {"name": "rents", "verdict": "rejected", "failure": {"Cause": "Label must be positive."}}
    missing = "No model can predict for rents: training or testing failed, and no model is promoted."
    story = ended(status="FAILED", states=["Choose models"], cause=missing, models=[model])
    page = report.failed(told(story), story)
    reasons = ["rents: Label must be positive.", missing]
    assert re.findall('<p class="reason">(.*?)</p>', page) == reasons


@pytest.mark.parametrize(("status", "said"), [("ABORTED", "Stopped."), ("TIMED_OUT", "Took too long.")])
def test_a_run_that_was_ended_says_so(status: str, said: str) -> None:
    story = ended(status=status)
    assert f"<h1>{said}</h1>" in report.failed(told(story), story)


def test_nothing_of_a_run_is_markup() -> None:
    model = {"name": EVIL, "verdict": EVIL, "uses": "trained", "failure": {"Cause": EVIL}}
    story = failure(cause=EVIL, models=[model])
    story.jobs += [a_job(EVIL, 7, 8)]
    about = told(story, given={"note": EVIL, "data": EVIL}, said=[EVIL])
    for page in (report.failed(about, story), report.completed(POST, about, story, logs=True)):
        assert "<script>alert" not in page and "\x00" not in page
        assert "&lt;script&gt;alert(1)" in page


def test_the_page_of_a_failed_run_runs_the_same_script_as_post_processs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(report.SKELETON.parent))
    for name in ("report", "report_page", "report_models", "model_details", "markup", "charts", "job_io"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import report as of_code

    story = failure(cause="x")
    assert f"script-src '{of_code._sha256(of_code.SCRIPT)}'" in report.failed(told(story), story)
    assert (of_code.RUN, of_code.TIMELINE) == (report.RUN, report.TIMELINE)


@pytest.mark.parametrize("content", ["", "PAGE = (", "PAGE = STYLE = SCRIPT = f()"])
def test_without_the_skeleton_there_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(report, "SKELETON", tmp_path / "report_page.py")
    assert report.failed(told(failure()), failure()) == ""
    (tmp_path / "report_page.py").write_text(content)
    assert report.failed(told(failure()), failure()) == ""


def test_a_job_knows_when_it_got_its_machine_also_from_a_history_that_was_cut() -> None:
    described = json.dumps({"TrainingJobName": "j", "TrainingStartTime": 1_700_000_040_000, "big": "x" * 9000})
    parameters = json.dumps({"TrainingJobName": "j"})
    scheduled = {"resourceType": "sagemaker", "parameters": parameters}
    failed = {"error": "States.TaskFailed", "cause": described}
    for ending, details in (("TaskSucceeded", {"output": described}), ("TaskFailed", failed)):
        events = [
            {"id": 1, "type": "ExecutionStarted", "timestamp": 1_700_000_000},
            {
                "id": 2,
                "type": "TaskStateEntered",
                "timestamp": 1_700_000_001,
                "stateEnteredEventDetails": {"name": "Train a"},
            },
            {
                "id": 3,
                "previousEventId": 2,
                "type": "TaskScheduled",
                "timestamp": 1_700_000_002,
                "taskScheduledEventDetails": scheduled,
            },
            {
                "id": 4,
                "previousEventId": 3,
                "type": ending,
                "timestamp": 1_700_000_099,
                f"t{ending[1:]}EventDetails": details,
            },
        ]
        for history in (events, list(map(kept, events))):
            assert [job.began for job in read(history).jobs] == [1_700_000_040.0], ending
