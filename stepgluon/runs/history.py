"""The story of a run, from its execution's events: lines, jobs, models, and why it failed.

A function of the events alone, which only adds lines as the history grows. It uses the standard library alone, because
lambda/tell_failure.py has this file in its zip: so the mail of a failure and the terminal say the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Event = dict[str, Any]
# Names of states in pipeline.py, as far as a story depends on them; the tests look for each in a definition.
DELIVERS, MAILS_RESULT = "Post-process", "Announce results"
AGAIN = " again?"  # raises the sentence of the failed job before it
# A marker, promoted models or an endpoint that do not exist yet, or what an earlier release made.
_EXPECTED = re.compile("NoSuchKey|Could not find endpoint|already exist")
_LOOKED_UP = re.compile(r"Look up (.+?)( result)?")  # Look up m saves Train m, Look up m result saves Predict m
_OUTCOME = re.compile(r"(?:Accept|Reject|Report) (.+)")  # its output is the outcome of a model
_RELEASED = re.compile(r"End release of (.+)")
INCOMPLETE = "Incomplete"  # the error if a run's result lacks some models' predictions

WORDS = {"FAILED": "failed", "ABORTED": "was stopped", "TIMED_OUT": "took too long"}
ENDED = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionAborted": "ABORTED",
    "ExecutionTimedOut": "TIMED_OUT",
}
LONGEST_SENTENCE = 1024  # [sm] like a job's
SILENT = "The job failed and did not say why."
CAUSE = 4000  # characters to keep of a cause, which may have 32,768
# The prefix of an unhandled error's cause, once for each state that it passed, outermost first.
_PASSED = re.compile(r"An error occurred while executing the state '(.+?)' \(entered at the event id #\d+\)\.\s*")
_RAISED = re.compile(r"threw an error during evaluation\.\s*(?:[A-Z]\d{4}: )?(.+)", re.DOTALL)
_ADDED = re.compile(r"^AlgorithmError: |Not retried: |,? exit code: \d+\s*$")
# AWS's XGBoost container gives its sentence twice, after the exception's name and XGBoost's place in its source.
_CONTAINER = re.compile(r"framework error: .*?sagemaker_algorithm_toolkit\.exceptions\.(?:\w+Error: )?(.+?)(?: \1)?$")
_IN_SOURCE = re.compile(r"^XGB train call failed with exception: (?:\[[\d:]+\] )?(?:\S+:\d+: )?")
_JOB = re.compile(r'"(Training|Processing|Transform|HyperParameterTuning)JobName"\s*:\s*"([A-Za-z0-9-]+)"')
# CodeBuild's phases say in their contexts what failed.
_BUILD = re.compile(r'"Contexts"\s*:\s*\[\{[^\]]*?"Message"\s*:\s*"((?:[^"\\]|\\.)+)"')
_CONFIG = re.compile(r"s3://[^\s\"]+/config/[0-9a-f]+/config\.json")
_START = re.compile(r'"(?:Training|Processing|Transform)StartTime"\s*:\s*(\d{12,14})\b')
_BILLED = re.compile(r'"BillableTimeInSeconds"\s*:\s*(\d+)')  # of a training; a spot's is shorter than its time
_MACHINE = re.compile(r'"InstanceType"\s*:\s*"([a-z0-9.-]+)"')
_MACHINES = re.compile(r'"(?:InstanceCount|MaxParallelTrainingJobs)"\s*:\s*(\d+)')
_WORDS_OF_A_JOB = {f"{kind}JobName" for kind in ("Training", "Processing", "Transform", "HyperParameterTuning")}
_WORDS_OF_A_JOB |= {"ExitMessage", "FailureReason", "Error"}
_SETTINGS = ("unit", "metric", "threshold", "better_than_median", "at_most", "at_least", "tune")
_ABOUT_MODELS = {"models", "chosen", "verdicts", "release"}  # variables
_FAILURES = ("TaskFailed", "TaskTimedOut", "TaskSubmitFailed", "TaskStartFailed")


@dataclass
class Job:
    """A job started by a state."""

    kind: str  # training, processing, transform or hyperparametertuning
    name: str
    state: str
    started: float
    ended: float | None = None
    status: str = "InProgress"
    sentence: str = ""  # why it failed
    began: float | None = None  # when it got its machine, known once it has ended
    instance: str = ""  # its type
    instances: int = 1
    billed: float | None = None  # seconds of each instance, once it has ended; empty if it never got one


@dataclass(eq=False)
class Visit:
    """A state from its entry to its exit."""

    name: str
    kind: str
    since: float
    after: Visit | None = field(default=None, repr=False)  # the one before it, in its branch
    inside: Visit | None = field(default=None, repr=False)  # the Parallel or Map that it belongs to
    until: float | None = None
    job: Job | None = None  # the last one
    tried: float | None = None  # when the first one started
    quiet: bool = False
    failure: str = ""

    @property
    def left(self) -> bool:
        return self.until is not None


@dataclass
class Story:
    """A run so far; times are seconds since 1970."""

    started: float = 0.0
    ended: float | None = None
    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    states: list[str] = field(default_factory=list)  # the failed one; if the run was ended from outside, the running
    models: list[dict[str, Any]] = field(default_factory=list)  # the verdicts known so far
    jobs: list[Job] = field(default_factory=list)
    reused: dict[str, float] = field(default_factory=dict)  # when each state was found to be done before, by its name
    job: Job | None = None  # the one that ended the run, or of a run that took too long the running one
    succeeded: set[str] = field(default_factory=set)  # the Tasks
    lines: list[str] = field(default_factory=list)
    map_runs: dict[str, str] = field(default_factory=dict)  # ARNs of Distributed Maps' Map Runs, by their states
    mapping: set[str] = field(default_factory=set)  # those of their states that run
    shared: dict[str, dict[str, Any]] = field(default_factory=dict)  # releases to an endpoint that many models share
    config: str = ""  # the address of the config that the jobs get
    visits: list[Visit] = field(default_factory=list, compare=False)

    @property
    def failed_state(self) -> str:
        return self.states[0] if self.states else ""

    @property
    def delivered(self) -> bool:
        """Whether there is a result: a run that is incomplete, or failed after delivering it, also has one."""
        return self.status == "SUCCEEDED" or (self.status != "RUNNING" and DELIVERS in self.succeeded)

    @property
    def running(self) -> list[Job]:
        return [job for job in self.jobs if job.ended is None and self.ended is None]

    @property
    def running_maps(self) -> dict[str, str]:
        return {state: arn for state, arn in self.map_runs.items() if state in self.mapping and self.ended is None}

    @property
    def sentence(self) -> str:
        """Why the run failed: the failed job's own sentence, or else the execution's cause."""
        if self.job and self.job.state in self.states and self.job.status == "Failed" and self.job.sentence:
            return self.job.sentence
        own = "." not in self.error and self.cause  # the error of our own Fail state needs no name
        return sentence("" if own else self.error, self.cause)


Remark = Callable[[Job], str]
"""A word about a job that is not in the history."""


def no_remark(job: Job) -> str:
    return ""


def read(events: Sequence[Event], remark: Remark = no_remark) -> Story:
    return _Reader(remark).read(events)


class _Reader:
    def __init__(self, remark: Remark) -> None:
        self._remark = remark
        self.story = Story()
        self._visit_of: dict[int, Visit] = {}  # by the id of each event that belongs to the visit
        self._named: dict[str, Visit] = {}  # the latest visit of each state
        self._limits: dict[str, dict[str, Any]] = {}  # by the models' names
        self._models: dict[str, dict[str, Any]] = {}

    def read(self, events: Sequence[Event]) -> Story:
        for event in events:
            at, kind = seconds(event["timestamp"]), str(event["type"])
            if kind == "ExecutionStarted":
                self.story.started = at
            elif kind == "ExecutionRedriven":
                self._redrive()
            elif kind in ENDED:
                self._end(event, kind, at)
            elif kind.endswith("StateEntered"):
                self._enter(event, kind[: -len("StateEntered")], at)
            elif kind.endswith("StateExited"):
                self._leave(event, at)
            elif visit := self._visit_of.get(event.get("previousEventId", 0)):
                self._visit_of[event["id"]] = visit
                self._go_on(event, kind, visit, at)
        self.story.models = list(self._models.values())
        return self.story

    def _enter(self, event: Event, kind: str, at: float) -> None:
        before = self._visit_of.get(event.get("previousEventId", 0))
        visit = Visit(event["stateEnteredEventDetails"]["name"], kind, at)
        if before:
            visit.after, visit.inside = (before, before.inside) if before.left else (None, before)
        self.story.visits.append(visit)
        earlier = self._named.pop(visit.name, None)  # so that the names are in the order of the last visits
        if earlier and earlier.job and earlier.failure:
            self._line(at, visit.name, "retrying")
        self._visit_of[event["id"]] = self._named[visit.name] = visit

    def _go_on(self, event: Event, kind: str, visit: Visit, at: float) -> None:
        details = details_of(event)
        if kind in ("MapRunStarted", "MapRunRedriven"):
            self.story.map_runs[visit.name] = str(details.get("mapRunArn"))
            self.story.mapping.add(visit.name)
        elif kind == "TaskScheduled":
            self._schedule(details, visit, at)
        elif kind in _FAILURES:
            visit.failure = sentence(details.get("error") or "", details.get("cause") or "")
            self.story.succeeded.discard(visit.name)
            if visit.job:
                _end_job(visit.job, at, "Failed", details.get("cause"))
                visit.job.sentence = visit.failure.replace(SILENT, "")
        elif kind == "TaskSucceeded":
            visit.failure = ""
            self.story.succeeded.add(visit.name)
            if visit.job:
                _end_job(visit.job, at, "Completed", details.get("output"))

    def _schedule(self, details: dict[str, Any], visit: Visit, at: float) -> None:
        visit.quiet = str(details.get("resourceType", "")).startswith("aws-sdk")
        if visit.failure and not _EXPECTED.search(visit.failure):  # of the previous try
            self._line(at, visit.name, f"failed, retrying: {visit.failure}")
        found, config = (known.search(str(details.get("parameters"))) for known in (_JOB, _CONFIG))
        self.story.config = config[0] if config else self.story.config
        if found and details.get("resourceType") == "sagemaker":
            given = str(details["parameters"])
            machine, count = _MACHINE.search(given), math.prod(map(int, _MACHINES.findall(given)))
            visit.job = Job(found[1].lower(), found[2], visit.name, at, instances=count)
            visit.job.instance = machine[1] if machine else ""
            visit.tried = visit.tried or at
            self.story.jobs.append(visit.job)

    def _leave(self, event: Event, at: float) -> None:
        details = event["stateExitedEventDetails"]
        name, output = details["name"], parsed(details.get("output"))
        assigned = {key: _value(value) for key, value in (details.get("assignedVariables") or {}).items()}
        for models in (output.get("models"), assigned.get("chosen"), assigned.get("verdicts")):
            if isinstance(models, list) and models and all(isinstance(m, dict) and "verdict" in m for m in models):
                self._models = {str(model.get("name")): model for model in models}
        if isinstance(settings := assigned.get("models"), list):
            self._limits |= {
                str(m.get("name")): {key: m[key] for key in _SETTINGS if key in m}
                for m in settings
                if isinstance(m, dict)
            }
        if (outcome := _OUTCOME.fullmatch(name)) and output:
            self._learn(outcome[1], output)
        if release := _RELEASED.fullmatch(name):
            if "said" in (shared := parsed(assigned.get("release"))):
                self.story.shared[release[1]] = shared
            if said := shared.get("said") or output.get("said"):
                self._say(at, f"{release[1]}: {said}")
        visit = self._named.get(name)  # by name: the exit's previous event may belong to a branch
        if visit is None:
            return
        visit.until, self._visit_of[event["id"]] = at, visit
        if name in self.story.mapping:
            self.story.mapping.discard(name)
            self._line(at, name, f"{at - visit.since:6.1f} s")
        missing = _EXPECTED.search(visit.failure)
        looked_up = _LOOKED_UP.fullmatch(name)
        if visit.kind == "Pass" and outcome and "verdict" in output:
            # Why the job failed is in a line above.
            # A failed tuning does not say why its trainings failed.
            model = self._models[outcome[1]]
            self._say(at, f"{outcome[1]}: {verdict(model if 'tune' in model else {**model, 'failure': None})}")
        elif visit.kind == "Task" and looked_up and not visit.failure:
            tuned = "tune" in self._limits.get(looked_up[1], {})
            state = f"{'Predict' if looked_up[2] else 'Tune' if tuned else 'Train'} {looked_up[1]}"
            self.story.reused[state] = at
            self._line(at, state, "cached")
        elif visit.kind in ("Task", "Parallel", "Fail") and (visit.failure or not visit.quiet) and not missing:
            # Bookkeeping in S3 gets a line only on failure.
            remark = self._remark(visit.job) if visit.job and not visit.failure else ""
            ending = f"failed: {visit.failure}" if visit.failure else remark
            self._line(at, visit.name, f"{at - visit.since:6.1f} s  {ending}".rstrip())

    def _learn(self, name: str, output: dict[str, Any]) -> None:
        """The outcome of one model, before the state after all branches lists those of all."""
        # A branch keeps the beginning of a job's description from its message on.
        error, cause = output.get("Error") or "", re.split(r'","|"}', str(output.get("Cause") or ""))[0]
        failure = {"Error": error, "Cause": sentence(error, cause.replace("\\n", " ").replace('\\"', '"'))}
        if not error and isinstance(unscored := output.pop("reason", None), str):
            failure["Cause"] = f"No score: {unscored}"
        if "verdict" in output:
            known = {"name": name, "threshold": None, **self._limits.get(name, {}), "failure": failure}
            self._models[name] = {**known, **output, "name": name}
        elif "outcome" in output:
            failure = output.get("outcome_failure") or failure
            known = self._models.get(name, {"name": name, "verdict": ""})
            self._models[name] = {**known, "outcome": output["outcome"], "outcome_failure": failure}

    def _redrive(self) -> None:
        """Step Functions' own redrive continues an ended execution."""
        self.story.ended, self.story.status, self.story.error, self.story.cause = None, "RUNNING", "", ""
        self.story.states, self.story.job, self._named = [], None, {}

    def _end(self, event: Event, kind: str, at: float) -> None:
        story, details = self.story, details_of(event)
        story.ended, story.status = at, ENDED[kind]
        story.error, story.cause = details.get("error") or "", details.get("cause") or ""
        if story.status != "SUCCEEDED":
            story.states = self._last_states(story)
            story.job = self._job(story)
            reason = story.sentence
            if not reason or not any(reason in line for line in story.lines):
                self._line(at, story.failed_state or "The run", f"{WORDS[story.status]}: {reason}".removesuffix(": "))
        for job in story.jobs:
            if job.ended is None:
                job.ended, job.status, job.billed = at, "Stopped", at - job.started

    def _last_states(self, story: Story) -> list[str]:
        entered = [visit for visit in self._named.values() if not visit.left]
        running = [visit.name for visit in entered if visit.kind not in ("Parallel", "Map")]
        if story.status != "FAILED":
            return running
        passed = _PASSED.findall(story.cause)
        fails = [visit.name for visit in entered if visit.kind == "Fail"]
        failed = [visit for visit in reversed(entered) if visit.failure]
        same = [visit for visit in failed if visit.failure == sentence(story.error, story.cause)]
        jobs = [job.state for job in story.jobs if job.ended is None]
        inner = [visit.name for visit in (*same, *failed)]
        last = [*passed[-1:], *fails, *inner, *jobs, *running[-1:], *(visit.name for visit in entered)]
        state = next(iter(last), "")
        ended = self._last_failed(story)
        return [ended.state] if state.endswith(AGAIN) and ended else [state][: len(state)]

    def _last_failed(self, story: Story) -> Job | None:
        """The last failed job, unless a retry succeeded."""
        last = next((job for job in reversed(story.jobs) if job.status == "Failed"), None)
        return None if last is None or last.state in story.succeeded else last

    def _job(self, story: Story) -> Job | None:
        if story.status != "FAILED":
            running = (job for job in reversed(story.jobs) if job.state in story.states)
            return next(running, None) if story.status == "TIMED_OUT" else None
        last, visit = self._last_failed(story), self._named.get(story.failed_state)
        # An expression may have given up because of an earlier job; another Task failed by itself.
        another = visit is not None and visit.kind == "Task" and story.error != "States.QueryEvaluationError"
        return None if last is None or (another and last.state != story.failed_state) else last

    def _line(self, at: float, what: str, text: str) -> None:
        self._say(at, f"{what:<24} {text}")

    def _say(self, at: float, text: str) -> None:
        self.story.lines.append(f"{at - self.story.started:7.1f} s  {text}")


