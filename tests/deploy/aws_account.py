"""An account that answers as AWS does, byte for byte, where the local AWS cannot: stacks that fail or are in progress,
refusals, lost connections. It stands behind botocore's last step before the network, so that all else is real.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError

from stepgluon.aws import Aws

ACCOUNT, REGION = "123456789012", "eu-west-1"
DEPLOYER = f"arn:aws:iam::{ACCOUNT}:user/deployer"
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


class Raw(io.BytesIO):
    def stream(self) -> Any:
        yield self.read()


class Answer(Exception):
    """An error as a service sends it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code, self.message, self.status = code, message, status


class Stack:
    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        self.id = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/{number:08d}"
        self.status = "REVIEW_IN_PROGRESS"
        self.events: list[dict[str, str]] = []
        self.template, self.parameters, self.tags = "", {}, {}  # as it is
        self.to_come: list[tuple[str, dict[str, str] | None]] = []  # a status and an event, one for each look

    def happens(self, resource: str, kind: str, status: str, reason: str = "") -> dict[str, str]:
        return {"resource": resource, "kind": kind, "status": status, "reason": reason}

    def goes_to(self, status: str, reason: str = "") -> None:
        event = self.happens(self.name, "AWS::CloudFormation::Stack", status, reason)
        self.to_come.append((status, event))

    def resource(self, name: str, kind: str, status: str, reason: str = "") -> None:
        self.to_come.append(("", self.happens(name, kind, status, reason)))

    def step(self) -> None:
        if self.to_come:
            status, event = self.to_come.pop(0)
            self.status = status or self.status
            if event:
                self.events.append(event)


