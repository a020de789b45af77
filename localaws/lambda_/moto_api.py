"""Connects to moto's Lambda: its invocations, its functions and their dead-letter queues."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from localaws.base.patches import Patches
from localaws.iam.permissions import Permissions
from localaws.iam.policy_evaluation import Call, Policies, refusal
from localaws.lambda_.worker import Ended, Setup


def install(send: Callable[[str, Any], object], call: Callable[[str, Any], dict[str, Any]]) -> Patches:
    """Make moto's Lambda invoke functions with `send` (asynchronously) and `call`, until `undo()`."""
    from moto.awslambda.models import LambdaFunction

    patches = Patches()

    def invoke(function: Any, body: Any, request_headers: Any, response_headers: Any) -> Any:
        event = json.loads(body) if body else {}
        kind = request_headers.get("x-amz-invocation-type", "RequestResponse")
        if kind == "Event":
            send(function.function_arn, event)
        if kind != "RequestResponse":
            return ""
        answer = call(function.function_arn, event)
        response_headers["x-amz-log-result"] = base64.b64encode(answer["log"][-4096:].encode()).decode()
        if "failure" in answer:
            response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps(answer["failure"]).encode()
        return answer["result"].encode()

    patches.attribute(LambdaFunction, "invoke", invoke)
    _keep_dead_letter_config(patches, LambdaFunction)
    return patches


def _keep_dead_letter_config(patches: Patches, kind: Any) -> None:
    """moto drops a function's DeadLetterConfig: store it."""
    create, update, show = kind.__init__, kind.update_configuration, kind.get_configuration

    def created(function: Any, account_id: str, spec: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        create(function, account_id, spec, *args, **kwargs)
        function.dead_letter_config = spec.get("DeadLetterConfig") or {}

    def updated(function: Any, config_updates: dict[str, Any]) -> Any:
        function.dead_letter_config = config_updates.get("DeadLetterConfig", function.dead_letter_config) or {}
        return update(function, config_updates)

    def shown(function: Any, on_create: bool = False) -> Any:
        target = function.dead_letter_config.get("TargetArn")
        return {**show(function, on_create), **({"DeadLetterConfig": {"TargetArn": target}} if target else {})}

    patches.attribute(kind, "dead_letter_config", {})
    patches.attribute(kind, "__init__", created)
    patches.attribute(kind, "update_configuration", updated)
    patches.attribute(kind, "get_configuration", shown)


def find(arn: str) -> Any:
    """moto's function; None if it does not exist."""
    from moto.awslambda.exceptions import UnknownAliasException, UnknownFunctionException
    from moto.awslambda.models import lambda_backends

    parts = arn.split(":")
    if len(parts) < 7:
        return None
    try:
        return lambda_backends[parts[4]][parts[3]].get_function(arn)
    except (UnknownFunctionException, UnknownAliasException):
        return None


def may_invoke(account: str, arn: str, service: str, source: str) -> bool:
    """Whether the function exists and its policy lets a service invoke it for this source; moto does not check."""
    function = find(arn)
    if function is None:
        return False
    context = {"AWS:SourceAccount": account, "AWS:SourceArn": source}
    call = Call(service, "lambda:InvokeFunction", function.function_arn, context)
    return not refusal(call, Policies(resource={"Statement": function.policy.statements}))


def setup(function: Any) -> Setup:
    if function.package_type != "Zip" or not str(function.run_time).startswith("python"):
        raise Ended("Runtime.NotSupported", "Only zip files for a Python runtime run on this computer")
    return Setup(
        name=function.function_name,
        handler=str(function.handler),
        code=bytes(function.code_bytes),
        variables=tuple(sorted((str(k), str(v)) for k, v in (function.environment_vars or {}).items())),
        role=str(function.role),
    )


def dead_letter(
    function: Any, request_id: str, event: Any, attempt: int, failure: dict[str, Any], permissions: Permissions | None
) -> str:
    """Put the event into the dead-letter queue, in Lambda's format; returns what happened to it, for the log."""
    target = function.dead_letter_config.get("TargetArn", "")
    queue = target.split(":")[-1]
    if ":sqs:" not in target:
        return f"failed {attempt} times; without a dead-letter queue it is lost"
    if permissions:  # [lambda] the function's role must have the right
        user = permissions.user(function.role, function.function_name)
        if refused := permissions.why_not(user, "sqs:SendMessage", {"QueueUrl": queue}):
            return f"failed {attempt} times and is lost: {refused}"
    # [lambda] the first 1 KB; [sqs] no control characters or empty text
    message = "".join(c if c.isprintable() else " " for c in failure["errorMessage"][:1024]) or failure["errorType"]
    if not send_to_queue(target, event, RequestID=request_id, ErrorCode=200, ErrorMessage=message):
        return f"is lost: its dead-letter queue {target} does not exist"
    return f"failed {attempt} times and is in {queue}"


def send_to_queue(arn: str, event: Any, **attributes: str | int) -> bool:
    """Put an event into a dead-letter queue; False if there is no such queue."""
    from moto.sqs.exceptions import QueueDoesNotExist
    from moto.sqs.models import sqs_backends

    _, _, _, region, account, name = arn.split(":")
    typed = {
        key: {"DataType": "String" if isinstance(value, str) else "Number", "StringValue": str(value)}
        for key, value in attributes.items()
    }
    try:
        sqs_backends[account][region].send_message(name, json.dumps(event), message_attributes=typed)
    except QueueDoesNotExist:
        return False
    return True