# Words


def sentence(error: str, cause: str) -> str:
    """An error and its cause for people, on one line: in a failed job's own words, if it has any."""
    cause, job = _PASSED.sub("", cause), _JOB.search(cause)
    described = parsed(cause)
    text = str(described.get("ExitMessage") or described.get("FailureReason") or described.get("Error") or "")
    if raised := _RAISED.search(cause):
        text = raised[1]
    elif built := _BUILD.findall(cause):
        text = built[-1].replace('\\"', '"')
    elif job and not text:
        text = SILENT
    elif error == "States.Timeout" and not cause:
        text = "The state took longer than it may (States.Timeout)."
    elif not text:
        shown = cause.partition(" (Service: ")[0]
        text = shown if error in ("", "States.TaskFailed") and shown else f"{error}: {shown}"
    text = " ".join(_ADDED.sub("", text).split())
    if framework := _CONTAINER.match(text):
        text = _IN_SOURCE.sub("", framework[1])
    return text.strip(": ")[:LONGEST_SENTENCE]


def verdict(model: dict[str, Any]) -> str:
    """`accepted. MAE 274.006 (limit 350; always guessing the median: 388.141).`, as mails.reason says it in JSONata;
    for another metric `accepted. accuracy 0.91 (at least 0.85; baseline 0.62).`
    """
    metric = metric_of(model)
    error = score_of(model)
    version, failed = model.get("version"), model.get("unregistered")
    registered = f" Registered as version {version}." if version else f" Not registered: {failed}" if failed else ""
    if error is None:
        failure = parsed(model.get("failure"))
        unread = re.search("NoSuchKey|QueryEvaluation", str(failure.get("Error")))
        cause = "" if unread else failure.get("Cause")
        return f"{model['verdict']}. {str(cause or 'No score').removesuffix('.')}."
    if metric == "mae":
        return f"{model['verdict']}. MAE {with_unit(model)} ({_limit(model)}).{registered}"
    limits = [f"{key.replace('_', ' ')} {number(model[key])}" for key in ("at_least", "at_most") if key in model]
    baseline = "" if finite(model.get("baseline")) is None else f"; baseline {number(model['baseline'])}"
    return f"{model['verdict']}. {metric} {number(error)} ({(limits or ['no limit'])[0]}{baseline}).{registered}"


