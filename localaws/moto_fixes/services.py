"""Fixes of the services that Tasks and deployments call."""

from __future__ import annotations

import datetime
import json
import types
from typing import Any
from urllib.parse import quote

from localaws.base.patches import Patches
from localaws.cloudformation.handlers import lower_first
from localaws.moto_fixes.registry import ASL, SERVICE, Here, fix, loaded

# Tasks that call other services


@fix
def tasks_call_this_server_alone(patches: Patches, here: Here) -> None:
    """A Task calls with its machine's role. moto creates a client for each call, without a role, for http://localhost,
    through the shell's proxy.
    """
    module = loaded(f"{ASL}.utils.boto_client")
    patches.everywhere(
        "moto.stepfunctions",
        module.boto_client_for,
        lambda region, service, state_credentials: here.client(service, region, state_credentials.role_arn),
    )


@fix
def contents_go_in_and_out_as_text(patches: Patches, here: Here) -> None:
    """s3:getObject returns the Body as text, s3:putObject accepts any JSON. moto returns a stream, and fails."""
    task = loaded(f"{SERVICE}.state_task_service_aws_sdk").StateTaskServiceAwsSdk
    plain = task._eval_service_task

    def call(self: Any, env: Any, normalised_parameters: dict[str, Any], **more: Any) -> None:
        if self.resource.api_name == "s3" and not isinstance(normalised_parameters.get("Body", b""), (str, bytes)):
            normalised_parameters["Body"] = json.dumps(normalised_parameters["Body"], ensure_ascii=False).encode()
        lower = self.resource.api_name in (
            "ecr",
            "sfn",
        )  # their names begin with a small letter, a Task's with a capital
        if lower:
            normalised_parameters = lower_first(normalised_parameters)
        answer = None
        if self.resource.api_name == "s3":
            operation = self.resource.api_action[:1].upper() + self.resource.api_action[1:]
            answer = here.direct_s3(operation, more["state_credentials"].role_arn, normalised_parameters)
        if answer is None:
            plain(self, env=env, normalised_parameters=normalised_parameters, **more)
            answer = env.stack.pop()
        env.stack.append(_capitalized(_as_json(answer)) if lower else _as_json(answer))

    patches.attribute(task, "_eval_service_task", call)


@fix
def a_task_starts_executions(patches: Patches, here: Here) -> None:
    """states:startExecution takes StateMachineArn and returns ExecutionArn; moto passes them on, and boto fails."""
    task = loaded(f"{SERVICE}.state_task_service_sfn").StateTaskServiceSfn
    plain = task._eval_service_task

    def call(self: Any, env: Any, normalised_parameters: dict[str, Any], **more: Any) -> None:
        plain(self, env=env, normalised_parameters=lower_first(normalised_parameters), **more)
        env.stack.append(_capitalized(_as_json(env.stack.pop())))

    patches.attribute(task, "_eval_service_task", call)


def _capitalized(value: Any) -> Any:
    if isinstance(value, dict):
        return {f"{key[:1].upper()}{key[1:]}": _capitalized(item) for key, item in value.items()}
    return [_capitalized(item) for item in value] if isinstance(value, list) else value


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes) or hasattr(value, "read"):
        return (value if isinstance(value, bytes) else value.read()).decode("utf-8", "replace")
    return value


@fix
def services_are_found_by_the_names_in_their_arns(patches: Patches, here: Here) -> None:
    """`aws-sdk:applicationautoscaling` is boto's application-autoscaling; moto raises "Unknown service"."""
    names = loaded(f"{SERVICE}.state_task_service").StateTaskService._SERVICE_NAME_SFN_TO_BOTO_OVERRIDES
    patches.entry(names, "applicationautoscaling", "application-autoscaling")
    patches.entry(names, "sagemakerruntime", "sagemaker-runtime")


@fix
def logs_are_found_by_their_streams_prefix(patches: Patches, here: Here) -> None:
    """FilterLogEvents honours logStreamNamePrefix; moto returns the events of all streams."""
    response = loaded("moto.logs.responses").LogsResponse
    plain = response.filter_log_events

    def filter_log_events(self: Any) -> Any:
        prefix, group = self._get_param("logStreamNamePrefix"), self._get_param("logGroupName")
        if not prefix or group not in self.logs_backend.groups:
            return plain(self)
        names = [name for name in list(self.logs_backend.groups[group].streams) if name.startswith(prefix)]
        if not names:  # an empty list would mean all streams
            return json.dumps({"events": [], "searchedLogStreams": []})
        given = self._get_param
        self._get_param = lambda name, *more: names if name == "logStreamNames" else given(name, *more)
        try:
            return plain(self)
        finally:
            del self._get_param

    patches.attribute(response, "filter_log_events", filter_log_events)


@fix
def bucket_policies_deny_by_their_conditions(patches: Patches, here: Here) -> None:
    """A Deny for unencrypted connections does not apply to encrypted ones; moto ignores conditions. Connections to the
    local AWS count as encrypted, so statements with a condition are dropped; localaws/iam evaluates them for roles.
    https://github.com/getmoto/moto/issues/5820
    """
    bucket = loaded("moto.s3.models").FakeBucket
    plain = bucket.get_permission

    def get_permission(self: Any, action: str, resource: str) -> Any:
        if not self.policy:
            return plain(self, action, resource)
        document = json.loads(self.policy)
        statements = [one for one in document["Statement"] if "Condition" not in one]
        known = types.SimpleNamespace(policy=json.dumps({**document, "Statement": statements}).encode())
        return plain(known, action, resource)

    patches.attribute(bucket, "get_permission", get_permission)


@fix
def keys_of_versions_are_encoded(patches: Patches, here: Here) -> None:
    """ListObjectVersions honours encoding-type=url; moto writes keys as they are, and some characters are not XML."""
    response = loaded("moto.s3.responses").S3Response
    plain = response.serialized

    def serialized(self: Any, result: Any) -> Any:
        listed = result.result
        if self.data.get("Action") == "ListObjectVersions" and self.querystring.get("encoding-type") == ["url"]:
            for entry in (listed, *listed["Versions"], *listed["DeleteMarkers"], *listed.get("CommonPrefixes", ())):
                for name in entry.keys() & {"Key", "Prefix", "Delimiter", "KeyMarker", "NextKeyMarker"}:
                    entry[name] = entry[name] and quote(entry[name])
            listed["EncodingType"] = "url"
        return plain(self, result)

    patches.attribute(response, "serialized", serialized)


@fix
def unsupported_calls_are_answered(patches: Patches, here: Here) -> None:
    """An unsupported call is answered with NotImplemented; moto raises, and answers with an HTML page."""
    response = loaded("moto.core.responses").BaseResponse
    plain = response.call_action

    def call_action(self: Any) -> Any:
        try:
            return plain(self)
        except NotImplementedError as problem:
            message = f"The local AWS cannot do this: {problem}"
            if "json" in str(self.headers.get("Content-Type", "")):
                return 501, {"status": 501}, json.dumps({"__type": "NotImplemented", "message": message})
            body = f"<Error><Code>NotImplemented</Code><Message>{message}</Message></Error>"
            return 501, {"status": 501}, f"<ErrorResponse>{body}</ErrorResponse>"

    patches.attribute(response, "call_action", call_action)
