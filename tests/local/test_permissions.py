"""What the deployed policies refuse in an account is refused here, and it is said which right is missing."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from local_aws import until
from whole import Ended, Whole, whole

from localaws.iam.required_rights import Right


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole(tmp_path_factory.mktemp("work")) as running:
        yield running


class Roles:
    """The deployed roles, as somebody changes them."""

    def __init__(self, pipeline: Whole) -> None:
        self.names, self.iam = pipeline.place.names, pipeline.place.aws.client("iam")

    def document(self, part: str) -> tuple[str, dict[str, Any]]:
        role = self.names.role(part)
        (name,) = self.iam.list_role_policies(RoleName=role)["PolicyNames"]
        return name, self.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]

    @contextmanager
    def without(self, part: str, sid: str) -> Iterator[None]:
        """With one statement of a role's policy taken out."""
        name, document = self.document(part)
        fewer = copy.deepcopy(document)
        fewer["Statement"] = [one for one in document["Statement"] if one["Sid"] != sid]
        assert len(fewer["Statement"]) == len(document["Statement"]) - 1
        self.put(part, name, fewer)
        try:
            yield
        finally:
            self.put(part, name, document)

    def put(self, part: str, name: str, document: dict[str, Any]) -> None:
        role = self.names.role(part)
        self.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    @contextmanager
    def within(self, part: str, *actions: str) -> Iterator[None]:
        """With a boundary that has all rights but these."""
        role, document = self.names.role(part), {"Effect": "Allow", "NotAction": list(actions), "Resource": "*"}
        text = json.dumps({"Version": "2012-10-17", "Statement": [document]})
        arn = self.iam.create_policy(PolicyName="narrow", PolicyDocument=text)["Policy"]["Arn"]
        self.iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=arn)
        try:
            yield
        finally:
            self.iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=self.names.boundary_arn)
            self.iam.delete_policy(PolicyArn=arn)


@pytest.fixture(scope="module")
def roles(pipeline: Whole) -> Roles:
    return Roles(pipeline)


def reason(ended: Ended) -> str:
    """What a run tells of its end: to who looks at it, and in its mails."""
    return json.dumps(ended.told, ensure_ascii=False) + "".join(text for _, text in ended.mails)


def client(pipeline: Whole, service: str, part: str) -> Any:
    """A client of somebody who has taken on a role of the pipeline."""
    place = pipeline.place
    taken = place.aws.client("sts").assume_role(RoleArn=place.names.role_arn(part), RoleSessionName="someone")
    known = taken["Credentials"]
    return boto3.client(
        service,
        region_name=place.names.config.region,
        endpoint_url=place.aws.endpoint,
        aws_access_key_id=known["AccessKeyId"],
        aws_secret_access_key=known["SecretAccessKey"],
        aws_session_token=known["SessionToken"],
    )


def test_with_the_deployed_policies_a_run_needs_nothing_that_it_may_not(pipeline: Whole) -> None:
    ended = pipeline.run()
    assert (ended.told["status"], ended.kinds) == ("SUCCEEDED", ["started", "models", "finished"])
    assert "not authorized" not in reason(ended)


@pytest.mark.parametrize(
    ("part", "sid", "missing"),
    [
        ("machine", "CreateTagged", "sagemaker:CreateProcessingJob"),
        ("machine", "TagOnlyWhenCreated", "sagemaker:AddTags"),
        ("machine", "FollowAndStopOwnJobs", "sagemaker:DescribeProcessingJob"),
        ("machine", "ReadJobsTags", "sagemaker:ListTags"),
        ("machine", "GiveJobsTheirRole", "iam:PassRole"),
        ("machine", "ReadMarkersScoresAndPromotedModels", "s3:GetObject"),
        ("machine", "WriteMarkersAndVerdicts", "s3:PutObject"),
        ("job", "ReadRawTables", "s3:GetObject"),
        ("job", "ReadRuns", "s3:GetObject"),
        ("job", "ListFolders", "s3:ListBucket"),
        ("job", "WriteRuns", "s3:PutObject"),
    ],
)
def test_without_a_statement_that_it_needs_a_run_fails_and_says_which_right_is_missing(
    pipeline: Whole, roles: Roles, part: str, sid: str, missing: str
) -> None:
    with roles.without(part, sid):
        ended = pipeline.run()
    assert ended.told["status"] == "FAILED"
    assert [kind for kind in ended.kinds if kind not in ("started", "models")] == ["failed"]
    assert missing in ended.mails[-1][1] or missing in reason(ended)
    assert missing in json.dumps(ended.told)


