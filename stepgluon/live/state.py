"""What the live page shows of a run, as JSON: the run as in run.json, with the config's models and the jobs' logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stepgluon.runs.fit_log import fit_of
from stepgluon.runs.history import metric_of
from stepgluon.runs.view import WORDS

if TYPE_CHECKING:
    from stepgluon.names import Names

Record = dict[str, Any]
"""A run as in run.json, or a job in it."""
TAIL = 14  # lines of a log
LONGEST_LINE = 400
_STAGES = ("Prepare", "Train", "Predict", "Post-process")


@dataclass(frozen=True)
class Settings:
    """What a run's config says of a model."""

    name: str
    label: str
    limit: str  # threshold or better_than_median, in percent; empty without a limit
    value: float | None
    time_limit: int

    def threshold(self, median: float | None) -> float | None:
        """The highest error allowed; None without a limit, or until the error of the median is known."""
        if self.limit == "better_than_median" and self.value is not None:
            return None if median is None else median * (1 - self.value / 100)
        return self.value


def models_of(names: Names, threshold: Any) -> list[Settings]:
    """The config's models; `threshold` replaces the limits of mae in this run if it is a number."""
    found = []
    for model in names.config.models:
        replaced = threshold and model.metric == "mae"
        key, value = ("threshold", threshold) if replaced else names.config.limit_of(model) or ("", None)
        found.append(Settings(model.name, model.label, key, value, model.train.time_limit))
    return found


class Source(Protocol):
    """Where the runs are. Errors are StepgluonErrors."""

    title: str
    place: str
    pause: float  # seconds between two looks
    recipients: str  # of mails that cannot be shown

    def runs(self) -> list[Record]:
        """The last runs, latest first: run, status, started, seconds and note of each."""

    def run(self, name: str) -> Record | None: ...

    def settings(self, record: Record) -> list[Settings]:
        """The models of the run; empty if its config is not known."""

    def begun(self, job: Record) -> float | None:
        """When the job began to run; None while it waits for a core or an instance."""

    def log(self, record: Record, job: Record) -> Sequence[str]: ...

    def mails(self, run: str) -> list[dict[str, str]]: ...

    def report(self, run: str) -> Path | str | None:
        """The page about a run that has ended: its file, or its address."""

    def stop(self, run: str) -> str:
        """Stop the run; return what was done as a sentence."""

    def promote(self, run: str) -> str: ...


def page_state(source: Source, chosen: str, model: str) -> dict[str, Any]:
    """The chosen run or else the latest, with the log of the chosen model or else of the last job."""
    runs = source.runs()
    name = chosen if any(row["run"] == chosen for row in runs) else runs[0]["run"] if runs else ""
    record = source.run(name) if name else None
    state: dict[str, Any] = {"title": source.title, "place": source.place, "recipients": source.recipients}
    state |= {"runs": [_row(row) for row in runs], "run": None}
    if record is None:
        return {**state, "headline": "No runs yet", "models": [], "stages": [], "log": None, "mails": []}
    jobs = {job["state"]: job for job in record["jobs"]}  # the last try of each state
    given = {one.name: one for one in source.settings(record)}
    judged = {one["name"]: one for one in record["models"]}
    models = [_Model(source, record, name, jobs, judged.get(name), given.get(name)) for name in {**given, **judged}]
    return {
        **state,
        "run": _run(record),
        "headline": headline(record, models),
        "stages": stages(record, jobs, models),
        "models": [one.shown() for one in models],
        "log": _log(source, record, [job for job in record["jobs"] if not model or job["state"].endswith(f" {model}")]),
        "mails": source.mails(name),
    }


def _row(row: Record) -> Record:
    seconds = None if row["status"] == "RUNNING" else row["seconds"]  # the page counts itself
    return {**{key: row[key] for key in ("run", "status", "started", "note")}, "seconds": seconds}


def _run(record: Record) -> Record:
    running = record["status"] == "RUNNING"
    accepted = any(one["verdict"] == "accepted" and one["uses"] == "trained" for one in record["models"])
    failure = record["failure"] and {key: record["failure"][key] for key in ("state", "sentence")}
    return {**_row(record), "failure": failure, "stop": running, "promote": accepted and not running}


