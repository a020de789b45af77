"""S3's events: what they say, and that each upload has exactly one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.moto_api._internal.models import moto_api_backend
from moto.s3 import notifications
from moto.s3.models import S3Backend

from localaws.notifications import eventbridge, s3_events

BUCKET, REGION = "penguins-raw", "ap-northeast-1"
FUNCTION = f"arn:aws:lambda:{REGION}:123456789012:function:penguins-start"
TRUST = '{"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}]}'
MIB = 1024 * 1024


class Told:
    """What the function would get."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, arn: str, event: dict[str, Any]) -> None:
        assert arn == FUNCTION
        self.events.append(json.loads(json.dumps(event)))

    @property
    def records(self) -> list[dict[str, Any]]:
        return [record for event in self.events for record in event["Records"]]

    @property
    def kinds(self) -> list[str]:
        return [record["eventName"] for record in self.records]

    @property
    def things(self) -> list[dict[str, Any]]:
        return [record["s3"]["object"] for record in self.records]


@pytest.fixture(scope="module", autouse=True)
def moto() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "testing")
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        yield


@pytest.fixture
def told() -> Iterator[Told]:
    receiver = Told()
    patches = s3_events.install(receiver)
    yield receiver
    patches.undo()


@pytest.fixture
def s3(told: Told) -> Any:
    moto_api_backend.reset()
    role = boto3.client("iam").create_role(RoleName="start", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    code = {"ZipFile": b"never run"}
    boto3.client("lambda").create_function(
        FunctionName="penguins-start", Runtime="python3.11", Role=role, Handler="main.handler", Code=code
    )
    permit(boto3.client("lambda"), "penguins-start")
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    notify(client, {"Events": ["s3:ObjectCreated:*"], "Filter": suffix(".run")})
    return client


def permit(client: Any, function: str, **changed: str) -> None:
    source = {"SourceAccount": "123456789012", "SourceArn": f"arn:aws:s3:::{BUCKET}"}
    told = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    client.add_permission(FunctionName=function, **{**told, **source, **changed})


def suffix(text: str) -> dict[str, Any]:
    return {"Key": {"FilterRules": [{"Name": "suffix", "Value": text}]}}


def notify(client: Any, *functions: dict[str, Any], **others: Any) -> None:
    configured = [{"Id": "run", "LambdaFunctionArn": FUNCTION, **function} for function in functions]
    client.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"LambdaFunctionConfigurations": configured, **others}
    )


def in_parts(client: Any, key: str) -> None:
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key, Tagging="a=b")["UploadId"]
    parts = []
    for number, size in ((1, 5 * MIB), (2, 10)):
        answer = client.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=b"x" * size)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    client.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


