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
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from run_history import Job, Step, Story, explained, said, step_of

ENDS = {"FAILED": "failed", "TIMED_OUT": "took too long", "ABORTED": "stopped"}
QUICK = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4})
PAGE, PAGES = 100, 250  # [sfn] a history has up to 25,000 events of up to 256 KiB
RESERVE = 45_000  # milliseconds reserved for log and mail if reading the history takes long
SUBJECT, MAIL = 99, 256 * 1024  # [sns] characters, bytes
SENTENCE, REASON, LINE = 2000, 300, 300  # characters
MODELS, LINES, INSTANCES = 60, 20, 20
LOGS = {"Training": "/aws/sagemaker/TrainingJobs", "Processing": "/aws/sagemaker/ProcessingJobs"}


def handler(event: Any, context: Any) -> dict[str, str]:
    """Mail the event's failure, unless it was already mailed."""
    detail = event["detail"]
    run, status = detail["name"], detail["status"]
    if status not in ENDS:
        return log("ignored", run, reason=f"the run is {status}")
    problems: list[str] = []
    story = story_of(detail, context.get_remaining_time_in_millis, problems)
    if story.error == "Incomplete" and story.succeeded("Announce results"):
        return log("ignored", run, reason="Announce results has mailed what is missing")
    key = f"failures/{run}/{story.redrive}.json"
    if not claimed(key, event["id"]):
        return log("ignored", run, reason=f"{key}: mailed already, or claimed by another event")
    text = mail(story, problems)
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
    execution = detail["executionArn"]
    if detail["status"] == "FAILED" and not detail.get("cause"):
        described = readable(
            problems, "the execution", lambda: client("stepfunctions").describe_execution(executionArn=execution)
        )
        detail = {**detail, **{key: detail.get(key) or (described or {}).get(key) for key in ("error", "cause")}}
    steps: list[Step] = []
    if readable(problems, "the history", lambda: read_history(execution, left, steps)) is False:
        problems.append("The history is too long to read whole: its beginning is missing above.")
    return Story(detail, steps)


def read_history(execution: str, left: Callable[[], int], steps: list[Step]) -> bool:
    """Read the history from its end; return False if it is too long."""
    token: dict[str, str] = {}
    for _ in range(PAGES):
        page = client("stepfunctions").get_execution_history(
            executionArn=execution, maxResults=PAGE, reverseOrder=True, includeExecutionData=True, **token
        )
        steps += [step_of(event) for event in page["events"]]
        if not page.get("nextToken"):
            return True
        if left() < RESERVE:
            return False
        token = {"nextToken": page["nextToken"]}
    return False


def described(job: Job) -> Job:
    """The job with its sentence from SageMaker."""
    describe = getattr(client("sagemaker"), f"describe_{job.kind.lower()}_job")
    return Job(job.kind, job.name, said(describe(**{f"{job.kind}JobName": job.name})))


# The mail


def subject(run: str, ended: str) -> str:
    """[sns] At most 99 characters of printable ASCII; the end of a run's name is unique."""
    pipeline, name = os.environ["PIPELINE"], re.sub(r"[^!-~]", "?", run)
    room = SUBJECT - len(f"{pipeline} : {ended}")
    return f"{pipeline} {name if len(name) <= room else '..' + name[2 - room :]}: {ended}"


def mail(story: Story, problems: list[str]) -> str:
    job = story.job()
    if job and not job.sentence and story.status == "FAILED":
        job = readable(problems, f"the job {job.name}", functools.partial(described, job)) or job
    lines = readable(problems, f"the log of {job.name}", functools.partial(last_lines, job)) if job else None
    end_of_log = (
        "\n".join([f"The end of the log of {job.name}:", *(f"  {line}" for line in lines)]) if job and lines else ""
    )
    parts = [reason(story, job), facts(story), models(story), end_of_log, "\n".join(problems), next_steps(story)]
    return "\n\n".join(part for part in parts if part) + "\n"


def reason(story: Story, job: Job | None) -> str:
    if story.status == "TIMED_OUT":
        return "The run took longer than a run may."
    if story.status == "ABORTED":
        return one_line(story.cause, SENTENCE) or "The run was stopped, and no reason was given."
    sentence = explained(story.error, story.cause)
    if job and job.sentence and story.error == "States.TaskFailed":
        sentence = job.sentence
    elif job and job.sentence and story.error == "States.Timeout":
        sentence += f" Its job: {job.sentence}"
    return one_line(sentence, SENTENCE) or "The run failed, and Step Functions gives no reason."