@pytest.mark.parametrize(
    ("part", "action"),
    [("machine", "sagemaker:CreateTrainingJob"), ("machine", "iam:PassRole"), ("job", "s3:PutObject")],
)
def test_a_boundary_that_lacks_a_right_takes_it_away(pipeline: Whole, roles: Roles, part: str, action: str) -> None:
    with roles.within(part, action):
        ended = pipeline.run()
    assert ended.told["status"] == "FAILED"
    assert f"because no permissions boundary allows the {action} action" in reason(ended)


def test_a_run_that_may_not_mail_goes_on_and_its_history_tells_why_nobody_heard(pipeline: Whole, roles: Roles) -> None:
    with roles.without("machine", "Mail"):
        ended = pipeline.ended(pipeline.upload(), holds=False)
    assert ended.told["status"] == "SUCCEEDED" and not ended.kinds
    history = (pipeline.place.work / "runs" / ended.name / "history.json").read_text()
    assert "SNS.AuthorizationErrorException" in history
    topic = pipeline.place.names.topic_arn
    assert f"is not authorized to perform: SNS:Publish on resource: {topic} because no identity-based" in history


def test_without_the_right_to_list_a_file_that_is_missing_is_a_file_that_is_forbidden(
    pipeline: Whole, roles: Roles
) -> None:
    reading = client(pipeline, "s3", "machine")
    asked = {"Bucket": pipeline.bucket, "Key": "models/nothing/metrics.json"}
    with pytest.raises(ClientError, match="NoSuchKey"):
        reading.get_object(**asked)
    with (
        roles.without("machine", "TellMissingFromForbidden"),
        pytest.raises(ClientError, match=r"AccessDenied.*s3:ListBucket on resource"),
    ):
        reading.get_object(**asked)