def test_an_upload_has_one_event_that_says_what_aws_says(s3: Any, told: Told) -> None:
    answer = s3.put_object(Bucket=BUCKET, Key="june/go.run", Body=b"note: x")
    (record,) = told.records
    assert record["eventVersion"] == "2.1" and record["eventSource"] == "aws:s3"
    assert record["awsRegion"] == REGION and record["eventName"] == "ObjectCreated:Put"
    assert len(record["eventTime"]) == len("2025-01-31T12:00:00.000Z") and record["eventTime"].endswith("Z")
    assert record["s3"]["configurationId"] == "run"
    assert record["s3"]["bucket"]["name"] == BUCKET and record["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{BUCKET}"
    (thing,) = told.things
    assert thing["key"] == "june/go.run" and thing["size"] == 7 and f'"{thing["eTag"]}"' == answer["ETag"]
    assert int(thing["sequencer"], 16) > 0 and len(thing["sequencer"]) >= 16
    assert "versionId" not in thing


@pytest.mark.parametrize("key", ["a b/c+d.run", "日本/ü&=?#%2F.run", "'\"\\.run", "🐧.run", "-_.~!*().run"])
def test_the_key_is_encoded_as_aws_does_and_its_slashes_stay(s3: Any, told: Told, key: str) -> None:
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    (thing,) = told.things
    assert unquote_plus(thing["key"]) == key
    assert thing["key"].count("/") == key.count("/") and thing["key"].isascii() and " " not in thing["key"]


def test_a_version_is_named_where_the_bucket_keeps_versions(s3: Any, told: Told) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    answers = [s3.put_object(Bucket=BUCKET, Key="go.run", Body=b"") for _ in range(2)]
    assert [thing["versionId"] for thing in told.things] == [answer["VersionId"] for answer in answers]


def test_a_multipart_upload_has_one_event(s3: Any, told: Told) -> None:
    notify(s3, {"Events": ["s3:ObjectCreated:*", "s3:ObjectTagging:*"]})
    in_parts(s3, "big.run")
    assert told.kinds == ["ObjectCreated:CompleteMultipartUpload"]
    assert told.things[0]["size"] == 5 * MIB + 10


def test_an_upload_after_a_multipart_upload_has_its_event_again(s3: Any, told: Told) -> None:
    in_parts(s3, "big.run")
    s3.put_object(Bucket=BUCKET, Key="go.run", Body=b"")
    assert told.kinds == ["ObjectCreated:CompleteMultipartUpload", "ObjectCreated:Put"]


def test_a_failed_multipart_upload_silences_no_later_upload(s3: Any, told: Told) -> None:
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="a.run")["UploadId"]
    missing = {"Parts": [{"PartNumber": 1, "ETag": "x"}]}
    with pytest.raises(s3.exceptions.ClientError, match="InvalidPart"):
        s3.complete_multipart_upload(Bucket=BUCKET, Key="a.run", UploadId=upload, MultipartUpload=missing)
    s3.put_object(Bucket=BUCKET, Key="go.run", Body=b"")
    assert told.kinds == ["ObjectCreated:Put"]


def test_a_copy_has_one_event(s3: Any, told: Told) -> None:
    s3.put_object(Bucket=BUCKET, Key="go.txt", Body=b"")
    s3.copy_object(Bucket=BUCKET, Key="go.run", CopySource={"Bucket": BUCKET, "Key": "go.txt"})
    assert told.kinds == ["ObjectCreated:Copy"]


def test_only_what_the_bucket_s_notification_asks_for_is_told(s3: Any, told: Told) -> None:
    for key in ("go.run.csv", "run", "go.RUN"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    s3.put_object(Bucket=BUCKET, Key="go.run", Body=b"")
    s3.delete_object(Bucket=BUCKET, Key="go.run")
    assert told.kinds == ["ObjectCreated:Put"]


def test_a_removal_is_told_where_it_is_asked_for_without_a_size(s3: Any, told: Told) -> None:
    notify(s3, {"Events": ["s3:ObjectRemoved:*"]})
    s3.put_object(Bucket=BUCKET, Key="go.run", Body=b"")
    s3.delete_object(Bucket=BUCKET, Key="go.run")
    assert told.kinds == ["ObjectRemoved:Delete"]
    assert told.things[0].keys() == {"key", "sequencer"}


def test_a_bucket_without_notifications_tells_nothing(s3: Any, told: Told) -> None:
    notify(s3)
    s3.put_object(Bucket=BUCKET, Key="go.run", Body=b"")
    assert told.events == []


@pytest.mark.parametrize("arn", [f"{FUNCTION}-gone", f"{FUNCTION}:gone", FUNCTION.rpartition(":")[0]])
def test_a_notification_for_a_function_that_is_not_there_is_refused(s3: Any, told: Told, arn: str) -> None:
    with pytest.raises(s3.exceptions.ClientError, match="Unable to validate the following destination"):
        notify(s3, {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]})
    s3.put_object(Bucket=BUCKET, Key="go.run", Body=b"")
    assert len(told.events) == 1, "the configuration of before still counts"


def test_a_bucket_that_shall_notify_a_queue_is_refused(s3: Any) -> None:
    queue = {"QueueArn": f"arn:aws:sqs:{REGION}:123456789012:uploads", "Events": ["s3:ObjectCreated:*"]}
    with pytest.raises(ClientError, match="Locally, buckets notify only functions"):
        notify(s3, QueueConfigurations=[queue])