def facts(story: Story) -> str:
    where, how = story.where(), {"FAILED": "failed", "TIMED_OUT": "was ended", "ABORTED": "was stopped"}[story.status]
    more = f" and {len(where) - 5} more" if len(where) > 5 else ""
    at = f" in {', '.join(where[:5])}{more}" if where else ""
    after = f" after {duration(story.seconds)}" if story.seconds is not None else ""
    by = f" ({one_line(story.error, 80)})" if story.status == "ABORTED" and story.error else ""
    return f"Run {story.run} of the pipeline {os.environ['PIPELINE']} {how}{at}{after}{by}."


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def models(story: Story) -> str:
    """The number of accepted models, and each other model with its reason."""
    found = story.models()
    outcomes = [outcome for outcome, _ in found.values()]
    bad = [f"- {name}: {word}. {why(output)}" for name, (word, output) in found.items() if word != "accepted"]
    if not bad:
        return ""
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(sorted(outcomes)))
    more = [f"- and {len(bad) - MODELS} more"] if len(bad) > MODELS else []
    return "\n".join([f"Models: {counts}.", *bad[:MODELS], *more])


def why(output: dict[str, Any]) -> str:
    # A branch's own report has the beginning of the failed job's description.
    own = {"Error": output.get("Error"), "Cause": str(output.get("Cause") or "").partition('","')[0]}
    for failure in (output.get("outcome_failure"), output.get("failure"), own):
        if isinstance(failure, dict) and (failure.get("Cause") or failure.get("Error")):
            return one_line(explained(str(failure.get("Error") or ""), str(failure.get("Cause") or "")), REASON)
    error, limit = output.get("mae"), output.get("threshold")
    if isinstance(error, (int, float)) and isinstance(limit, (int, float)):
        return f"MAE {error:.6g} (limit {limit:.6g})."
    return one_line(str(output.get("reason") or "No reason was recorded."), REASON)


def next_steps(story: Story) -> str:
    look, again = (os.environ["COMMAND"].format(f"{word} {shlex.quote(story.run)}") for word in ("show", "redrive"))
    page = [f"  {os.environ['CONSOLE']}{story.execution}"] if os.environ.get("CONSOLE") else []
    advice = "When the cause is fixed, start it again; finished trainings and predictions are not repeated:"
    return "\n".join(["Look closer:", f"  {look}", *page, "", advice, f"  {again}"])


# The job's log


def last_lines(job: Job) -> list[str]:
    """The last lines of a job's log, from all instances in chronological order."""
    group = LOGS[job.kind]
    try:
        found = client("logs").describe_log_streams(
            logGroupName=group, logStreamNamePrefix=f"{job.name}/", limit=INSTANCES
        )
    except client("logs").exceptions.ResourceNotFoundException:
        return []  # no job of this kind has written a log yet
    streams = [stream["logStreamName"] for stream in found["logStreams"]]
    lines: list[tuple[int, str]] = []
    for stream in streams:
        instance = f"{stream.partition('/')[2].rpartition('-')[0]}: " if len(streams) > 1 else ""
        lines += [(time, instance + line) for time, line in end_of(group, stream)]
    return [line for _, line in sorted(lines, key=lambda one: one[0])[-LINES:]]


def end_of(group: str, stream: str) -> Iterator[tuple[int, str]]:
    """[logs] A page may be empty even if there are earlier lines; at the beginning, the token stays the same."""
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    for _ in range(5):
        page = client("logs").get_log_events(
            logGroupName=group, logStreamName=stream, startFromHead=False, limit=LINES, **token
        )
        found = page["events"] + found
        earlier = {"nextToken": page["nextBackwardToken"]}
        if len(found) >= LINES or earlier == token:
            break
        token = earlier
    for event in found[-LINES:]:
        visible = event["message"].rstrip("\r\n").rpartition("\r")[2]  # a progress bar overwrites its line
        yield event["timestamp"], cut(clean(visible).rstrip(), LINE)


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
