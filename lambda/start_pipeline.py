"""Starts an execution of the state machine for each .run file uploaded to the raw bucket.

Its events come from EventBridge; notifications of S3 itself, with their list of Records, are accepted too.

Environment: RAW_BUCKET, the bucket; STATE_MACHINE_ARN, the state machine or its alias; REFUSED, the reason if the
config's max_cost allows no run; ESTIMATE, what a run may cost, for its first mail.

An execution's name and token depend only on the upload, so an upload starts exactly one execution, regardless of how
often and in which order S3 delivers its event (docs/decisions/0031). A bad record does not stop the others; the
invocation fails afterwards, so Lambda retries it, and finally puts the event into the dead-letter queue. Every record
writes one line of JSON to the log.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import unicodedata
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

SUFFIX = ".run"
FILE_BYTES = 4096
NOTE_CHARACTERS = 500
SUFFIXES = (3, 8, 20)  # characters of the token in a name: the first that no other upload of the day has taken
# Control characters, line and paragraph separators, and bidirectional control characters.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
QUICK = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4})


class Refused(Exception):
    """The record or its file is invalid; the message says why, and what is expected."""


def handler(event: Any, context: Any) -> dict[str, int]:
    """Process all records of the event, then fail if any of them failed."""
    if isinstance(event, dict) and event.get("Event") == "s3:TestEvent":
        log("ignored", reason="a test event, which S3 sends when notifications are set up")
        return {"started": 0, "ignored": 1}
    by_rule = isinstance(event, dict) and event.get("detail-type") == "Object Created"
    records = [event] if by_rule else event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        log("failed", reason="the event has no list of Records (expected: an event of S3)")
        raise Refused("The event has no list of Records (expected: an event of S3).")
    outcomes = [outcome_of(record) for record in records]
    failed = outcomes.count("failed")
    if failed:
        raise Refused(f"{failed} of {len(outcomes)} records failed; each has a line in the log.")
    return {"started": outcomes.count("started"), "ignored": outcomes.count("ignored")}


def outcome_of(record: Any) -> str:
    """Process a record; return started, ignored or failed. The log says why."""
    place: dict[str, Any] = {}
    try:
        if not isinstance(record, dict):
            raise Refused("the record is not an object (expected: an event of S3)")
        if "detail-type" in record:
            record = notified(record)
        check_version(text_at(record, "eventVersion"), "2")
        kind = text_at(record, "eventName")
        place["bucket"] = text_at(record, "s3", "bucket", "name")
        place["key"] = key = decoded(text_at(record, "s3", "object", "key"))
        reason = why_ignored(text_at(record, "eventSource"), kind, place["bucket"], key)
        if reason:
            log("ignored", reason=reason, **place)
            return "ignored"
        if UNSEEN.search(key):
            raise Refused("the key has a control character (expected: a key that a mail can show; rename the file)")
        day, token = day_of(record), token_of(record, place["bucket"], key)
        given = {**execution_input(record, place["bucket"], key), "token": token}
        if refused := os.environ.get("REFUSED"):
            raise Refused(refused)
        place["execution"], fresh = start(day, token, given)
        log("started", **place, **({} if fresh else {"reason": "this upload's execution already exists"}))
        return "started"
    except Exception as error:  # no error in one record may block the others
        log("failed", reason=f"{error}" if isinstance(error, Refused) else f"{type(error).__name__}: {error}", **place)
        return "failed"


def notified(event: dict[str, Any]) -> dict[str, Any]:
    """EventBridge's event of an upload as a record of S3's own notification, which encodes the key."""
    key = text_at(event, "detail", "object", "key")
    check_version(event["detail"].get("event-version", "1.0"), "1")  # [s3] early events have none
    names = {"sequencer": "sequencer", "size": "size", "etag": "eTag", "version-id": "versionId"}
    found = {names[name]: value for name, value in event["detail"]["object"].items() if name in names}
    return {
        "eventVersion": "2.1",
        "eventSource": text_at(event, "source").replace("aws.", "aws:"),
        "eventTime": text_at(event, "time"),
        "eventName": f"ObjectCreated:{text_at(event, 'detail', 'reason')}",
        "s3": {"bucket": event["detail"].get("bucket"), "object": {**found, "key": quote_plus(key, safe="/")}},
    }


def check_version(version: Any, major: str) -> None:
    """[s3] A new major version may change the meaning of names; a minor one only adds names."""
    if str(version).partition(".")[0] != major:
        raise Refused(f"the event has version {shown(version)} (expected: {major}.x; update stepgluon and deploy it)")


def why_ignored(source: str, kind: str, bucket: str, key: str) -> str:
    if source != "aws:s3" or not kind.startswith("ObjectCreated:"):
        return f"not an upload but {kind} of {source}"
    if bucket != os.environ["RAW_BUCKET"]:
        return f"not in the bucket {os.environ['RAW_BUCKET']}"
    return "" if key.endswith(SUFFIX) else f"the key does not end with {SUFFIX}"


def start(day: str, token: str, given: dict[str, Any]) -> tuple[str, bool]:
    """Start the execution, unless the upload has one; return its name, and whether this call started it."""
    machine = os.environ["STATE_MACHINE_ARN"].split(":")[6]
    for length in SUFFIXES:
        name = f"{machine}-{day}-{token[:length]}"
        if started(name, given):
            return name, True
        if token_at(name) == token:
            return name, False
    raise Refused(f"{name} is the name of another upload's execution (start a run: upload the file again)")


def started(name: str, given: dict[str, Any]) -> bool:
    """Whether Step Functions accepts the name: it is free, or runs with exactly this input."""
    try:
        client("stepfunctions").start_execution(
            stateMachineArn=os.environ["STATE_MACHINE_ARN"], name=name, input=json.dumps(given)
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
            raise
        return False
    return True


def token_at(name: str) -> Any:
    """The token of the execution with this name; None if it was started by hand."""
    machine = ":".join(os.environ["STATE_MACHINE_ARN"].split(":")[:7])
    arn = f"{machine.replace(':stateMachine:', ':execution:', 1)}:{name}"
    given = json.loads(client("stepfunctions").describe_execution(executionArn=arn).get("input") or "null")
    return given.get("token") if isinstance(given, dict) else None


def day_of(record: dict[str, Any]) -> str:
    """The upload's day, like 250131."""
    time = re.match(r"\d\d(\d\d)-(\d\d)-(\d\d)T\d\d:\d\d:\d\d", text_at(record, "eventTime"), re.ASCII)
    if not time:
        raise Refused("eventTime is not a time (expected: like 2025-01-31T12:00:00.000Z)")
    return "".join(time.groups())


