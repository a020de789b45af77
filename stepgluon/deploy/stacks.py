"""CloudFormation through change sets: shows what would change in a stack, and changes it.

    apply    make the stack changeable -> change set -> execute it, and follow the events to the end
    changes  change set -> read it, delete it

Each is safe to repeat: remains of an interrupted call are reused, waited for or removed. A stack needs no termination
protection: the templates' DeletionPolicy keeps resources with data.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from stepgluon.aws import Door, code_of, message_of, refusal
from stepgluon.deploy.changes import Change, changes_of
from stepgluon.deploy.stack_events import End, Events, plain
from stepgluon.deploy.stack_words import continues, failure
from stepgluon.errors import StepgluonError

_NEVER_THERE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")  # can only be deleted
_STUCK = ("UPDATE_ROLLBACK_FAILED", "IMPORT_ROLLBACK_FAILED")
_NOTHING = re.compile(r"didn't contain changes|No updates are to be performed")


class StackFailed(StepgluonError):
    """CloudFormation failed to change the stack, for this reason."""


class StackBusy(StepgluonError):
    """Somebody else is changing the stack."""


@dataclass(frozen=True)
class Desired:
    """The desired state of a stack."""

    name: str
    text: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class _ChangeSet:
    arn: str  # empty if nothing would change
    stack_id: str


Agree = Callable[[str, tuple[Change, ...]], None]
"""Gets a stack's name and its changes before they are made; raises to prevent them."""


def always(stack: str, changes: tuple[Change, ...]) -> None:
    return None


