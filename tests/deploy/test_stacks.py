"""A stack becomes what it shall be from whatever state it is in, or one sentence says why not."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from aws_account import Account, Stack

from stepgluon.aws import one_sentence
from stepgluon.deploy.changes import Change
from stepgluon.deploy.stacks import Desired, StackBusy, StackFailed, Stacks
from stepgluon.errors import StepgluonError

TEXT = json.dumps({"Resources": {"Thing": {"Type": "AWS::SNS::Topic"}, "Bucket": {"Type": "AWS::S3::Bucket"}}})
WANTED = Desired("demo-base", TEXT, {"DataDigest": "sha256:1"}, {"stepgluon": "demo"})
AGAIN = "fix that, then run the command again"


class Told(list[str]):
    """What was told; waiting takes no time."""

    def stacks(self, account: Account) -> Stacks:
        return Stacks(account, self.append, lambda seconds: None)


@pytest.fixture
def said() -> Told:
    return Told()


def fails(event: tuple[str, str, str], reason: str, end: str = "ROLLBACK_COMPLETE") -> Callable[[Stack, str], None]:
    """What CloudFormation does when one resource fails: the others are cancelled, and all is rolled back."""

    def script(stack: Stack, kind: str) -> None:
        stack.goes_to(f"{kind}_IN_PROGRESS", "User Initiated")
        stack.resource("Early", "AWS::SQS::Queue", f"{kind}_COMPLETE")
        stack.resource(*event, reason)
        stack.resource("Other", "AWS::SNS::Topic", f"{kind}_FAILED", f"Resource {kind.lower()} cancelled")
        rollback = "ROLLBACK" if kind == "CREATE" else "UPDATE_ROLLBACK"
        stack.goes_to(f"{rollback}_IN_PROGRESS", f"The following resource(s) failed: [{event[0]}]. Rollback requested.")
        stack.resource("Early", "AWS::SQS::Queue", "DELETE_COMPLETE")
        stack.goes_to(end if kind == "CREATE" else f"UPDATE_{end}")

    return script


def test_a_stack_that_is_not_there_is_created_and_its_events_are_told(account: Account, said: Told) -> None:
    assert said.stacks(account).apply(WANTED)
    stack = account.cloudformation.named("demo-base")
    assert stack and stack.status == "CREATE_COMPLETE"
    assert (stack.template, stack.parameters, stack.tags) == (TEXT, {"DataDigest": "sha256:1"}, {"stepgluon": "demo"})
    assert said == ["creating demo-base", "  created Thing"]


def test_a_stack_that_is_as_it_shall_be_is_left_alone_and_no_change_set_stays(account: Account, said: Told) -> None:
    stacks = said.stacks(account)
    stacks.apply(WANTED)
    before = len(account.cloudformation.named("demo-base").events)  # type: ignore[union-attr]
    assert not stacks.apply(WANTED)
    assert len(account.cloudformation.named("demo-base").events) == before  # type: ignore[union-attr]
    assert [found["executed"] for found in account.cloudformation.change_sets.values()] == [True]


def test_only_events_since_the_start_are_told(account: Account, said: Told) -> None:
    stacks = said.stacks(account)
    stacks.apply(WANTED)
    said.clear()
    stacks.apply(Desired("demo-base", TEXT, {"DataDigest": "sha256:2"}, {}))
    assert said == ["changing demo-base", "  changed Thing"]


def test_an_empty_shell_of_an_earlier_plan_is_cleared_away(account: Account, said: Told) -> None:
    shell = account.cloudformation.put("demo-base", "REVIEW_IN_PROGRESS")
    assert said.stacks(account).apply(WANTED)
    stack = account.cloudformation.named("demo-base")
    assert shell.status == "DELETE_COMPLETE" and stack and stack.id != shell.id


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"])
def test_a_stack_that_was_never_completed_is_deleted_first(account: Account, said: Told, status: str) -> None:
    account.cloudformation.put("demo-base", status)
    assert said.stacks(account).apply(WANTED)
    assert said == [
        f"demo-base was never completed ({status}): what is left of it is deleted first",
        "  removed Thing",
        "creating demo-base",
        "  created Thing",
    ]


@pytest.mark.parametrize("end", ["UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_change_that_is_going_on_is_waited_for(account: Account, said: Told, end: str) -> None:
    stack = account.cloudformation.put("demo-base", "UPDATE_IN_PROGRESS")
    for _ in range(3):
        stack.to_come.append(("", None))
    stack.resource("Slow", "AWS::SNS::Topic", "UPDATE_COMPLETE")
    stack.goes_to("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    stack.goes_to(end)
    assert said.stacks(account).apply(WANTED)
    assert said == [
        "demo-base is being changed already, perhaps by an earlier deploy: waiting for its end",
        "  changed Slow",
        "changing demo-base",
        "  changed Thing",
    ]


def test_a_deletion_that_is_going_on_is_waited_for(account: Account, said: Told) -> None:
    stack = account.cloudformation.put("demo-base", "DELETE_IN_PROGRESS")
    stack.to_come.append(("", None))
    stack.goes_to("DELETE_COMPLETE")
    assert said.stacks(account).apply(WANTED)
    assert said[-2:] == ["creating demo-base", "  created Thing"]


def test_a_stack_that_could_not_be_rolled_back_needs_a_hand(account: Account, said: Told) -> None:
    account.cloudformation.put("demo-base", "UPDATE_ROLLBACK_FAILED")
    with pytest.raises(StackFailed) as caught:
        said.stacks(account).apply(WANTED)
    assert str(caught.value) == (
        "demo-base could not be rolled back after a failed change, and needs a hand (UPDATE_ROLLBACK_FAILED: mend what "
        "its events name, then `aws cloudformation continue-update-rollback --stack-name demo-base --region eu-west-1`)"
    )


def test_who_executes_second_is_told_that_somebody_else_deploys(account: Account, said: Told) -> None:
    account.cloudformation.busy_when_executed = True
    with pytest.raises(StackBusy) as caught:
        said.stacks(account).apply(WANTED)
    assert str(caught.value) == (
        "demo-base is being changed by somebody else at this moment (wait until that is done, then run the command "
        "again)"
    )


ROLE = ("MachineRole", "AWS::IAM::Role", "CREATE_FAILED")
HANDLER = 'Resource handler returned message: "{}" (RequestToken: 5e0a, HandlerErrorCode: InvalidRequest)'
FAILURES = {
    "the first failed event is the reason, and not what was cancelled for it": (
        ROLE,
        HANDLER.format("Role with name demo is odd. (Service: Iam, Status Code: 400, Request ID: 4f)"),
        f"MachineRole (AWS::IAM::Role): Role with name demo is odd ({AGAIN}; all of it was removed except buckets and "
        "images)",
    ),
    "a bucket's name that is taken by another account": (
        ("RawBucket", "AWS::S3::Bucket", "CREATE_FAILED"),
        HANDLER.format(
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
            "Please select a different name and try again. (Service: S3, Status Code: 409, Request ID: 4f)"
        ),
        "RawBucket (AWS::S3::Bucket): The requested bucket name is not available. The bucket namespace is shared by "
        "all users of the system. Please select a different name and try again (bucket names are shared by all "
        "accounts: choose another `name` in the config; all of it was removed except buckets and images)",
    ),
    "a right that is missing": (
        ROLE,
        "User: arn:aws:iam::123456789012:user/x is not authorized to perform: iam:CreateRole on resource: r",
        "MachineRole (AWS::IAM::Role): User: arn:aws:iam::123456789012:user/x is not authorized to perform: "
        "iam:CreateRole on resource: r (ask for the permissions in policy/deployer.json; all of it was removed except "
        "buckets and images)",
    ),
    "a name that is taken in the account": (
        ROLE,
        "demo-machine already exists in stack arn:other",
        "MachineRole (AWS::IAM::Role): demo-machine already exists in stack arn:other (something of that name was made "
        "by other means: remove it, or choose another `name` in the config; all of it was removed except buckets and "
        "images)",
    ),
    "an account too small for the reserved concurrency": (
        ("Trigger", "AWS::Lambda::Function", "CREATE_FAILED"),
        HANDLER.format(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            "below its minimum value of [100]."
        ),
        "Trigger (AWS::Lambda::Function): Specified ReservedConcurrentExecutions for function decreases account's "
        "UnreservedConcurrentExecution below its minimum value of [100] (set `trigger: {reserved_concurrency: 0}` "
        "in the config, or ask for more in Lambda's service quotas; all of it was removed except buckets and images)",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_why_a_creation_failed_is_said_in_one_sentence(account: Account, said: Told, case: str) -> None:
    event, reason, sentence = FAILURES[case]
    account.cloudformation.script = fails(event, reason)
    with pytest.raises(StackFailed) as caught:
        said.stacks(account).apply(WANTED)
    assert str(caught.value) == f"demo-base could not be created: {sentence}"
    assert caught.value.exit_code == 1


def test_a_failed_change_leaves_the_stack_as_it_was_and_is_told_as_it_happens(account: Account, said: Told) -> None:
    stacks = said.stacks(account)
    stacks.apply(WANTED)
    said.clear()
    account.cloudformation.script = fails(
        ("Machine", "AWS::StepFunctions::StateMachine", "UPDATE_FAILED"), "It is odd."
    )
    changed = Desired("demo-base", TEXT, {"DataDigest": "sha256:2"}, {})
    with pytest.raises(StackFailed) as caught:
        stacks.apply(changed)
    assert str(caught.value) == (
        "demo-base could not be changed: Machine (AWS::StepFunctions::StateMachine): It is odd (fix that, then run "
        "the command again; it is as it was before)"
    )
    assert said == [
        "changing demo-base",
        "  changed Early",
        "  Machine failed: It is odd",
        "  Other failed: Resource update cancelled",
        "  it goes wrong, and is rolled back",
    ]
    assert stacks.apply(changed), "and the next attempt is made as if nothing had happened"


def test_a_rollback_that_fails_too_is_said(account: Account, said: Told) -> None:
    account.cloudformation.put("demo-base", "UPDATE_COMPLETE")
    account.cloudformation.script = fails(("Machine", "AWS::X::Y", "UPDATE_FAILED"), "Odd.", "ROLLBACK_FAILED")
    with pytest.raises(StackFailed) as caught:
        said.stacks(account).apply(WANTED)
    assert str(caught.value) == (
        "demo-base could not be changed: Machine (AWS::X::Y): Odd (fix that, then run the command again; could not be "
        "rolled back either (UPDATE_ROLLBACK_FAILED))"
    )


def test_a_change_that_somebody_cancels_is_a_failure_with_their_word(account: Account, said: Told) -> None:
    account.cloudformation.put("demo-base", "UPDATE_COMPLETE")

    def cancelled(stack: Stack, kind: str) -> None:
        stack.goes_to("UPDATE_IN_PROGRESS", "User Initiated")
        stack.goes_to("UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        stack.goes_to("UPDATE_ROLLBACK_COMPLETE")

    account.cloudformation.script = cancelled
    with pytest.raises(StackFailed) as caught:
        said.stacks(account).apply(WANTED)
    assert str(caught.value) == (
        "demo-base could not be changed: demo-base (AWS::CloudFormation::Stack): User Initiated (fix that, then run "
        "the command again; it is as it was before)"
    )


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("Template error: odd.", "Template error: odd"),
        (
            "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]. To troubleshoot "
            "Early Validation errors, use the DescribeEvents API for detailed failure information.",
            "WorkBucket: Resource already exists",
        ),
    ],
)
def test_a_change_set_that_cannot_be_made_says_why_and_leaves_no_shell(
    account: Account, said: Told, reason: str, sentence: str
) -> None:
    account.cloudformation.refuses = ("FAILED", reason)
    with pytest.raises(StackFailed) as caught:
        said.stacks(account).apply(WANTED)
    assert str(caught.value) == (
        f"demo-base cannot become what its template says, and nothing was changed: {sentence} (fix that, then run the "
        "command again)"
    )
    assert account.cloudformation.named("demo-base") is None


def test_what_another_kind_of_nothing_to_do_is_called_is_known_too(account: Account, said: Told) -> None:
    account.cloudformation.put("demo-base", "UPDATE_COMPLETE")
    account.cloudformation.refuses = ("FAILED", "No updates are to be performed.")
    assert not said.stacks(account).apply(WANTED)


@pytest.mark.parametrize(
    ("status", "kind", "cancel"),
    [
        ("", "CREATE", "`aws cloudformation delete-stack --stack-name demo-base --region eu-west-1` ends it; "),
        (
            "UPDATE_COMPLETE",
            "UPDATE",
            "`aws cloudformation cancel-update-stack --stack-name demo-base --region eu-west-1` undoes it; ",
        ),
    ],
)
def test_an_interrupted_deploy_says_that_the_stack_goes_on(
    account: Account, said: Told, status: str, kind: str, cancel: str
) -> None:
    if status:
        account.cloudformation.put("demo-base", status)

    def interrupt(seconds: float) -> None:
        if "ExecuteChangeSet" in account.calls:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stacks(account, said.append, interrupt).apply(WANTED)
    assert said[-1] == (
        "interrupted, but demo-base continues in AWS: `aws cloudformation describe-stack-events --stack-name demo-base "
        f"--region eu-west-1` shows it; {cancel}run the same command again to wait for it"
    )
    assert not said.stacks(account).apply(WANTED), "the second call waits for the first one's change, and finds it made"


def test_a_deletion_that_fails_says_what_stands_in_its_way(account: Account, said: Told) -> None:
    def stuck(stack: Stack, kind: str) -> None:
        stack.goes_to("DELETE_IN_PROGRESS", "User Initiated")
        stack.resource(
            "JobRole", "AWS::IAM::Role", "DELETE_FAILED", "Cannot delete entity, must detach all policies first."
        )
        stack.goes_to("DELETE_FAILED", "The following resource(s) failed to delete: [JobRole].")

    account.cloudformation.put("demo-base", "UPDATE_COMPLETE")
    account.cloudformation.script = stuck
    with pytest.raises(StackFailed) as caught:
        said.stacks(account).delete("demo-base")
    assert str(caught.value) == (
        "demo-base could not be deleted: JobRole (AWS::IAM::Role): Cannot delete entity, must detach all policies "
        "first (fix that, then run the command again; the rest of it is still there)"
    )
    assert said.stacks(account).delete("demo-base")
    assert not said.stacks(account).delete("demo-base")


def test_what_is_not_agreed_to_is_not_done(account: Account, said: Told) -> None:
    account.cloudformation.put("demo-base", "UPDATE_COMPLETE")
    account.cloudformation.changes = [
        {
            "Action": "Modify",
            "Replacement": "True",
            "LogicalResourceId": "Topic",
            "PhysicalResourceId": "arn:topic",
            "ResourceType": "AWS::SNS::Topic",
            "Details": [{"Target": {"Attribute": "Properties", "Name": "TopicName"}}],
        },
        {"Action": "Remove", "PolicyAction": "Retain", "LogicalResourceId": "B", "ResourceType": "AWS::S3::Bucket"},
    ]

    def refuse(stack: str, changes: tuple[Change, ...]) -> None:
        assert stack == "demo-base"
        assert changes == (
            Change("replaced", "Topic", "AWS::SNS::Topic", "arn:topic", ("TopicName",)),
            Change("let go", "B", "AWS::S3::Bucket"),
        )
        assert [change.loses for change in changes] == ["every address must confirm again", ""]
        raise StepgluonError("no")

    with pytest.raises(StepgluonError, match="no"):
        Stacks(account, said.append, lambda seconds: None, refuse).apply(WANTED)
    assert "ExecuteChangeSet" not in account.calls
    assert not account.cloudformation.change_sets


def test_changes_are_read_from_a_change_set_that_is_deleted_again(account: Account, said: Told) -> None:
    stacks = said.stacks(account)
    stacks.apply(WANTED)
    account.cloudformation.change_sets.clear()
    account.cloudformation.changes = [
        {"Action": "Modify", "Replacement": "False", "LogicalResourceId": name, "ResourceType": "AWS::SQS::Queue"}
        for name in ("A", "B", "C")
    ]
    assert stacks.changes(WANTED) == ()
    found = stacks.changes(Desired("demo-base", TEXT, {"DataDigest": "sha256:2"}, {}))
    assert [change.resource for change in found] == ["A", "B", "C"], "also those of later pages"
    assert not account.cloudformation.change_sets
    assert account.calls.count("ExecuteChangeSet") == 1


@pytest.mark.parametrize("status", ["", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"])
def test_of_a_stack_that_is_not_there_everything_would_be_created(account: Account, said: Told, status: str) -> None:
    if status:
        account.cloudformation.put("demo-base", status)
    assert said.stacks(account).changes(WANTED) == (
        Change("created", "Thing", "AWS::SNS::Topic"),
        Change("created", "Bucket", "AWS::S3::Bucket"),
    )
    assert set(account.calls) == {"DescribeStacks"}, "and nothing is left behind"


def test_what_changes_no_resource_is_told_as_a_change_of_the_stack(account: Account, said: Told) -> None:
    account.cloudformation.put("demo-base", "UPDATE_COMPLETE")
    account.cloudformation.changes = []
    assert said.stacks(account).changes(WANTED) == (
        Change("changed", "demo-base", "AWS::CloudFormation::Stack", "demo-base"),
    )


def test_a_stack_in_progress_cannot_be_planned(account: Account, said: Told) -> None:
    account.cloudformation.put("demo-base", "UPDATE_IN_PROGRESS")
    with pytest.raises(StackBusy):
        said.stacks(account).changes(WANTED)


@pytest.mark.parametrize("before", ["", "UPDATE_COMPLETE"])
def test_the_status_of_the_time_before_is_not_taken_for_the_end(account: Account, said: Told, before: str) -> None:
    """The change begins between the look at the status and the look at the events."""
    if before:
        account.cloudformation.put("demo-base", before)
    account.cloudformation.goes_on_at = "DescribeStackEvents"
    assert said.stacks(account).apply(WANTED)
    assert said[-1] == ("  changed Thing" if before else "  created Thing")
    stack = account.cloudformation.named("demo-base")
    assert stack and not stack.to_come, "it was followed to its end"


def test_a_stack_that_somebody_changes_is_not_deleted(account: Account, said: Told) -> None:
    account.cloudformation.put("demo-base", "UPDATE_IN_PROGRESS")
    with pytest.raises(StackBusy):
        said.stacks(account).delete("demo-base")


def states(account: Account) -> list[tuple[str, str, str, dict[str, str]]]:
    there = [stack for stack in account.cloudformation.stacks if stack.status != "DELETE_COMPLETE"]
    return [(stack.name, stack.status, stack.template, stack.parameters) for stack in there]


@pytest.mark.parametrize("lost", ["lost_before", "lost_after"])
def test_one_lost_connection_anywhere_is_not_even_noticed(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, calls = _applied(Account(), Told())
    for number in range(calls):
        account = Account()
        getattr(account, lost).add(number)
        end, _ = _applied(account, Told())
        assert end == [("demo-base", "CREATE_COMPLETE", TEXT, {"DataDigest": "sha256:1"})], (lost, number)


@pytest.mark.parametrize("lost", ["lost_before", "lost_after"])
def test_after_a_broken_connection_at_any_call_the_same_command_finishes_the_job(lost: str, account: Account) -> None:
    _, calls = _applied(Account(), Told())
    for number in range(calls):
        account = Account()
        getattr(account, lost).update(range(number, number + 6))  # as often as botocore tries
        with pytest.raises(StepgluonError) as caught, one_sentence():
            Told().stacks(account).apply(WANTED)
        assert str(caught.value) == (
            "the connection to cloudformation.eu-west-1.amazonaws.com was lost (run the command again: what was done "
            "stays done)"
        )
        end, _ = _applied(account, Told())
        assert end == [("demo-base", "CREATE_COMPLETE", TEXT, {"DataDigest": "sha256:1"})], (lost, number)


def _applied(account: Account, said: Told) -> tuple[list[tuple[str, str, str, dict[str, str]]], int]:
    said.stacks(account).apply(WANTED)
    return states(account), len(account.calls)
