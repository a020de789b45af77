"""What the live page is made of: a training's log, a run's state, and who gets it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stepgluon.errors import UsageError
from stepgluon.live import page
from stepgluon.live.page import LivePage
from stepgluon.live.state import Settings, page_state
from stepgluon.runs.fit_log import fit_of

LOG = """\
12:00:00 model adelie: 311 rows to learn from, 78 held out, 7 columns
12:00:01 model adelie: always guessing the median: mean absolute error 388.141
12:00:01 fitting with presets medium_quality for at most 600 s on 1 cores
Fitting model: LightGBMXT ... Training model for up to 599.86s of the 599.85s of remaining time.
\t-234.8003\t = Validation score   (-mean_absolute_error)
Fitting model: RandomForestMSE ... Training model for up to 599.00s of the 599.00s of remaining time.
\t-1.2e+05\t = Validation score   (-mean_absolute_error)
Fitting model: CatBoost ... Training model for up to 595.80s of the 595.79s of remaining time.
"""


def test_a_log_tells_the_learner_at_work_each_error_and_the_median() -> None:
    fit = fit_of(LOG.splitlines())
    assert (fit.learner, fit.best, fit.median) == ("CatBoost", 234.8003, 388.141)
    assert fit.scores == [("LightGBMXT", 234.8003), ("RandomForestMSE", 120000.0)]
    ended = fit_of([*LOG.splitlines(), "AutoGluon training complete, total runtime = 10.18s ..."])
    assert (ended.learner, ended.best) == ("", 234.8003)


def test_the_best_of_scores_that_are_better_higher_is_the_highest() -> None:
    hits = fit_of([f"\t{score}\t = Validation score   (accuracy)" for score in ("0.91", "0.93", "0.9")])
    assert (hits.best, hits.scores[0]) == (0.93, ("", 0.91))  # better the higher it is


def job(state: str, status: str, **more: Any) -> dict[str, Any]:
    kind = "training" if state.startswith("Train") else "processing"
    known = {"name": state.lower().replace(" ", "-"), "kind": kind, "state": state, "status": status}
    return {**known, "started": 10.0, "seconds": 5.0, "cached": False, "sentence": "", **more}


def verdict(name: str, verdict: str = "accepted", **more: Any) -> dict[str, Any]:
    known = {"name": name, "verdict": verdict, "uses": "trained", "mae": 200.0, "mae_of_median": 400.0}
    return {**known, "threshold": 350, "outcome": None, "failure": None, "outcome_failure": None, **more}


class Runs:
    """One run as its test tells it."""

    title, place, pause, recipients = "penguins", "this computer", 0.001, ""

    def __init__(self, *jobs: dict[str, Any], models: Any = (), status: str = "RUNNING", **more: Any) -> None:
        known = {"run": "june", "arn": "arn", "status": status, "started": 1.0, "seconds": 9.0, "note": ""}
        counts = {"predictions": None, "gaps": None, "failure": None}
        self.told = {**known, **counts, "models": list(models), "jobs": list(jobs), **more}
        self.logs: dict[str, list[str]] = {}
        self.queued: set[str] = set()
        self.pressed: list[str] = []
        self.page: Path | None = None

    def runs(self) -> list[dict[str, Any]]:
        return [self.told]

    def run(self, name: str) -> dict[str, Any] | None:
        return self.told

    def settings(self, told: dict[str, Any]) -> list[Settings]:
        return [Settings(name, "body_mass_g", "threshold", 350, 600) for name in ("adelie", "gentoo")]

    def begun(self, job: dict[str, Any]) -> float | None:
        return None if job["state"] in self.queued else float(job["started"])

    def log(self, told: dict[str, Any], job: dict[str, Any]) -> list[str]:
        return self.logs.get(job["state"], [])

    def mails(self, run: str) -> list[dict[str, str]]:
        return []

    def report(self, run: str) -> Path | None:
        return self.page

    def stop(self, run: str) -> str:
        self.pressed.append(run)
        return "Stopping the run and its jobs."

    def promote(self, run: str) -> str:
        raise UsageError(f"{run} has no accepted model")


PREPARED = job("Prepare data", "Completed")


def test_a_running_run_counts_its_jobs_and_a_queued_one_is_not_running() -> None:
    runs = Runs(PREPARED, job("Train adelie", "InProgress"), job("Train gentoo", "InProgress"))
    runs.queued, runs.logs = {"Train gentoo"}, {"Train adelie": LOG.splitlines()}
    state = page_state(runs, "", "")
    assert state["headline"] == "Training 2 models, 0 done"
    assert [stage["words"] for stage in state["stages"]] == [
        "done",
        "0 of 2 · 1 running · 1 queued",
        "0 of 2",
        "waiting",
    ]
    adelie, gentoo = state["models"]
    assert (adelie["word"], adelie["learner"], adelie["best"], adelie["began"]) == (
        "training",
        "CatBoost",
        234.8003,
        10,
    )
    assert (adelie["threshold"], adelie["median"], adelie["limit"]) == (350, 388.141, 600)
    assert (gentoo["word"], gentoo["began"], gentoo["best"]) == ("queued", None, None)
    assert state["log"] == {"state": "Train adelie", "lines": LOG.splitlines()[-14:]}
    assert state["run"]["stop"] and not state["run"]["promote"]
    assert page_state(runs, "", "gentoo")["log"]["state"] == "Train gentoo", "the log of the chosen model"


def test_a_tuning_counts_its_trainings_and_draws_their_scores() -> None:
    lines = [
        "Trial 1 of 6: validation:mae 310.5, best so far 310.5 (eta 0.1)",
        "Trial 2 of 6: validation:mae 290, best so far 290 (eta 0.2)",
    ]
    runs = Runs(PREPARED, job("Tune adelie", "InProgress"), job("Train gentoo", "Completed"))
    runs.logs = {"Tune adelie": lines}
    adelie = page_state(runs, "", "")["models"][0]
    assert page_state(runs, "", "")["headline"] == "Training 2 models, 1 done"
    assert (adelie["word"], adelie["learner"], adelie["tuned"], adelie["best"]) == (
        "training",
        "Trial 2 of 6",
        True,
        290,
    )
    assert adelie["scores"] == [("Trial 1 of 6", 310.5), ("Trial 2 of 6", 290.0)]
    assert adelie["limit"] is None, "time_limit is AutoGluon's"


def test_an_ended_run_says_what_came_of_it() -> None:
    models = [verdict("adelie", outcome="predicted"), verdict("gentoo", "rejected", mae=360, outcome="failed")]
    jobs = [PREPARED, *(job(f"{stage} {name}", "Completed") for name in ("adelie", "gentoo") for stage in ("Train",))]
    runs = Runs(*jobs, models=models, status="SUCCEEDED", predictions=1180, gaps=1980)
    state = page_state(runs, "", "")
    assert state["headline"] == "Filled 1,180 of 1,980 gaps, 1 of 2 models accepted"
    assert [model["word"] for model in state["models"]] == ["accepted", "rejected, not predicted"]
    assert [stage["steps"] for stage in state["stages"]][1:3] == [["done", "rejected"], ["done", "failed"]]
    assert state["run"]["promote"] and not state["run"]["stop"]
    runs = Runs(*jobs, models=models, status="SUCCEEDED", predictions=0, gaps=0)
    assert page_state(runs, "", "")["headline"] == "No gaps to fill, 1 of 2 models accepted"


def test_a_failed_run_gives_the_reason_and_the_failed_job_s_log() -> None:
    failure = {"state": "Prepare data", "error": "E", "sentence": "june.csv has no column 'year'."}
    runs = Runs(job("Prepare data", "Failed"), status="FAILED", failure=failure)
    runs.logs["Prepare data"] = ["reading june.csv"]
    state = page_state(runs, "", "")
    assert state["headline"] == "The run failed in Prepare data"
    assert state["run"]["failure"]["sentence"] == "june.csv has no column 'year'."
    assert state["log"]["lines"] == ["reading june.csv"]
    assert [model["word"] for model in state["models"]] == ["not trained", "not trained"]


class Answer:
    def __init__(self, live: LivePage, method: str, path: str, query: str = "", body: bytes = b"", **more: str) -> None:
        import io

        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, **more}
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": more.get("CONTENT_LENGTH", str(len(body)))}  # type: ignore[dict-item]
        self.body = live(environ, self._start)

    def _start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = status, dict(headers)

    def text(self) -> str:
        return b"".join(self.body).decode()


def token_of(live: LivePage) -> str:
    found = re.search('name="token" content="(.+?)"', Answer(live, "GET", "/").text())
    assert found
    return found[1]


def test_events_come_when_something_has_changed_and_the_last_one_at_the_end() -> None:
    runs = Runs(PREPARED)
    live = LivePage(runs)
    events = iter(Answer(live, "GET", "/_live/events", f"token={token_of(live)}").body)
    first = json.loads(next(events).decode().removeprefix("data: "))
    assert first["state"]["headline"] == "Running"
    runs.told["jobs"].append(job("Train adelie", "InProgress"))
    assert "Training 2 models" in next(events).decode(), "nothing comes in between, however long it takes"
    runs.told["status"] = "SUCCEEDED"
    live.close()
    assert [b"Finished" in event or b"event: end" in event for event in events] == [True, True]


@pytest.mark.parametrize("token", ["", "x", "ä"])
def test_nothing_is_given_without_the_page_s_token(token: str) -> None:
    runs = Runs(PREPARED)
    live = LivePage(runs)
    assert Answer(live, "GET", "/_live/events", f"token={token}").status == "403 Forbidden"
    assert Answer(live, "POST", "/_live/stop", body=b"june", HTTP_X_LIVE_TOKEN=token).status == "403 Forbidden"
    assert runs.pressed == []


def test_the_address_of_an_account_s_page_has_the_token() -> None:
    live = LivePage(Runs(PREPARED), secret=True)
    assert Answer(live, "GET", "/").status == "403 Forbidden"
    assert Answer(live, "GET", "/", live.path.removeprefix("/?")).status == "200 OK"


def test_a_button_answers_with_a_sentence() -> None:
    runs = Runs(PREPARED)
    live = LivePage(runs)
    header = {"HTTP_X_LIVE_TOKEN": token_of(live)}
    assert Answer(live, "POST", "/_live/stop", body=b"june", **header).text() == "Stopping the run and its jobs."
    assert runs.pressed == ["june"]
    refused = Answer(live, "POST", "/_live/promote", body=b"june", **header)
    assert (refused.status, refused.text()) == ("409 Conflict", "june has no accepted model")
    for length in ("", "-1", "many"):
        Answer(live, "POST", "/_live/stop", body=b"june", **header, CONTENT_LENGTH=length)
    assert runs.pressed == ["june", "", "", ""], "a length that is not a number is no reason to wait for more"


def test_the_report_has_a_key_of_its_own_and_no_origin(tmp_path: Path) -> None:
    runs = Runs(PREPARED, status="SUCCEEDED")
    live = LivePage(runs)
    (tmp_path / "report.html").write_text("<h1>the report</h1>")
    runs.page = tmp_path / "report.html"
    events = iter(Answer(live, "GET", "/_live/events", f"token={token_of(live)}").body)
    address = json.loads(next(events).decode().removeprefix("data: "))["state"]["run"]["report"]
    path, _, query = address.partition("?")
    answer = Answer(live, "GET", path, query)
    assert answer.text() == "<h1>the report</h1>"
    assert answer.headers["Content-Security-Policy"] == "sandbox allow-scripts"
    assert token_of(live) not in address
    for other in (query.replace("june", "july"), query[:-1], "run=june"):
        assert Answer(live, "GET", path, other).status == "404 Not Found"


def test_the_page_puts_text_into_the_document_as_text() -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|https?:",
        page.SCRIPT.replace("http://www.w3.org/2000/svg", ""),
    )
    assert Path(page.__file__).with_name("page.html").read_text().count("<script") == 1


def test_a_limit_relative_to_the_median_is_known_with_the_median() -> None:
    relative = Settings("adelie", "mass", "better_than_median", 20, 600)
    assert (relative.threshold(None), relative.threshold(400.0)) == (None, 320.0)
    assert Settings("adelie", "mass", "", None, 600).threshold(400.0) is None