class CloudFormation:
    """As much of CloudFormation as a deploy sees of it. What a change set does is scripted, else it succeeds."""

    def __init__(self) -> None:
        self.stacks: list[Stack] = []
        self.change_sets: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, str] = {}
        self.changes: list[dict[str, Any]] | None = None  # what DescribeChangeSet tells; by default one added resource
        self.refuses: tuple[str, str] | None = None  # the status and reason of the next change set
        self.script: Callable[[Stack, str], None] | None = None
        self.busy_when_executed = False
        self.goes_on_at = "DescribeStacks"  # the call at which the next thing has happened

    def named(self, name: str) -> Stack | None:
        return next(
            (s for s in self.stacks if name == s.id or (name == s.name and s.status != "DELETE_COMPLETE")), None
        )

    def put(self, name: str, status: str) -> Stack:
        stack = Stack(name, len(self.stacks))
        self.stacks.append(stack)
        stack.status = status
        stack.events.append(stack.happens(name, "AWS::CloudFormation::Stack", status))
        return stack

    def _need(self, name: str) -> Stack:
        stack = self.named(name)
        if stack is None:
            raise Answer("ValidationError", f"Stack with id {name} does not exist")
        return stack

    def DescribeStacks(self, asked: dict[str, str]) -> str:
        stack = self._need(asked["StackName"])
        if self.goes_on_at == "DescribeStacks":
            stack.step()
        parameters = "".join(
            f"<member><ParameterKey>{key}</ParameterKey><ParameterValue>{value}</ParameterValue></member>"
            for key, value in stack.parameters.items()
        )
        return (
            f"<Stacks><member><StackName>{stack.name}</StackName><StackId>{stack.id}</StackId>"
            f"<CreationTime>2026-11-21T00:00:00Z</CreationTime><StackStatus>{stack.status}</StackStatus>"
            f"<Parameters>{parameters}</Parameters></member></Stacks>"
        )

    def DescribeStackEvents(self, asked: dict[str, str]) -> str:
        """Two events a page, the newest first."""
        stack = self._need(asked["StackName"])
        if self.goes_on_at == "DescribeStackEvents":
            stack.step()
        numbered = list(enumerate(stack.events))[::-1]
        start = int(asked.get("NextToken", 0))
        shown = "".join(
            f"<member><EventId>{stack.number}-{number}</EventId><StackId>{stack.id}</StackId>"
            f"<StackName>{stack.name}</StackName><Timestamp>2026-11-21T00:00:00Z</Timestamp>"
            f"<LogicalResourceId>{event['resource']}</LogicalResourceId><ResourceType>{event['kind']}</ResourceType>"
            f"<ResourceStatus>{event['status']}</ResourceStatus>"
            f"<ResourceStatusReason>{escape(event['reason'])}</ResourceStatusReason></member>"
            for number, event in numbered[start : start + 2]
        )
        more = f"<NextToken>{start + 2}</NextToken>" if len(numbered) > start + 2 else ""
        return f"<StackEvents>{shown}</StackEvents>{more}"

    def CreateChangeSet(self, asked: dict[str, str]) -> str:
        known = self.tokens.get(asked["ClientToken"])
        if known:
            return self._made(known)
        stack = self.named(asked["StackName"])
        if asked["ChangeSetType"] == "CREATE":
            if stack and stack.status != "REVIEW_IN_PROGRESS":
                raise Answer("ValidationError", f"Stack [{stack.name}] already exists and cannot be created again")
            stack = stack or self.put(asked["StackName"], "REVIEW_IN_PROGRESS")
        if stack is None:
            raise Answer("ValidationError", f"Stack [{asked['StackName']}] does not exist")
        in_progress = stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS"
        if in_progress or stack.status in ("ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"):
            raise Answer("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        arn = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:changeSet/{asked['ChangeSetName']}/{len(self.tokens)}"
        wanted = (asked["TemplateBody"], _pairs(asked, "Parameters", "Parameter"), _pairs(asked, "Tags", ""))
        empty = wanted == (stack.template, stack.parameters, stack.tags)
        status = self.refuses or (("FAILED", NO_CHANGES) if empty else ("CREATE_COMPLETE", ""))
        self.refuses = None
        self.change_sets[arn] = {"stack": stack, "wanted": wanted, "looks": 0, "status": status, "executed": False}
        self.tokens[asked["ClientToken"]] = arn
        return self._made(arn)

    def _made(self, arn: str) -> str:
        return f"<Id>{arn}</Id><StackId>{self.change_sets[arn]['stack'].id}</StackId>"

    def _change_set(self, asked: dict[str, str]) -> dict[str, Any]:
        if asked["ChangeSetName"] not in self.change_sets:
            raise Answer("ChangeSetNotFound", f"ChangeSet [{asked['ChangeSetName']}] does not exist", 404)
        return self.change_sets[asked["ChangeSetName"]]

    def DescribeChangeSet(self, asked: dict[str, str]) -> str:
        """Pending at the first look; one change a page."""
        found = self._change_set(asked)
        found["looks"] += 1
        if found["looks"] == 1:
            return "<Status>CREATE_IN_PROGRESS</Status>"
        status, reason = found["status"]
        changes = self.changes
        if changes is None:
            changes = [{"Action": "Add", "LogicalResourceId": "Thing", "ResourceType": "AWS::SNS::Topic"}]
        start = int(asked.get("NextToken", 0))
        shown = "".join(
            f"<member><Type>Resource</Type><ResourceChange>{_xml(change)}</ResourceChange></member>"
            for change in changes[start : start + 1]
        )
        more = f"<NextToken>{start + 1}</NextToken>" if len(changes) > start + 1 else ""
        if status == "FAILED":
            shown = more = ""
        return f"<Status>{status}</Status><StatusReason>{escape(reason)}</StatusReason><Changes>{shown}</Changes>{more}"

    def DeleteChangeSet(self, asked: dict[str, str]) -> str:
        found = self._change_set(asked)
        if found["looks"] == 0:
            raise Answer("InvalidChangeSetStatus", "ChangeSet cannot be deleted in status CREATE_IN_PROGRESS")
        del self.change_sets[asked["ChangeSetName"]]
        return ""

    def ExecuteChangeSet(self, asked: dict[str, str]) -> str:
        if self.tokens.get(asked["ClientRequestToken"]):
            return ""
        found = self._change_set(asked)
        stack: Stack = found["stack"]
        if self.busy_when_executed or found["executed"]:
            raise Answer(
                "InvalidChangeSetStatus", "ChangeSet cannot be executed in its current execution status of [OBSOLETE]"
            )
        self.tokens[asked["ClientRequestToken"]] = "executed"
        found["executed"] = True
        kind = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        if self.script:
            script, self.script = self.script, None
            script(stack, kind)
        else:
            stack.to_come.append(("", None))  # it takes a moment until anything shows
            stack.goes_to(f"{kind}_IN_PROGRESS", "User Initiated")
            stack.resource("Thing", "AWS::SNS::Topic", f"{kind}_IN_PROGRESS")
            stack.resource("Thing", "AWS::SNS::Topic", f"{kind}_COMPLETE")
            stack.goes_to(f"{kind}_COMPLETE")
            stack.template, stack.parameters, stack.tags = found["wanted"]
        return ""

    def DeleteStack(self, asked: dict[str, str]) -> str:
        stack = self._need(asked["StackName"])
        if stack.status == "UPDATE_IN_PROGRESS":
            raise Answer("ValidationError", f"Stack [{stack.name}] cannot be deleted while in status {stack.status}")
        if self.script:
            script, self.script = self.script, None
            script(stack, "DELETE")
        elif stack.status == "REVIEW_IN_PROGRESS":
            stack.goes_to("DELETE_COMPLETE")
        else:
            stack.goes_to("DELETE_IN_PROGRESS", "User Initiated")
            stack.resource("Thing", "AWS::SNS::Topic", "DELETE_COMPLETE")
            stack.goes_to("DELETE_COMPLETE")
        return ""

    def DescribeEvents(self, asked: dict[str, str]) -> str:
        found = self._change_set(asked)
        return (
            f"<OperationEvents><member><EventId>1</EventId><LogicalResourceId>WorkBucket</LogicalResourceId>"
            f"<ValidationStatusReason>{found.get('validation', 'Resource already exists.')}</ValidationStatusReason>"
            f"</member></OperationEvents>"
        )


def _pairs(asked: dict[str, str], group: str, prefix: str) -> dict[str, str]:
    found, number = {}, 1
    while f"{group}.member.{number}.{prefix}Key" in asked:
        place = f"{group}.member.{number}.{prefix}"
        found[asked[f"{place}Key"]] = asked[f"{place}Value"]
        number += 1
    return found


def _xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"<{key}>{_xml(item)}</{key}>" for key, item in value.items())
    if isinstance(value, list):
        return "".join(f"<member>{_xml(item)}</member>" for item in value)
    return escape(str(value))


