"""Mails as files, and the events of executions that end."""

from __future__ import annotations

import email
import email.policy
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws
from moto.events.models import Rule
from moto.moto_api._internal.models import moto_api_backend
from moto.sns.models import SNSBackend, Topic
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication

from localaws.base.patches import Patches
from localaws.notifications import eventbridge, sns_mail
from localaws.notifications.sns_mail import Outbox
from localaws.stepfunctions import versions
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.names import Names
from stepgluon.selfcheck import integrations

NAMES = Names(
    PipelineConfig(
        name="penguins",
        account="123456789012",
        region="ap-northeast-1",
        notify=["ml-team@example.com"],
        models=[Model(name="adelie", label="body_mass_g", threshold=1)],
    )
)
REGION = NAMES.config.region
PATIENT = 300.0  # seconds that nothing here takes


@pytest.fixture(scope="module", autouse=True)
def moto() -> Iterator[None]:
    with (
        pytest.MonkeyPatch.context() as environment,
        mock_aws(config={"stepfunctions": {"execute_state_machine": True}}),
    ):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "testing")
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        yield


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    moto_api_backend.reset()
    box = Outbox(tmp_path / "outbox")
    patches = sns_mail.install(box)
    yield box
    patches.undo()


@pytest.fixture
def sns(outbox: Outbox) -> Any:
    client = boto3.client("sns")
    client.create_topic(Name=NAMES.topic)
    subscribe(client, "ml-team@example.com")
    return client


def subscribe(client: Any, address: str, **attributes: str) -> None:
    client.subscribe(TopicArn=NAMES.topic_arn, Protocol="email", Endpoint=address, Attributes=attributes)


def publish(client: Any, message: str, subject: str | None = None, **other: Any) -> None:
    client.publish(TopicArn=NAMES.topic_arn, Message=message, **({"Subject": subject} if subject else {}), **other)


def letters(box: Outbox) -> list[EmailMessage]:
    files = sorted(path for path in box.folder.iterdir())
    assert all(path.suffix == ".eml" for path in files)
    return [cast(EmailMessage, email.message_from_bytes(p.read_bytes(), policy=email.policy.default)) for p in files]


def texts(box: Outbox) -> list[str]:
    return [letter.get_content() for letter in letters(box)]


# Mails


def test_a_publish_becomes_one_mail_to_all_who_subscribed(sns: Any, outbox: Outbox) -> None:
    subscribe(sns, "second@example.com")
    publish(sns, "Run x has started.\n\nDaten: über 日本\n", "penguins abc: started")
    (letter,) = letters(outbox)
    assert letter["To"] == "ml-team@example.com, second@example.com"
    assert "no-reply@" in letter["From"] and letter["Subject"] == "penguins abc: started"
    assert letter["Message-ID"].startswith("<") and letter["Date"].datetime.tzinfo
    assert letter.get_content_type() == "text/plain" and letter.get_content_charset() == "utf-8"
    assert letter.get_content() == "Run x has started.\n\nDaten: über 日本\n"


def test_a_mail_can_be_read_as_it_lies_there(sns: Any, outbox: Outbox) -> None:
    publish(sns, "- adelie: accepted, error 312.5 für 日本")
    (path,) = outbox.folder.iterdir()
    assert "- adelie: accepted, error 312.5 für 日本\n" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text", ["x" * 5000, "日" * 400, "\n\n.\nFrom me\n..", " spaces \ttabs \n", "a\rb\r\nc", "=3D {} <run> $x %s"]
)
def test_any_text_comes_back_whole(sns: Any, outbox: Outbox, text: str) -> None:
    publish(sns, text)
    (found,) = texts(outbox)
    assert found.splitlines() == text.splitlines()


def test_a_mail_without_a_subject_has_sns_s_own(sns: Any, outbox: Outbox) -> None:
    publish(sns, "x")
    assert letters(outbox)[0]["Subject"] == "AWS Notification Message"