def with_unit(model: dict[str, Any]) -> str:
    """The MAE, with the label's unit if it is known."""
    unit = model.get("unit") if finite(model.get("mae")) is not None else None
    return f"{number(model.get('mae'))} {unit}" if unit else number(model.get("mae"))


def score_of(model: dict[str, Any]) -> float | None:
    """The score by the metric that judged the model."""
    return finite(model.get("mae" if metric_of(model) == "mae" else "score"))


def metric_of(model: dict[str, Any]) -> str:
    """The metric that judged the model; runs of earlier versions name none."""
    return str(model.get("metric") or "mae")


def _limit(model: dict[str, Any]) -> str:
    """`limit 350; always guessing the median: 388.141`, and the words for other limits."""
    threshold, share, median = (finite(model.get(k)) for k in ("threshold", "better_than_median", "mae_of_median"))
    guessing = "always guessing the median"
    if share is not None and (threshold is None or median is None):
        if median is None:
            return f"limit {share:.15g} % better than {guessing}, whose error is missing"
        threshold = median * (100 - share) / 100
    if threshold is not None and share is not None:
        return f"limit {number(threshold)}, {share:.15g} % better than {guessing}: {number(median)}"
    limit = "no limit" if threshold is None else f"limit {number(threshold)}"
    return limit if median is None else f"{limit}; {guessing}: {number(median)}"