@pytest.mark.parametrize(
    ("sid", "missing"), [("ReadRunFiles", "s3:GetObjectVersion"), ("StartTheLiveVersion", "states:StartExecution")]
)
def test_a_function_that_lacks_a_right_fails_and_its_event_is_kept(
    pipeline: Whole, roles: Roles, sid: str, missing: str
) -> None:
    queue = pipeline.place.aws.client("sqs")
    url = queue.get_queue_url(QueueName=pipeline.place.names.queue)["QueueUrl"]
    with roles.without("trigger", sid):
        pipeline.s3.put_object(Bucket=pipeline.raw, Key=f"{sid}/go.run", Body=b"note: x")
        letter = until(lambda: queue.receive_message(QueueUrl=url).get("Messages"))[0]
    queue.delete_message(QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"])
    assert f"{sid}/go.run" in letter["Body"]
    assert f"is not authorized to perform: {missing}" in log(pipeline)


def test_an_event_that_the_function_may_not_keep_is_lost_and_its_log_says_so(pipeline: Whole, roles: Roles) -> None:
    with roles.without("trigger", "KeepWhatFailed"), roles.without("trigger", "ReadRunFiles"):
        pipeline.s3.put_object(Bucket=pipeline.raw, Key="lost/go.run", Body=b"note: x")
        until(lambda: "is lost: User: " in log(pipeline))
    assert "is not authorized to perform: sqs:SendMessage" in log(pipeline)


def log(pipeline: Whole) -> str:
    return (pipeline.place.work / "functions" / f"{pipeline.place.names.function}.log").read_text()


def test_a_machine_whose_role_may_not_hear_of_jobs_ends_cannot_be_changed(pipeline: Whole, roles: Roles) -> None:
    names = pipeline.place.names
    told = pipeline.machines.describe_state_machine(stateMachineArn=names.machine_arn)
    change = {"stateMachineArn": names.machine_arn, "definition": told["definition"], "roleArn": told["roleArn"]}
    said = r"is not authorized to create managed-rule.*events:PutRule"
    with roles.without("machine", "HearOfJobsEnds"), pytest.raises(ClientError, match=said):
        pipeline.machines.update_state_machine(**change)
    pipeline.machines.update_state_machine(**change)


def test_a_stopped_run_stops_no_job_that_it_may_not_stop(pipeline: Whole, roles: Roles) -> None:
    refused = pipeline.place.aws.permissions.refused
    job = pipeline.place.aws.sagemaker.jobs()[0]
    user = pipeline.place.aws.permissions.user(pipeline.place.names.role_arn("machine"))
    arn = job.arn
    right = Right("sagemaker:StopProcessingJob", arn, {"aws:ResourceTag/stepgluon": "penguins"})
    assert not refused(user, [right])
    assert "sagemaker:StopProcessingJob" in refused(user, [Right(right.action, arn, {})])


def test_a_machine_tags_no_job_that_is_there_already(pipeline: Whole) -> None:
    job, sagemaker = pipeline.place.aws.sagemaker.jobs()[0], client(pipeline, "sagemaker", "machine")
    tag = {"Key": "stepgluon", "Value": pipeline.place.names.prefix}
    assert tag in sagemaker.list_tags(ResourceArn=job.arn)["Tags"]
    with pytest.raises(ClientError, match=r"AccessDenied.*sagemaker:AddTags on resource"):
        sagemaker.add_tags(ResourceArn=job.arn, Tags=[tag])


def test_a_role_redrives_an_execution_only_with_the_right_to(pipeline: Whole, roles: Roles) -> None:
    states = client(pipeline, "stepfunctions", "tell")
    machine = pipeline.place.names.machine_arn
    ended = pipeline.machines.list_executions(stateMachineArn=machine, statusFilter="SUCCEEDED")["executions"][0]
    with pytest.raises(ClientError, match=r"AccessDenied.*states:RedriveExecution on resource"):
        states.redrive_execution(executionArn=ended["executionArn"])
    name, document = roles.document("tell")
    more = {"Sid": "Redrive", "Effect": "Allow", "Action": "states:RedriveExecution", "Resource": "*"}
    roles.put("tell", name, {**document, "Statement": [*document["Statement"], more]})
    try:
        with roles.within("tell", "s3:PutObject"), pytest.raises(ClientError, match="ExecutionNotRedrivable"):
            states.redrive_execution(executionArn=ended["executionArn"])
    finally:
        roles.put("tell", name, document)


# Who calls


def test_the_user_s_own_credentials_may_do_everything(pipeline: Whole) -> None:
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key="anywhere", Body=b"x")
    assert pipeline.text(pipeline.bucket, "anywhere") == "x"


def test_who_takes_on_a_role_is_told_apart_and_restricted_like_it(pipeline: Whole) -> None:
    arn = client(pipeline, "sts", "trigger").get_caller_identity()["Arn"]
    assert arn.endswith(f":assumed-role/{pipeline.place.names.role('trigger')}/someone")
    with pytest.raises(ClientError) as refused:
        client(pipeline, "s3", "trigger").put_object(Bucket=pipeline.raw, Key="a.run", Body=b"")
    error = refused.value.response["Error"]
    assert error["Code"] == "AccessDenied"
    assert error["Message"] == (
        f"User: {arn} is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::{pipeline.raw}/a.run "
        "because no identity-based policy allows the s3:PutObject action"
    )