def test_nobody_subscribed_means_no_mail(outbox: Outbox) -> None:
    client = boto3.client("sns")
    client.create_topic(Name=NAMES.topic)
    publish(client, "x")
    assert letters(outbox) == []


def test_who_unsubscribed_or_has_another_topic_gets_none(sns: Any, outbox: Outbox) -> None:
    other = sns.create_topic(Name="other")["TopicArn"]
    sns.subscribe(TopicArn=other, Protocol="email", Endpoint="other@example.com")
    gone = sns.subscribe(TopicArn=NAMES.topic_arn, Protocol="email", Endpoint="gone@example.com")["SubscriptionArn"]
    sns.unsubscribe(SubscriptionArn=gone)
    publish(sns, "x")
    assert [letter["To"] for letter in letters(outbox)] == ["ml-team@example.com"]


def test_a_filter_policy_is_respected(sns: Any, outbox: Outbox) -> None:
    subscribe(sns, "picky@example.com", FilterPolicy=json.dumps({"kind": ["failed"]}))
    publish(sns, "x", MessageAttributes={"kind": {"DataType": "String", "StringValue": "started"}})
    publish(sns, "y", MessageAttributes={"kind": {"DataType": "String", "StringValue": "failed"}})
    assert [letter["To"].count("@") for letter in letters(outbox)] == [1, 2]


def test_a_message_for_each_protocol_gives_the_mail_s_own(sns: Any, outbox: Outbox) -> None:
    publish(sns, json.dumps({"default": "d", "email": "for mail"}), MessageStructure="json")
    assert texts(outbox) == ["for mail\n"]


def test_names_sort_by_time_even_when_the_clock_goes_back(tmp_path: Path) -> None:
    times = iter([datetime(2025, 1, 31, 12, 0, n, tzinfo=timezone.utc) for n in (5, 5, 3, 9)])
    box = Outbox(tmp_path, clock=lambda: next(times))
    for number in range(4):
        box.put(["a@example.com"], "b@example.com", f"{9 - number}", f"text {number}", f"id-{number}")
    assert texts(box) == [f"text {number}\n" for number in range(4)]


def test_mails_at_the_same_time_are_all_kept(sns: Any, outbox: Outbox) -> None:
    threads = [threading.Thread(target=publish, args=(sns, f"{n}")) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(text) for text in texts(outbox)) == list(range(24))


def test_what_was_told_already_is_not_told_again_also_by_a_later_process(tmp_path: Path) -> None:
    def first_line(subject: str, text: str) -> str:
        return text.partition("\n")[0]

    for process in range(2):
        box = Outbox(tmp_path, once=first_line)
        for text in ("Run x has started.\n1", "Run x has started.\n2", "Run y has started.\n3"):
            box.put(["a@example.com"], "b@example.com", "s", text, f"{process}-{text[-1]}")
    assert texts(Outbox(tmp_path)) == ["Run x has started.\n1\n", "Run y has started.\n3\n"]


def test_an_outbox_that_cannot_be_written_is_an_error_of_sns_and_leaves_no_half_mail(
    sns: Any, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Any, target: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sns_mail.os, "replace", full)
    with pytest.raises(sns.exceptions.InternalErrorException, match="No space left on device"):
        publish(sns, "x")
    assert list(outbox.folder.iterdir()) == []


# What AWS refuses


@pytest.mark.parametrize("subject", ["x" * 100, "two\nlines", "ü", " leading", "a\tb", "a\x7f"])
def test_a_subject_that_aws_refuses_is_refused(sns: Any, outbox: Outbox, subject: str) -> None:
    assert list(integrations.subject_problems(subject)), "the self-check refuses it as well"
    with pytest.raises(sns.exceptions.InvalidParameterException, match="Subject"):
        publish(sns, "x", subject)
    assert letters(outbox) == []