def number(value: Any) -> str:
    """A number for lines and tables; a dash if it is not finite or not a number."""
    return "-" if finite(value) is None else f"{value:.6g}"


def finite(value: Any) -> float | None:
    """The value if it is a finite number, else None."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return value if fits else None


# Events


def seconds(timestamp: Any) -> float:
    """An event's time, from a client or from history.json."""
    if isinstance(timestamp, (int, float)):
        return float(timestamp)
    return (timestamp if isinstance(timestamp, datetime) else datetime.fromisoformat(str(timestamp))).timestamp()


def _end_job(job: Job, at: float, status: str, description: Any) -> None:
    """A failed job of which SageMaker knows no start never got a machine."""
    job.ended, job.status, job.began = at, status, _began(description)
    if known := _BILLED.search(str(description)):
        job.billed = float(known[1])
    elif job.began is not None or status == "Completed":
        job.billed = max(0.0, at - (job.began or job.started))


def _began(description: Any) -> float | None:
    """When a job began, from SageMaker's description of it, which has milliseconds; a tuning's has none."""
    if "HyperParameterTuningJobName" in str(description):
        return None
    found = _START.search(str(description))
    return int(found[1]) / 1000 if found else None


def details_of(event: Event) -> dict[str, Any]:
    return next((value for key, value in event.items() if key.endswith("EventDetails") and value), {})