class Account:
    """A door whose calls are counted, answered here, and broken off where a test wants it."""

    def __init__(self) -> None:
        self.cloudformation = CloudFormation()
        self.calls: list[str] = []
        self.answers: dict[str, Any] = {"GetCallerIdentity": {"Account": ACCOUNT, "Arn": DEPLOYER, "UserId": "AIDA"}}
        self.lost_before: set[int] = set()  # the numbers of calls that never arrive
        self.lost_after: set[int] = set()  # ... whose answers are lost
        self._aws = Aws(REGION)

    def client(self, service: str) -> Any:
        client = self._aws.client(service)
        client.meta.events.register_first("before-send.*.*", self._answer, unique_id="account")
        return client

    def _answer(self, request: Any, event_name: str, **rest: Any) -> AWSResponse:
        service, operation = event_name.split(".")[1:3]
        number = len(self.calls)
        self.calls.append(operation)
        if number in self.lost_before:
            raise ConnectionClosedError(endpoint_url=request.url)
        try:
            status, body = 200, self._body(service, operation, request)
        except Answer as answer:
            status, body = answer.status, _error(service, answer)
        if number in self.lost_after:
            raise ConnectionClosedError(endpoint_url=request.url)
        headers = {"Content-Type": "text/xml", "x-amzn-requestid": "1"}
        return AWSResponse(request.url, status, headers, Raw(body.encode()))

    def _body(self, service: str, operation: str, request: Any) -> str:
        scripted = self.answers.get(operation)
        if callable(scripted):
            scripted = scripted()
        if isinstance(scripted, Answer):
            raise scripted
        if service == "cloudformation":
            body = request.body.decode() if isinstance(request.body, bytes) else request.body
            asked = {key: values[0] for key, values in parse_qs(body).items()}
            answer = getattr(self.cloudformation, operation)(asked)
            return f"<{operation}Response><{operation}Result>{answer}</{operation}Result></{operation}Response>"
        if scripted is None:
            raise AssertionError(f"no answer is ready for {service}:{operation}")
        if service in ("sts", "sns"):
            return f"<{operation}Response><{operation}Result>{_xml(scripted)}</{operation}Result></{operation}Response>"
        return scripted if isinstance(scripted, str) else json.dumps(scripted)


def _error(service: str, answer: Answer) -> str:
    if service in ("cloudformation", "sts", "sns"):
        return (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{answer.code}</Code>"
            f"<Message>{escape(answer.message)}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        )
    if service == "s3":
        return f"<Error><Code>{answer.code}</Code><Message>{escape(answer.message)}</Message></Error>"
    return json.dumps({"__type": answer.code, "message": answer.message})