def test_the_longest_subject_is_taken(sns: Any, outbox: Outbox) -> None:
    assert not list(integrations.subject_problems("s" * 99))
    publish(sns, "x", "s" * 99)
    assert letters(outbox)[0]["Subject"] == "s" * 99


@pytest.mark.parametrize(("message", "why"), [("", "Empty message"), ("é" * (128 * 1024 + 1), "Message too long")])
def test_a_message_that_aws_refuses_is_refused(sns: Any, outbox: Outbox, message: str, why: str) -> None:
    with pytest.raises(sns.exceptions.InvalidParameterException, match=why):
        publish(sns, message)
    assert letters(outbox) == []


def test_a_topic_that_is_gone_is_not_found(sns: Any, outbox: Outbox) -> None:
    sns.delete_topic(TopicArn=NAMES.topic_arn)
    with pytest.raises(sns.exceptions.NotFoundException, match="Topic does not exist"):
        publish(sns, "x")


@pytest.mark.parametrize("address", ["nobody", "a@b, c@d", "a@b\nBcc: c@d", "@"])
def test_what_is_no_address_cannot_subscribe(sns: Any, outbox: Outbox, address: str) -> None:
    with pytest.raises(sns.exceptions.InvalidParameterException, match="Email address"):
        subscribe(sns, address)


# Events of executions that end


@pytest.fixture
def events() -> list[dict[str, Any]]:
    """What the function of the rule gets."""
    return []