def kept(event: Event) -> Event:
    """The parts of an event that matter: a history may have 25,000 of up to 256 KiB."""
    given = details_of(event)
    details = {key: given.get(key) for key in ("name", "error", "resourceType")}
    if job := _JOB.search(str(given.get("parameters"))):
        details["parameters"] = job[0]
    if event["type"].endswith("StateExited"):
        output, assigned = given.get("output") or "", given.get("assignedVariables") or {}
        said = _OUTCOME.fullmatch(given["name"]) or _RELEASED.fullmatch(given["name"])
        details["output"] = output if said or output.startswith('{"models"') else ""
        details["assignedVariables"] = {key: assigned[key] for key in assigned.keys() & _ABOUT_MODELS}
    cause = given.get("cause") or ""
    start = _START.search(cause or given.get("output") or "")
    if start and event["type"] == "TaskSucceeded":
        details["output"] = start[0]
    if words := {key: str(value)[:LONGEST_SENTENCE] for key, value in parsed(cause).items() if key in _WORDS_OF_A_JOB}:
        cause = json.dumps(words)[:-1] + (f", {start[0]}}}" if start else "}")
    key = next((key for key in event if key.endswith("EventDetails")), "EventDetails")
    places = {name: event.get(name) for name in ("id", "previousEventId", "type", "timestamp")}
    return {**places, key: {**details, "cause": cause[:CAUSE]}}


def parsed(text: Any) -> dict[str, Any]:
    value = _value(text)
    return value if isinstance(value, dict) else {}


def _value(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return None