class _Model:
    def __init__(
        self,
        source: Source,
        record: Record,
        name: str,
        jobs: Mapping[str, Record],
        judged: Record | None,
        given: Settings | None,
    ) -> None:
        self.name, self.judged, self._given = name, judged or {}, given
        self._running = record["status"] == "RUNNING"
        self._train = jobs.get(f"Train {name}") or jobs.get(f"Tune {name}")
        self.training = self._phase(source, self._train)
        self.predicting = self._phase(source, jobs.get(f"Predict {name}"))
        self._began = source.begun(self._train) if self._train else None
        self.fit = fit_of(source.log(record, self._train) if self._train else ())
        if self.judged.get("verdict"):
            self.training = "done" if self.judged["verdict"] == "accepted" else "rejected"
        if self.judged.get("outcome"):
            self.predicting = "done" if self.judged["outcome"] == "predicted" else "failed"

    def _phase(self, source: Source, job: Record | None) -> str:
        if job is None:
            return "waiting"
        if job["status"] == "InProgress":
            return ("running" if source.begun(job) is not None else "queued") if self._running else "stopped"
        return {"Completed": "done", "Failed": "failed"}.get(job["status"], "stopped")

    def word(self) -> str:
        """The model's state in a word or two."""
        verdict = self.judged.get("verdict", "")
        if not verdict:
            words = {"running": "training", "done": "trained", "failed": "retrying" if self._running else "failed"}
            return words.get(
                self.training, self.training if self._running or self.training != "waiting" else "not trained"
            )
        if self.predicting == "failed":
            return f"{verdict}, not predicted"
        return f"{verdict}, predicting" if self.predicting == "running" else str(verdict)

    def shown(self) -> dict[str, Any]:
        judged, given = self.judged, self._given
        metric = metric_of(judged)
        keys = ("mae", "mae_of_median", "threshold") if metric == "mae" else ("score", "baseline", "at_least")
        error, baseline, threshold = (judged.get(key) for key in keys)
        median = self.fit.median if baseline is None else baseline
        if threshold is None and given:
            threshold = given.threshold(median)
        reason = judged.get("failure") or judged.get("outcome_failure") or (self._train or {}).get("sentence")
        return {
            "name": self.name,
            "label": given.label if given else "",
            "word": self.word(),
            "state": self.training,
            "predicting": self.predicting == "running",
            "metric": metric,
            "error": error,
            "best": self.fit.best,
            "threshold": threshold,
            "median": median,
            "scores": self.fit.scores,
            "learner": (self.fit.learner or self.fit.trial) if self.training == "running" else "",
            "tuned": bool(self.fit.trial),
            "began": self._began if self.training == "running" else None,
            "seconds": self._train["seconds"] if self._train and self.training in ("done", "rejected") else None,
            "limit": given.time_limit if given and not self.fit.trial else None,
            "uses": judged.get("uses") if judged.get("uses") != "trained" else "",
            "cached": judged.get("cached", False) or (self._train or {}).get("cached", False),
            "reason": reason or "",
        }


def stages(record: Record, jobs: Mapping[str, Record], models: Sequence[_Model]) -> list[dict[str, Any]]:
    """Each stage with the state of each of its jobs."""
    running = record["status"] == "RUNNING"
    words = {"InProgress": "running" if running else "stopped", "Completed": "done", "Failed": "failed"}
    first, last = (
        [words.get(jobs[name]["status"], "stopped") if name in jobs else "waiting"]
        for name in ("Prepare data", "Post-process")
    )
    steps = (first, [one.training for one in models], [one.predicting for one in models], last)
    return [
        {"name": name, "steps": found, "words": _counted(found)} for name, found in zip(_STAGES, steps, strict=True)
    ]


def _counted(steps: Sequence[str]) -> str:
    """`1 of 3 · 2 running`, or the state of a single job."""
    count = Counter(steps)
    if len(steps) == 1:
        return steps[0]
    done = count["done"] + count["rejected"]
    rest = [f"{count[word]} {word}" for word in ("running", "queued", "failed", "stopped") if count[word]]
    return " · ".join([f"{done} of {len(steps)}", *rest])


def headline(record: Record, models: Sequence[_Model]) -> str:
    """What the run is doing, or its result."""
    if record["status"] != "RUNNING":
        return _ended(record, models)
    if record.get("progress"):
        return " · ".join(record["progress"])
    running = {job["state"].partition(" ")[0] for job in record["jobs"] if job["status"] == "InProgress"}
    if running & {"Train", "Tune"}:
        done = sum(one.training in ("done", "rejected") for one in models)
        return f"Training {_models(len(models))}, {done} done"
    if "Predict" in running:
        done = sum(one.predicting == "done" for one in models)
        return f"Predicting with {_models(len(models))}, {done} done"
    return {"Prepare": "Preparing the data", "Post-process": "Assembling the result"}.get(
        next(iter(running), ""), "Running"
    )


def _ended(record: Record, models: Sequence[_Model]) -> str:
    predictions, gaps = record["predictions"], record.get("gaps")
    accepted = sum(one.judged.get("verdict") == "accepted" for one in models)
    said = f"{accepted} of {_models(len(models))} accepted"
    if predictions is not None and gaps is not None:
        return f"Filled {predictions:,} of {gaps:,} gaps, {said}" if gaps else f"No gaps to fill, {said}"
    if record["status"] == "SUCCEEDED":
        return f"Finished, {said}"
    where = f" in {record['failure']['state']}" if record["failure"] and record["failure"]["state"] else ""
    return f"The run {WORDS[record['status']]}{where}"


def _models(count: int) -> str:
    return f"{count} model{'' if count == 1 else 's'}"


def _log(source: Source, record: Record, jobs: Sequence[Record]) -> dict[str, Any] | None:
    """The end of the log of the failed job, else of the running job that began last, else of the last job."""
    ended = [job for job in jobs if job["status"] == "Failed"] if record["status"] == "FAILED" else []
    working = [job for job in jobs if job["status"] == "InProgress" and source.begun(job) is not None]
    job = next((found[-1] for found in (ended, working, jobs) if found), None)
    if job is None:
        return None
    return {"state": job["state"], "lines": [line[:LONGEST_LINE] for line in source.log(record, job)[-TAIL:]]}