@pytest.fixture
def machine(outbox: Outbox, events: list[dict[str, Any]]) -> Iterator[Any]:
    """Makes an execution of some states end, on a machine whose bad ends a rule passes to a function."""
    versioned = Patches()
    versions.install(versioned)
    patches = eventbridge.install(lambda arn, event: events.append(event))
    trust = '{"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}]}'
    role = boto3.client("iam").create_role(RoleName="tell", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    client, code = boto3.client("lambda"), {"ZipFile": b"never run"}
    client.create_function(FunctionName="tell", Runtime="python3.11", Role=role, Handler="main.handler", Code=code)
    client.add_permission(
        FunctionName="tell", StatementId="rule", Action="lambda:InvokeFunction", Principal="events.amazonaws.com"
    )
    deploy_rule()
    yield run_to_the_end
    patches.undo()
    versioned.undo()


def deploy_rule(**target: Any) -> None:
    client = boto3.client("events")
    pattern = {"source": ["aws.states"], "detail": {"status": ["FAILED", "TIMED_OUT", "ABORTED"]}}
    client.put_rule(Name="failed", EventPattern=json.dumps(pattern))
    arn = f"arn:aws:lambda:{REGION}:123456789012:function:tell"
    client.put_targets(Rule="failed", Targets=[{"Id": "tell", "Arn": arn, **target}])


def run_to_the_end(states: dict[str, Any], name: str = NAMES.machine, stop: bool = False, **top: Any) -> str:
    """The execution's status."""
    client = boto3.client("stepfunctions")
    definition = json.dumps({"StartAt": next(iter(states)), "States": states, **top})
    role = f"arn:aws:iam::{NAMES.config.account}:role/states"
    arn = client.create_state_machine(name=name, definition=definition, roleArn=role)["stateMachineArn"]
    with Ends() as ends:
        execution = client.start_execution(stateMachineArn=arn, name="go", input="{}")["executionArn"]
        if stop:
            while len(client.get_execution_history(executionArn=execution)["events"]) < 2:
                pass
            client.stop_execution(executionArn=execution)
        assert ends.event.wait(PATIENT)
    return str(client.describe_execution(executionArn=execution)["status"])


class Ends:
    """Says when an execution has ended and all has been told."""

    def __enter__(self) -> Ends:
        self.event = threading.Event()
        self.before = BaseExecutionWorkerCommunication.terminated

        def terminated(communication: Any) -> None:
            self.before(communication)
            self.event.set()

        BaseExecutionWorkerCommunication.terminated = terminated
        return self

    def __exit__(self, *error: object) -> None:
        BaseExecutionWorkerCommunication.terminated = self.before


def failed(**end: str) -> dict[str, Any]:
    return {"Failed": {"Type": "Fail", **end}}


WAIT = {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}


@pytest.mark.parametrize(
    ("status", "states", "more"),
    [
        ("TIMED_OUT", WAIT, {"TimeoutSeconds": 1}),
        ("ABORTED", WAIT, {"stop": True}),
        ("FAILED", failed(Error="x", Cause='no "data"'), {}),
    ],
)
def test_each_bad_end_is_one_event(machine: Any, events: Any, status: str, states: Any, more: Any) -> None:
    assert machine(states, **more) == status
    (event,) = events
    detail = event["detail"]
    assert (detail["status"], detail["name"], detail["redriveCount"]) == (status, "go", 0)
    assert detail["cause"] == states.get("Failed", {}).get("Cause")


def test_a_success_is_not_for_a_rule_of_bad_ends(machine: Any, events: Any) -> None:
    assert machine({"Done": {"Type": "Succeed"}}) == "SUCCEEDED"
    assert events == []


def test_a_disabled_rule_invokes_nothing(machine: Any, events: Any) -> None:
    boto3.client("events").disable_rule(Name="failed")
    assert machine(failed(Error="x", Cause="y")) == "FAILED"
    assert events == []


def test_an_event_whose_function_is_gone_is_kept_in_the_target_s_dead_letter_queue(machine: Any) -> None:
    queue = boto3.client("sqs").create_queue(QueueName="dead")["QueueUrl"]
    deploy_rule(DeadLetterConfig={"Arn": f"arn:aws:sqs:{REGION}:123456789012:dead"})
    boto3.client("lambda").delete_function(FunctionName="tell")
    assert machine(failed(Error="x", Cause="y")) == "FAILED"
    (letter,) = boto3.client("sqs").receive_message(QueueUrl=queue, MessageAttributeNames=["All"])["Messages"]
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "RESOURCE_NOT_FOUND"
    assert json.loads(letter["Body"])["detail"]["cause"] == "y"


def test_a_dead_letter_queue_that_is_gone_does_not_keep_a_run_from_ending(machine: Any) -> None:
    deploy_rule(DeadLetterConfig={"Arn": f"arn:aws:sqs:{REGION}:123456789012:gone"})
    boto3.client("lambda").delete_function(FunctionName="tell")
    assert machine(failed(Error="x", Cause="y")) == "FAILED"


def test_a_rule_for_a_queue_gets_the_event_as_before(machine: Any) -> None:
    queue = boto3.client("sqs").create_queue(QueueName="all")["QueueUrl"]
    client = boto3.client("events")
    client.put_rule(Name="all", EventPattern='{"source": ["aws.states"]}')
    client.put_targets(Rule="all", Targets=[{"Id": "1", "Arn": f"arn:aws:sqs:{REGION}:123456789012:all"}])
    assert machine({"Done": {"Type": "Succeed"}}) == "SUCCEEDED"
    (letter,) = boto3.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    detail = json.loads(letter["Body"])["detail"]
    assert detail["status"] == "SUCCEEDED" and detail["stopDate"] >= detail["startDate"] > 1e12


def test_after_undo_moto_is_as_it_was(tmp_path: Path) -> None:
    parts = [
        (SNSBackend, "publish"),
        (SNSBackend, "subscribe"),
        (Topic, "publish"),
        (BaseExecutionWorkerCommunication, "_reflect_execution_status"),
        (Rule, "send_to_targets"),
    ]
    before = [vars(owner)[name] for owner, name in parts]
    for patches in (sns_mail.install(Outbox(tmp_path)), eventbridge.install(print)):
        patches.undo()
    assert [vars(owner)[name] for owner, name in parts] == before
