"""Sends one mail for each run that failed, timed out or was stopped: why, where, and what to do.

Called by EventBridge with "Step Functions Execution Status Change" for FAILED, TIMED_OUT and ABORTED.
Environment: PIPELINE, its name; WORK_BUCKET; TOPIC_ARN; COMMAND, like `python pipeline.py {} --env prod`; CONSOLE, the
address of an execution's page up to its ARN, or empty.

A marker, failures/<run>/<redrive count>.json, keeps a repeated event from mailing twice. It is claimed before the mail
and completed after it: a crash in between costs a second mail, but never loses the mail. If the history, job or log
cannot be read, the mail says so. Only errors of S3 and SNS make the function fail: Lambda then retries, and finally
puts the event into the dead-letter queue, which has an alarm.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from stepgluon.runs import history
    from stepgluon.runs.history import Event, Job, Story
    from stepgluon.runs.job_log import TUNING, last_lines, tidied
else:  # copies of these files are in this function's zip
    import history
    from job_log import TUNING, last_lines, tidied

ENDS = {"FAILED": "failed", "TIMED_OUT": "took too long", "ABORTED": "stopped"}
QUICK = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4})
PAGE, PAGES = 100, 250  # [sfn] a history has up to 25,000 events of up to 256 KiB
RESERVE = 45_000  # milliseconds reserved for log and mail if reading the history takes long
SUBJECT, MAIL = 99, 256 * 1024  # [sns] characters, bytes
SENTENCE, REASON, LINE = 1024, 300, 300  # characters
MODELS, LINES = 60, 20


def handler(event: Any, context: Any) -> dict[str, str]:
    """Mail the event's failure, unless it was already mailed."""
    detail = event["detail"]
    run, status = detail["name"], detail["status"]
    if status not in ENDS:
        return log("ignored", run, reason=f"the run is {status}")
    problems: list[str] = []
    story = story_of(detail, context.get_remaining_time_in_millis, problems)
    if story.error == history.INCOMPLETE and history.MAILS_RESULT in story.succeeded:
        return log("ignored", run, reason=f"{history.MAILS_RESULT} has mailed what is missing")
    key = f"failures/{run}/{detail.get('redriveCount') or 0}.json"
    if not claimed(key, event["id"]):
        return log("ignored", run, reason=f"{key}: mailed already, or claimed by another event")
    text = mail(detail, story, problems)
    client("sns").publish(
        TopicArn=os.environ["TOPIC_ARN"],
        Subject=subject(run, ENDS[status]),
        Message=text.encode()[:MAIL].decode(errors="ignore"),
    )
    complete(key, event["id"])
    return log("mailed", run, problems=problems)


# Once


def claimed(key: str, event: str) -> bool:
    """Whether to mail: this is the first delivery, or an earlier one of this event claimed the marker and crashed."""
    place = {"Bucket": os.environ["WORK_BUCKET"], "Key": key}
    try:
        client("s3").put_object(**place, Body=marker(event, False), IfNoneMatch="*")
        return True
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("PreconditionFailed", "412"):
            raise
    found = json.loads(client("s3").get_object(**place)["Body"].read())
    return bool(found["event"] == event and not found["mailed"])


def complete(key: str, event: str) -> None:
    try:
        client("s3").put_object(Bucket=os.environ["WORK_BUCKET"], Key=key, Body=marker(event, True))
    except (ClientError, BotoCoreError) as error:
        print(f"{key} does not say that the mail was sent: {error}", flush=True)  # raising would only mail again


def marker(event: str, mailed: bool) -> bytes:
    return json.dumps({"event": event, "mailed": mailed}).encode()


# What happened


