"""A pipeline deployed to its local AWS: what `run --local` and `local up` both stand on.

with deployed(loaded, definition, settings) as place:
    place.aws.client("s3"), place.stack.raw_bucket
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stepgluon import failure_rule
from stepgluon.config import LoadedConfig
from stepgluon.garbage import paused
from stepgluon.local import events, functions, mail, rules
from stepgluon.local.journal import Journal
from stepgluon.local.patching import Patches
from stepgluon.local.server import LocalAws, Settings
from stepgluon.local.stack import Stack, stand_up
from stepgluon.local.surroundings import harmless
from stepgluon.names import Names

TRIGGER = Path(__file__).parent.parent.parent / "lambda" / "start_pipeline.py"


@dataclass(frozen=True)
class Deployed:
    aws: LocalAws
    stack: Stack
    names: Names
    journal: Journal
    functions: functions.Functions
    work: Path

    @property
    def outbox(self) -> Path:
        return self.work / "outbox"


@contextmanager
def deployed(loaded: LoadedConfig, definition: str, settings: Settings) -> Iterator[Deployed]:
    """The local AWS with the pipeline in it, until the end of the block; then nothing of it runs any more."""
    with ExitStack() as ending:
        with paused():  # thousands of modules' objects that all live on
            aws = ending.enter_context(LocalAws(settings))
            names, journal = Names(loaded.config), Journal(aws.objects)
            lambdas = _install(aws, names, journal, ending)
            stack = stand_up(loaded, definition, aws)
            place = Deployed(aws, stack, names, journal, lambdas, settings.work)
            _deploy_failure_rule(place)
            _deploy_trigger(place)
        ending.callback(end_executions, place)
        yield place


def _install(aws: LocalAws, names: Names, journal: Journal, ending: ExitStack) -> functions.Functions:
    settings = aws.settings
    guard = aws.sagemaker.workshop.guard
    account = functions.Account(
        settings.account,
        settings.region,
        harmless(settings.account, settings.region, aws.endpoint),
        settings.work / "functions",
    )
    lambdas = functions.Functions(account, settings.waiting, guard.began, guard.ended)
    ending.callback(lambdas.close)

    def in_place(patches: Patches) -> None:
        ending.callback(patches.undo)

    in_place(lambdas.install())
    in_place(events.install(lambdas.send))
    in_place(mail.install(mail.Outbox(settings.work / "outbox", once=once(journal, names))))
    in_place(rules.install())
    in_place(journal.install())
    return lambdas


def once(journal: Journal, names: Names) -> mail.Once:
    """What a mail tells of a run, whatever its short id: a run that goes on after it was cut off says nothing twice."""

    def told(subject: str, text: str) -> str:
        found = re.search(r"\brun (\S+) of the pipeline\b", text, re.IGNORECASE)
        if not found or not journal.knows(names.arn("states", f"execution:{names.machine}:{found[1]}")):
            return ""
        return f"{found[1]} {subject.rpartition(': ')[2]}"

    return told


def _deploy_failure_rule(place: Deployed) -> None:
    """The mail of runs that end where no Catch reaches: stopped by hand, too long for the machine, States.Runtime."""
    client, rule = place.aws.client("events"), f"{place.names.prefix}-failed"
    client.put_rule(Name=rule, EventPattern=json.dumps(failure_rule.event_pattern(place.names)))
    transformer = failure_rule.input_transformer(place.names)
    target = {"Id": "mail", "Arn": place.stack.topic_arn, "InputTransformer": transformer}
    client.put_targets(Rule=rule, Targets=[target])


def _deploy_trigger(place: Deployed) -> None:
    """The function of lambda/, what it may lose, and the bucket's notification."""
    names, client = place.names, place.aws.client("lambda")
    queue = place.aws.client("sqs").create_queue(QueueName=f"{names.prefix}-start-failed")["QueueUrl"]
    dead = place.aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    function = client.create_function(
        FunctionName=f"{names.prefix}-start",
        Runtime=f"python3.{sys.version_info.minor}",
        Role=f"arn:{names.partition.name}:iam::{names.config.account}:role/{names.role('machine')}",
        Handler=f"{TRIGGER.stem}.handler",
        Code={"ZipFile": zipped(TRIGGER)},
        Timeout=60,
        Environment={"Variables": {"RAW_BUCKET": place.stack.raw_bucket, "STATE_MACHINE_ARN": place.stack.machine_arn}},
        DeadLetterConfig={"TargetArn": dead["Attributes"]["QueueArn"]},
    )
    suffix = {"Key": {"FilterRules": [{"Name": "suffix", "Value": ".run"}]}}
    notification = {"LambdaFunctionArn": function["FunctionArn"], "Events": ["s3:ObjectCreated:*"], "Filter": suffix}
    place.aws.client("s3").put_bucket_notification_configuration(
        Bucket=place.stack.raw_bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [notification]}
    )
    # As S3 does when a notification is set up; so the function is warm when the first upload comes.
    place.functions.send(function["FunctionArn"], {"Event": "s3:TestEvent", "Bucket": place.stack.raw_bucket})


def zipped(script: Path) -> bytes:
    """A zip with the script in it; the same script gives the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(script.name), script.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def end_executions(place: Deployed) -> None:
    """What still runs when the server ends is stopped as StopExecution does it, before its jobs are."""
    running = place.journal.running()
    client = place.aws.client("stepfunctions")
    for arn in running:
        client.stop_execution(executionArn=arn, error="Stopped", cause="The local AWS was stopped.")
    for arn in running:
        place.journal.wait_for_end(arn, 5)