class Stacks:
    def __init__(
        self, door: Door, tell: Callable[[str], None], wait: Callable[[float], None], agree: Agree = always
    ) -> None:
        self._client = door.client("cloudformation")
        self._tell = tell
        self._wait = wait
        self._agree = agree

    def find(self, name: str) -> dict[str, Any] | None:
        """The stack's description from DescribeStacks, or None if it does not exist."""
        from botocore.exceptions import ClientError

        try:
            stack: dict[str, Any] = self._client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in message_of(error):
                return None
            raise
        return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack

    def differing(self, desired: Desired) -> tuple[str, ...]:
        """The resources in which the existing stack's template differs from the desired one."""
        body = self._client.get_template(StackName=desired.name)["TemplateBody"]
        there = (json.loads(body) if isinstance(body, str) else body)["Resources"]
        wanted = json.loads(desired.text)["Resources"]
        return tuple(name for name in sorted({*there, *wanted}) if there.get(name) != wanted.get(name))

    def changes(self, desired: Desired) -> tuple[Change, ...]:
        """What `apply` would change; for a stack that does not exist or was never completed, everything is created."""
        stack = self.find(desired.name)
        status = "" if stack is None else str(stack["StackStatus"])
        if status in ("", "REVIEW_IN_PROGRESS", "DELETE_IN_PROGRESS", *_NEVER_THERE):
            resources = json.loads(desired.text)["Resources"]
            return tuple(Change("created", name, resource["Type"]) for name, resource in resources.items())
        if status.endswith("_IN_PROGRESS"):
            raise _busy(desired.name)
        self._refuse_stuck(desired.name, status)
        change_set = self._create(desired, "UPDATE")
        try:
            described = self._described(desired, change_set)
        finally:
            self._forget(change_set)
        return changes_of(described, desired.name)

    def tried(self, desired: Desired) -> tuple[tuple[Change, ...], tuple[str, ...]]:
        """What `apply` would change, and CloudFormation's warnings, from a change set that is dropped."""
        status = str((self.find(desired.name) or {}).get("StackStatus", ""))
        if status not in ("", "REVIEW_IN_PROGRESS"):
            return self.changes(desired), ()
        change_set = self._create(desired, "CREATE")
        try:
            described = self._described(desired, change_set)
            return changes_of(described, desired.name), self._warnings(change_set.arn)
        finally:
            self._forget(change_set)
            if not status:
                self.delete(desired.name)  # the empty stack left by the change set

    def apply(self, desired: Desired) -> bool:
        """Bring the stack to the desired state; return whether it changed. Raises StackFailed if rolled back."""
        kind = "CREATE" if self._at_rest(desired.name) is None else "UPDATE"
        change_set = self._create(desired, kind)
        described = self._described(desired, change_set)
        if not described:
            self._forget(change_set)
            return False
        try:
            self._agree(desired.name, changes_of(described, desired.name))
        except StepgluonError:
            self._forget(change_set)
            raise
        self._tell(f"{'creating' if kind == 'CREATE' else 'changing'} {desired.name}")
        end = self._run(desired.name, kind, change_set.stack_id, lambda: self._execute(desired.name, change_set.arn))
        if not end.good:
            raise StackFailed(failure(desired.name, kind, end))
        return True

    def delete(self, name: str) -> bool:
        """Delete the stack; return whether it existed. Retained resources stay."""
        stack = self.find(name)
        if stack is None:
            return False
        arn = str(stack["StackId"])
        end = self._run(name, "DELETE", arn, lambda: self._begin_deletion(name, arn))
        if not end.good:
            raise StackFailed(failure(name, "DELETE", end))
        return True

    # Making a stack changeable

    def _at_rest(self, name: str) -> dict[str, Any] | None:
        while stack := self.find(name):
            status = str(stack["StackStatus"])
            if status == "REVIEW_IN_PROGRESS":
                self.delete(name)  # the empty stack of a change set that was never executed
            elif status.endswith("_IN_PROGRESS"):
                self._tell(f"{name} is being changed already, perhaps by an earlier deploy: waiting for its end")
                self._events(stack["StackId"]).follow(begun=True)
            elif status in _NEVER_THERE:
                self._tell(f"{name} was never completed ({status}): what is left of it is deleted first")
                self.delete(name)
            else:
                self._refuse_stuck(name, status)
                return stack
        return None

    def _refuse_stuck(self, name: str, status: str) -> None:
        if status in _STUCK:
            raise StackFailed(
                f"{name} could not be rolled back after a failed change, and needs a hand ({status}: mend what its "
                f"events name, then `aws cloudformation continue-update-rollback --stack-name {name} "
                f"--region {self._client.meta.region_name}`)"
            )

    # Change sets

    def _create(self, desired: Desired, kind: str) -> _ChangeSet:
        from botocore.exceptions import ClientError

        token = f"stepgluon-{uuid4().hex}"
        try:
            made = self._client.create_change_set(
                StackName=desired.name,
                ChangeSetName=token,
                ChangeSetType=kind,
                ClientToken=token,  # after a lost response, the repeated call is the same one
                TemplateBody=desired.text,
                Parameters=_pairs(desired.parameters, "ParameterKey", "ParameterValue"),
                Tags=_pairs(desired.tags, "Key", "Value"),
                Capabilities=["CAPABILITY_NAMED_IAM"],
                ImportExistingResources=True,  # buckets left by an earlier stack
            )
        except ClientError as error:
            if _NOTHING.search(message_of(error)):
                return _ChangeSet("", "")
            raise self._refused(desired.name, error) from None
        return _ChangeSet(str(made["Id"]), str(made["StackId"]))

    def _forget(self, change_set: _ChangeSet) -> None:
        from botocore.exceptions import ClientError

        if change_set.arn:
            with suppress(ClientError):  # an unfinished one cannot be deleted yet; the stack's next change deletes it
                self._client.delete_change_set(ChangeSetName=change_set.arn)

    def _described(self, desired: Desired, change_set: _ChangeSet) -> list[dict[str, Any]]:
        """The changes of a change set; empty if nothing would change."""
        if not change_set.arn:
            return []
        while True:
            asked = {"ChangeSetName": change_set.arn, "IncludePropertyValues": True}
            pages = list(self._client.get_paginator("describe_change_set").paginate(**asked))
            status = pages[0]["Status"]
            if status == "CREATE_COMPLETE":
                return [change for page in pages for change in page.get("Changes", [])] or [{}]
            if status not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
                break
            self._wait(1)
        reason = str(pages[0].get("StatusReason") or status)
        if _NOTHING.search(reason):
            return []
        if (self.find(desired.name) or {}).get("StackStatus") == "REVIEW_IN_PROGRESS":
            self.delete(desired.name)
        raise StackFailed(
            f"{desired.name} cannot become what its template says, and nothing was changed: "
            f"{self._validation(change_set.arn, reason)} (fix that, then run the command again)"
        )

    def _validation(self, change_set: str, reason: str) -> str:
        """The reason; for an early validation, its findings, because the reason only has the validation's name."""
        found = self._invalid(change_set) if "EarlyValidation" in reason else []
        return next(iter(found), plain(reason))

    def _warnings(self, change_set: str) -> tuple[str, ...]:
        from botocore.exceptions import ClientError

        try:
            return tuple(self._invalid(change_set))
        except ClientError:  # the local AWS has no early validation, and warnings stop nothing
            return ()

    def _invalid(self, change_set: str) -> list[str]:
        events = self._client.describe_events(ChangeSetName=change_set, Filters={"FailedEvents": True})
        return [
            f"{event.get('LogicalResourceId', 'the stack')}: {plain(event['ValidationStatusReason'])}"
            for event in events["OperationEvents"]
            if event.get("ValidationStatusReason")
        ]

    def _execute(self, name: str, change_set: str) -> None:
        from botocore.exceptions import ClientError

        token = f"stepgluon-{hashlib.sha256(change_set.encode()).hexdigest()[:32]}"
        try:
            self._client.execute_change_set(ChangeSetName=change_set, ClientRequestToken=token)
        except ClientError as error:
            if code_of(error) != "TokenAlreadyExistsException":  # the response to an earlier attempt was lost
                raise self._refused(name, error) from None

    def _begin_deletion(self, name: str, arn: str) -> None:
        from botocore.exceptions import ClientError

        try:
            self._client.delete_stack(StackName=arn, ClientRequestToken=f"stepgluon-{uuid4().hex}")
        except ClientError as error:
            raise self._refused(name, error) from None

    def _refused(self, name: str, error: Any) -> Exception:
        busy = code_of(error).startswith(("InvalidChangeSetStatus", "ChangeSetNotFound"))
        busy = busy or "IN_PROGRESS" in message_of(error)
        return _busy(name) if busy else refusal(error)

    # Following

    def _events(self, stack_id: str) -> Events:
        return Events(self._client, stack_id, self._tell, self._wait)

    def _run(self, name: str, kind: str, stack_id: str, start: Callable[[], object]) -> End:
        events = self._events(stack_id)
        try:
            start()
            return events.follow()
        except KeyboardInterrupt:
            self._tell(continues(name, kind, self._client.meta.region_name))
            raise


def _pairs(values: Mapping[str, str], key: str, value: str) -> list[dict[str, str]]:
    return [{key: name, value: text} for name, text in values.items()]


def _busy(name: str) -> StackBusy:
    return StackBusy(
        f"{name} is being changed by somebody else at this moment (wait until that is done, then run the command again)"
    )