def token_of(record: dict[str, Any], bucket: str, key: str) -> str:
    """A hash that is unique to the upload."""
    what = version(record).get("VersionId") or text_at(record, "s3", "object", "eTag")
    # [s3] Sequencers are compared after padding the shorter one with zeros on the right.
    unique = json.dumps([bucket, key, what, text_at(record, "s3", "object", "sequencer").upper().rstrip("0")])
    return hashlib.sha256(unique.encode()).hexdigest()[: SUFFIXES[-1]]


def execution_input(record: dict[str, Any], bucket: str, key: str) -> dict[str, Any]:
    settings = parsed(run_file(record, bucket, key))
    overrides = {"threshold": settings["threshold"]} if "threshold" in settings else {}
    folder = "".join(key.rpartition("/")[:2])
    return {
        "data": f"s3://{bucket}/{folder}",
        "note": one_line(settings.get("note", "")),
        **({"estimate": estimate} if (estimate := os.environ.get("ESTIMATE")) else {}),
        "overrides": overrides,
        **({"fresh": True} if settings.get("fresh") else {}),
        "run_file": f"s3://{bucket}/{key}",
    }


# The .run file


def run_file(record: dict[str, Any], bucket: str, key: str) -> bytes:
    """The content of exactly the event's upload, never of a later one."""
    size = record["s3"]["object"].get("size")
    if size == 0:
        return b""  # nothing to read, and one less call that may fail
    if isinstance(size, int) and size > FILE_BYTES:
        raise Refused(f"the file has {size} bytes (expected: at most {FILE_BYTES})")
    which = version(record) or {"IfMatch": text_at(record, "s3", "object", "eTag")}
    try:
        body = client("s3").get_object(Bucket=bucket, Key=key, **which)["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion", "PreconditionFailed", "412", "404"):
            raise Refused("the file was deleted or replaced before it could be read (upload it again)") from error
        raise
    content: bytes = body.read(FILE_BYTES + 1)
    if len(content) > FILE_BYTES:
        raise Refused(f"the file has more than {FILE_BYTES} bytes (expected: at most {FILE_BYTES})")
    return content