@pytest.mark.parametrize(
    ("service", "code", "call"),
    [
        ("sns", "AuthorizationError", lambda it, n: it.publish(TopicArn=n.topic_arn, Message="x")),
        ("sqs", "AccessDenied", lambda it, n: it.receive_message(QueueUrl=f"http://127.0.0.1/1/{n.queue}")),
        ("stepfunctions", "AccessDeniedException", lambda it, n: it.start_execution(stateMachineArn=n.machine_arn)),
        ("s3", "AccessDenied", lambda it, n: it.list_objects_v2(Bucket=n.raw_bucket)),
        ("s3", "403", lambda it, n: it.head_object(Bucket=n.work_bucket, Key="promoted.json")),
        ("s3", "AccessDenied", lambda it, n: it.get_object(Bucket=n.work_bucket, Key="promoted.json")),
        ("s3", "AccessDenied", lambda it, n: it.delete_object(Bucket=n.work_bucket, Key="promoted.json")),
        ("s3", "AccessDenied", lambda it, n: it.create_multipart_upload(Bucket=n.work_bucket, Key="x")),
        ("s3", "AccessDenied", lambda it, n: it.copy_object(Bucket=n.work_bucket, Key="x", CopySource="y/z")),
        ("sagemaker", "AccessDeniedException", lambda it, n: it.list_training_jobs()),
        ("iam", "AccessDenied", lambda it, n: it.list_roles()),
        ("sts", "AccessDenied", lambda it, n: it.assume_role(RoleArn=n.role_arn("job"), RoleSessionName="xx")),
        ("dynamodb", "AccessDeniedException", lambda it, n: it.list_tables()),
        ("lambda", "AccessDeniedException", lambda it, n: it.list_functions()),
        ("s3", "AccessDenied", lambda it, n: it.get_bucket_policy(Bucket=n.raw_bucket)),
        ("s3", "AccessDenied", lambda it, n: it.get_object_tagging(Bucket=n.raw_bucket, Key="x.run")),
    ],
)
def test_each_service_refuses_in_its_own_words_what_a_role_may_not(
    pipeline: Whole, roles: Roles, service: str, code: str, call: Any
) -> None:
    part = "trigger"
    with roles.without(part, "TellMissingFromForbidden"), pytest.raises(ClientError) as refused:
        call(client(pipeline, service, part), pipeline.place.names)
    assert refused.value.response["Error"]["Code"] == code
    assert code == "403" or "is not authorized to perform: " in str(refused.value)


def test_what_nobody_wrote_down_is_refused_to_roles_and_the_sentence_says_what_to_do(pipeline: Whole) -> None:
    with pytest.raises(ClientError, match=r"dynamodb:ListTables: the local AWS does not know .*required_rights\.py"):
        client(pipeline, "dynamodb", "machine").list_tables()


# Services in their own name


def test_a_service_may_mail_only_where_the_topic_lets_it(pipeline: Whole) -> None:
    refused = pipeline.place.aws.permissions.refused_to_service
    right = Right("sns:Publish", pipeline.place.names.topic_arn)
    assert not refused("events.amazonaws.com", right)
    assert "no resource-based policy allows" in refused("lambda.amazonaws.com", right)


def test_a_rule_may_invoke_a_function_only_where_its_policy_lets_it(pipeline: Whole) -> None:
    names, functions = pipeline.place.names, pipeline.place.aws.client("lambda")
    sqs = pipeline.place.aws.client("sqs")
    url = sqs.get_queue_url(QueueName=names.queue)["QueueUrl"]
    policy = json.loads(functions.get_policy(FunctionName=names.tell_function)["Policy"])
    (statement,) = policy["Statement"]
    functions.remove_permission(FunctionName=names.tell_function, StatementId=statement["Sid"])
    try:
        begun = pipeline.begun(pipeline.upload(prepare="hang"))
        pipeline.hanging("prepare")
        pipeline.machines.stop_execution(executionArn=begun.arn)
        letter = until(lambda: sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages"))[0]
    finally:
        functions.add_permission(
            FunctionName=names.tell_function,
            StatementId=statement["Sid"],
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=names.arn("events", f"rule/{names.rule}"),
        )
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert json.loads(letter["Body"])["detail"]["status"] == "ABORTED"