def story_of(detail: dict[str, Any], left: Callable[[], int], problems: list[str]) -> Story:
    """The story of the history, with the end that the event tells."""
    execution, told = detail["executionArn"], {key: detail.get(key) for key in ("error", "cause")}
    if detail["status"] == "FAILED" and not told["cause"]:
        described = readable(
            problems, "the execution", lambda: client("stepfunctions").describe_execution(executionArn=execution)
        )
        told = {key: value or (described or {}).get(key) for key, value in told.items()}
    events: list[Event] = []
    if readable(problems, "the history", lambda: read_history(execution, left, events)) is False:
        problems.append("The history is too long to read whole: its beginning is missing above.")
    events.sort(key=lambda event: event["id"])
    again = [index for index, event in enumerate(events) if event["type"] == "ExecutionRedriven"]
    redrive = int(detail.get("redriveCount") or 0)
    if len(again) > redrive:  # the event is late: ignore those of a later redrive
        events = events[: again[redrive]]
    kind = next(kind for kind, status in history.ENDED.items() if status == detail["status"])
    last = {"type": kind, "timestamp": (detail.get("stopDate") or 0) / 1000, "EventDetails": told}
    return history.read([*(event for event in events if event["type"] != kind), last])


def read_history(execution: str, left: Callable[[], int], events: list[Event]) -> bool:
    """Read the history from its end; return False if it is too long."""
    token: dict[str, str] = {}
    for _ in range(PAGES):
        page = client("stepfunctions").get_execution_history(
            executionArn=execution, maxResults=PAGE, reverseOrder=True, includeExecutionData=True, **token
        )
        events += map(history.kept, page["events"])
        if not page.get("nextToken"):
            return True
        if left() < RESERVE:
            return False
        token = {"nextToken": page["nextToken"]}
    return False


def described(job: Job) -> str:
    """The job's sentence from SageMaker."""
    kind = "hyper_parameter_tuning" if job.kind == TUNING else job.kind
    describe = getattr(client("sagemaker"), f"describe_{kind}_job")
    name = f"{kind.title().replace('_', '')}JobName"
    return history.sentence("", json.dumps(describe(**{name: job.name}), default=str))


# The mail


def subject(run: str, ended: str) -> str:
    """[sns] At most 99 characters of printable ASCII; the end of a run's name is unique, and its beginning ours."""
    pipeline, name = os.environ["PIPELINE"], re.sub(r"[^!-~]", "?", run)
    if name.startswith(f"{pipeline}-") and len(name) + len(f": {ended}") <= SUBJECT:
        return f"{name}: {ended}"
    room = SUBJECT - len(f"{pipeline} : {ended}")
    return f"{pipeline} {name if len(name) <= room else '..' + name[2 - room :]}: {ended}"


def mail(detail: dict[str, Any], story: Story, problems: list[str]) -> str:
    job, own = story.job, story.job.sentence if story.job else ""
    if job and story.status == "FAILED" and (not own or story.error == "States.Timeout"):
        own = readable(problems, f"the job {job.name}", functools.partial(described, job)) or ""
    said = reason(story, own)
    causes = (str((model.get("failure") or {}).get("Cause") or "") for model in story.models)
    end = end_of_log(job, problems, [said, *causes]) if job else ""
    parts = [said, facts(detail, story), models(story), end, "\n".join(problems), next_steps(detail)]
    return "\n\n".join(part for part in parts if part) + "\n"


def end_of_log(job: Job, problems: list[str], known: list[str]) -> str:
    """The last lines of the log, without the sentences that the mail has above."""
    read = functools.partial(last_lines, client("logs"), job.kind, job.name, LINES)
    lines = readable(problems, f"the log of {job.name}", read) or []
    cleaned = [f"  {cut(clean(line).rstrip(), LINE)}" for line in tidied(map(clean, lines), known)]
    return "\n".join([f"The end of the log of {job.name}:", *cleaned]) if cleaned else ""