def parsed(content: bytes) -> dict[str, Any]:
    """The note and threshold, if given: from a JSON object, or from lines of `key: value`."""
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise Refused("the file is not UTF-8 text (expected: nothing, `key: value` lines or a JSON object)") from None
    settings = from_json(text) if text.startswith("{") else from_lines(text)
    unknown = sorted(settings.keys() - {"note", "threshold", "fresh"})
    if unknown:
        raise Refused(f"{shown(unknown[0])} is not a key of a .run file (expected: note, threshold or fresh)")
    if not isinstance(settings.get("note", ""), str):
        raise Refused("note is not text (expected: text in quotes)")
    if not isinstance(settings.get("fresh", False), bool):
        raise Refused(f"fresh is {shown(settings['fresh'])} (expected: true or false)")
    if "threshold" in settings:
        check_threshold(settings["threshold"])
    return settings


def check_threshold(threshold: Any) -> None:
    number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    if not number or not 0 < threshold < 1e300:  # no model errs by more, and floats end soon after; also refuses NaN
        raise Refused(f"threshold is {shown(threshold)} (expected: a number above 0 and below 1e300, like 400)")


def from_json(text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text, object_pairs_hook=without_duplicates)
    except json.JSONDecodeError as error:
        raise Refused(f"line {error.lineno} is not JSON: {error.msg} (expected: one JSON object)") from None
    except RecursionError:
        raise Refused('the JSON is nested too deeply (expected: like {"note": "text", "threshold": 400})') from None
    return dict(settings)  # the text starts with {, so this is an object


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    settings = dict(pairs)
    if len(settings) < len(pairs):
        raise Refused("a key stands twice in the JSON (expected: each key once)")
    return settings


def from_lines(text: str) -> dict[str, Any]:
    """A subset of YAML: comments, and `key: value` with plain or quoted values on one line."""
    settings: dict[str, Any] = {}
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z_]+)[ ]*:(?:[ ]+(.*))?", line)
        if not match:
            raise Refused(f"line {number} is {shown(line)} (expected: `note: text`, `threshold: 400` or a JSON object)")
        key, value = match[1], (match[2] or "").strip()
        if key in settings:
            raise Refused(f"{key} stands twice in the file, the second time in line {number} (expected: each key once)")
        settings[key] = scalar(value, key, number)
    return settings


def scalar(value: str, key: str, number: int) -> Any:
    quoted = re.fullmatch(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')(?:[ \t]+#.*)?""", value)
    if quoted:
        inner = quoted[1]
        try:
            return inner[1:-1].replace("''", "'") if inner[0] == "'" else json.loads(inner, strict=False)
        except json.JSONDecodeError:
            raise Refused(f"line {number}: {key} has an escape that is not understood (expected: as in JSON)") from None
    plain = re.split(r"(?:^|[ \t])#", value, maxsplit=1)[0].strip()
    # Do not guess at anything that YAML would read as more than plain text.
    if re.match(r"""[\[\]{}&*!|>%@`"',]|[-?:](?:\s|$)""", plain) or re.search(r":(?:\s|$)", plain):
        raise Refused(f"line {number}: {key} is {shown(plain)} (expected: one line of text; put it in quotes)")
    if key == "fresh" and plain in ("true", "false"):
        return plain == "true"
    if key == "threshold" and re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", plain, re.ASCII):
        return float(plain) if re.search(r"[.eE]", plain) else int(plain)
    return plain


def one_line(note: str) -> str:
    """The note for a mail: one line, nothing invisible, limited length."""
    spaced = "".join(" " if character.isspace() else character for character in note)
    visible = "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    line = " ".join(visible.split())
    return line if len(line) <= NOTE_CHARACTERS else line[: NOTE_CHARACTERS - 1] + "…"


# Small parts


def text_at(record: Any, *path: str) -> str:
    for key in path:
        record = record.get(key) if isinstance(record, dict) else None
    if not isinstance(record, str) or not record:
        raise Refused(f"the record has no {'.'.join(path)} (expected: an event of S3)")
    return record


def version(record: dict[str, Any]) -> dict[str, str]:
    """The object's version, if the bucket has versioning."""
    given = record["s3"]["object"].get("versionId")
    return {"VersionId": given} if given else {}


def decoded(key: str) -> str:
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        raise Refused("the key is not UTF-8 (expected: a key as S3 encodes it)") from None


def shown(value: Any) -> str:
    """An untrusted value in a form that is safe for a message."""
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text if len(text) <= 60 else text[:59] + "…", ensure_ascii=False)


def log(outcome: str, **more: Any) -> None:
    print(json.dumps({"outcome": outcome, **more}), flush=True)


@functools.cache
def client(service: str) -> Any:
    return boto3.client(service, config=QUICK)