OTHERS = [
    {"Principal": "sns.amazonaws.com"},
    {"Action": "lambda:GetFunction"},
    {"SourceAccount": "111122223333"},
    {"SourceArn": "arn:aws:s3:::another"},
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: next(iter(other)))
def test_a_function_that_s3_may_not_call_for_this_bucket_is_refused(s3: Any, other: dict[str, str]) -> None:
    client = boto3.client("lambda")
    client.remove_permission(FunctionName="penguins-start", StatementId="s3")
    permit(client, "penguins-start", **other)
    with pytest.raises(ClientError, match=r"InvalidArgument.*Unable to validate the following destination"):
        notify(s3, {"Events": ["s3:ObjectCreated:*"]})


def test_a_function_whose_permission_was_taken_away_hears_of_nothing(s3: Any, told: Told) -> None:
    boto3.client("lambda").remove_permission(FunctionName="penguins-start", StatementId="s3")
    s3.put_object(Bucket=BUCKET, Key="go.run", Body=b"")
    assert told.events == []


def test_a_bucket_s_rule_gets_one_event_for_each_upload_with_the_key_as_it_is(s3: Any, told: Told) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    notify(s3, EventBridgeConfiguration={})
    heard: list[Any] = []
    patches = eventbridge.install(lambda arn, event: heard.append(event))
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [BUCKET]}, "object": {"key": [{"suffix": ".run"}]}}}
    events = boto3.client("events")
    rule = events.put_rule(Name="uploaded", EventPattern=json.dumps(pattern))["RuleArn"]
    events.put_targets(Rule="uploaded", Targets=[{"Id": "start", "Arn": FUNCTION}])
    permit(boto3.client("lambda"), "penguins-start", StatementId="r", Principal="events.amazonaws.com", SourceArn=rule)
    answer = s3.put_object(Bucket=BUCKET, Key="a b/50%.run", Body=b"x")
    s3.put_object(Bucket=BUCKET, Key="a b/houses.csv", Body=b"x")
    in_parts(s3, "large.run")
    s3.delete_object(Bucket=BUCKET, Key="large.run")
    patches.undo()
    put, parts = heard
    assert (put["detail-type"], put["source"], put["region"]) == ("Object Created", "aws.s3", REGION)
    thing = put["detail"]["object"]
    assert (thing["key"], thing["size"], thing["version-id"]) == ("a b/50%.run", 1, answer["VersionId"])
    assert f'"{thing["etag"]}"' == answer["ETag"]
    assert put["detail"]["reason"] == "PutObject" and parts["detail"]["reason"] == "CompleteMultipartUpload"
    assert thing["sequencer"] < parts["detail"]["object"]["sequencer"] and told.events == []


def test_sequencers_grow_with_each_upload_even_when_the_clock_stands_still_or_goes_back() -> None:
    times = iter([100, 100, 50, 101, 2**70])
    sequencer = s3_events.Sequencer(lambda: next(times))
    given = [sequencer.next() for _ in range(5)]
    assert given == sorted(given) and len(set(given)) == 5
    assert all(len(text) >= 16 and int(text, 16) for text in given)


def test_uploads_at_the_same_time_have_different_sequencers(s3: Any, told: Told) -> None:
    # Keys of their own: moto by itself may close the content of one while another thread overwrites it.
    uploads = [{"Bucket": BUCKET, "Key": f"{number}/go.run"} for number in range(16)]
    threads = [threading.Thread(target=s3.put_object, kwargs=upload) for upload in uploads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({thing["sequencer"] for thing in told.things}) == len(told.events) == 16


def test_after_undo_moto_is_as_it_was() -> None:
    names = ("complete_multipart_upload", "put_bucket_notification_configuration")
    before = [notifications.send_event, *(vars(S3Backend)[name] for name in names)]
    s3_events.install(Told()).undo()
    assert [notifications.send_event, *(vars(S3Backend)[name] for name in names)] == before