def reason(story: Story, own: str) -> str:
    """`own` is the sentence of the job that ended the run."""
    if story.status == "TIMED_OUT":
        return "The run took longer than a run may."
    if story.status == "ABORTED":
        return one_line(story.cause, SENTENCE) or f"{os.environ['PIPELINE']} was stopped, and no reason was given."
    if own and story.error == "States.TaskFailed":
        return one_line(own, SENTENCE)
    sentence = story.sentence + (f" Its job: {own}" if own and story.error == "States.Timeout" else "")
    return one_line(sentence, SENTENCE) or "The run failed, and Step Functions gives no reason."


def facts(detail: dict[str, Any], story: Story) -> str:
    how = {"FAILED": "failed", "TIMED_OUT": "was ended", "ABORTED": "was stopped"}[story.status]
    more = f" and {len(story.states) - 5} more" if len(story.states) > 5 else ""
    at = f" in {', '.join(story.states[:5])}{more}" if story.states else ""
    begun, ended = detail.get("startDate"), detail.get("stopDate")
    after = f" after {duration((ended - begun) / 1000)}" if begun and ended else ""
    by = f" ({one_line(story.error, 80)})" if story.status == "ABORTED" and story.error else ""
    run, pipeline = detail["name"], os.environ["PIPELINE"]
    place = f"s3://{os.environ['WORK_BUCKET']}/runs/{run}/result/"
    result = f"\nIts predictions were delivered before: {place}" if story.delivered else ""
    return f"Run {run} of the pipeline {pipeline} {how}{at}{after}{by}.{result}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def models(story: Story) -> str:
    """The number of accepted models, and each other model with its reason."""
    outcomes = ["not predicted" if m.get("outcome") == "failed" else m["verdict"] for m in story.models]
    bad = [
        f"- {model['name']}: {why(model)}"
        for model, outcome in zip(story.models, outcomes, strict=True)
        if outcome not in ("accepted", "")  # no verdict: the model's prediction succeeded, and its training is unread
    ]
    if not bad:
        return ""
    counts = ", ".join(
        f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(sorted(filter(None, outcomes)))
    )
    more = [f"- and {len(bad) - MODELS} more"] if len(bad) > MODELS else []
    return "\n".join([f"Models: {counts}.", *bad[:MODELS], *more])


def why(model: dict[str, Any]) -> str:
    failure = model.get("outcome_failure") or {}
    if model.get("outcome") == "failed":
        return one_line(f"not predicted. {failure.get('Cause') or failure.get('Error') or ''}", REASON)
    return one_line(history.verdict(model), REASON)


def next_steps(detail: dict[str, Any]) -> str:
    run, execution = shlex.quote(detail["name"]), detail["executionArn"]
    look, again = (os.environ["COMMAND"].format(f"{word} {run}") for word in ("show", "redrive"))
    page = [f"  {os.environ['CONSOLE']}{execution}"] if os.environ.get("CONSOLE") else []
    advice = "When the cause is fixed, start it again; finished trainings and predictions are not repeated:"
    return "\n".join(["Look closer:", f"  {look}", *page, "", advice, f"  {again}"])


# Small parts


def readable(problems: list[str], what: str, read: Callable[[], Any]) -> Any:
    """The result of `read`; if a service refuses, None, with a sentence for the mail."""
    try:
        return read()
    except (ClientError, BotoCoreError) as error:
        problems.append(f"Could not read {what}: {one_line(str(error), REASON)}")
        return None


def clean(text: str) -> str:
    """Untrusted text without control sequences that set colours, move the cursor, or hide or reverse text."""
    without_colours = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]", "", text)
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in without_colours)
    return "".join(c for c in spaced if unicodedata.category(c) not in ("Cf", "Cs"))


def one_line(text: str, most: int) -> str:
    return cut(" ".join(clean(text).split()), most)


def cut(line: str, most: int) -> str:
    return line if len(line) <= most else line[: most - 1] + "…"


def log(outcome: str, run: str, **more: Any) -> dict[str, str]:
    print(json.dumps({"outcome": outcome, "run": run, **more}), flush=True)
    return {"outcome": outcome, "run": run}


@functools.cache
def client(service: str) -> Any:
    return boto3.client(service, config=QUICK)
