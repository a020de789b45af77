"""InvokeEndpoint, answered before all other services: a request costs little more than the model's own work.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from localaws.base import requests
from localaws.base.requests import Application
from localaws.notifications.endpoint_metrics import EndpointMetrics
from localaws.sagemaker.data_capture import DataCapture
from localaws.sagemaker.endpoint import Endpoint, log_group
from localaws.sagemaker.endpoints import Endpoints
from localaws.sagemaker.model_server import INVOKE_SECONDS, Overloaded, Unavailable
from localaws.sagemaker.serving import Answer
from localaws.sagemaker.target_models import NoTarget, NotReady
from localaws.sagemaker.traffic import Member, UnknownVariant

MOST_BYTES = 6 * 1024 * 1024  # [sm] of a body
_SKIPPED = 1 << 20
_CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"
_TARGETS = ("CONTAINER_HOSTNAME", "INFERENCE_COMPONENT")
_MODEL = "HTTP_X_AMZN_SAGEMAKER_TARGET_MODEL"
_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)
_NO_TARGET = f"Request {requests.REQUEST_ID} is missing a target model header."
_NOT_READY = (
    "Either a serverless endpoint variant's resources are still being provisioned, or a multi-model endpoint is still "
    "downloading or loading the target model. Wait and try again."
)


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.content = status, code, {"Message": message, **more}


class Invocations:
    def __init__(self, endpoints: Endpoints, metrics: EndpointMetrics, capture: DataCapture, region: str) -> None:
        self._endpoints, self._metrics, self._capture, self._region = endpoints, metrics, capture, region

    def door(self, others: Application) -> Application:
        """Requests that are signed for S3 may have the same path; unsigned ones come from curl."""

        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            name = requests.invoked(environ)
            if not name or requests.signed_by(environ)[1] not in ("sagemaker", ""):
                return others(environ, start_response)
            try:
                answer, member = self._invoke(name, _body(environ), environ)
            except _Refused as problem:
                content = json.dumps(problem.content)
                named = [("x-amzn-ErrorType", problem.code)] if not problem.code.isdecimal() else []
                return requests.respond(start_response, f"{problem.status} Error", "application/json", content, *named)
            headers = [
                ("Content-Type", answer.headers.get("content-type") or "application/octet-stream"),
                ("Content-Length", str(len(answer.body))),
                ("x-Amzn-Invoked-Production-Variant", member.name),
                ("x-amzn-RequestId", requests.REQUEST_ID),
            ]
            if custom := answer.headers.get(_CUSTOM.lower()):
                headers.append((_CUSTOM, custom))
            start_response("200 OK", headers)
            return [answer.body]

        return application

    def _invoke(self, name: str, body: bytes, environ: dict[str, Any]) -> tuple[Answer, Member]:
        began = time.perf_counter()
        endpoint = self._endpoints.endpoints.get(name)
        if endpoint is None or endpoint.status in ("Creating", "Failed", "Deleting"):
            raise _Refused(400, "ValidationError", f"Endpoint {name} of account {self._endpoints.account} not found.")
        if unknown := [target for target in _TARGETS if f"HTTP_X_AMZN_SAGEMAKER_TARGET_{target}" in environ]:
            raise _Refused(400, "ValidationError", f"Target {unknown[0].lower()} is not available locally.")
        target = _target(endpoint, environ)
        endpoint.ready.wait(INVOKE_SECONDS)  # it may have been started again just now
        member = self._admitted(endpoint, environ.get("HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT", ""))
        kept = {"Content-Type": "CONTENT_TYPE", "Accept": "HTTP_ACCEPT"}
        kept[_CUSTOM] = "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES"
        headers = {header: environ[key] for header, key in kept.items() if environ.get(key)}
        answer, seconds = self._answer(member, body, headers, target)
        overhead = max(0.0, time.perf_counter() - began - seconds)
        self._record(endpoint, member, answer.status or 500, seconds, overhead)
        if not 200 <= answer.status < 300:
            raise self._model_error(endpoint, member, answer)
        if member.capture:
            given = (environ.get("CONTENT_TYPE", ""), body)
            kind = answer.headers.get("content-type", "")
            known = {"inferenceId": environ.get("HTTP_X_AMZN_SAGEMAKER_INFERENCE_ID")}
            known["customAttributes"] = [custom] if (custom := answer.headers.get(_CUSTOM.lower())) else None
            self._capture.add(endpoint.name, member, given, (kind, answer.body), known)
        return answer, member

    def _answer(self, member: Member, body: bytes, headers: dict[str, str], target: str) -> tuple[Answer, float]:
        try:
            return member.server.invoke(body, headers, target)
        except NoTarget as problem:
            raise _Refused(400, "ValidationError", str(problem) or _NO_TARGET) from None
        except NotReady:
            raise _Refused(429, "ModelNotReadyException", _NOT_READY) from None

    def _admitted(self, endpoint: Endpoint, variant: str) -> Member:
        try:
            return endpoint.traffic.admitted(variant)
        except UnknownVariant:
            message = f"Variant {variant} of endpoint {endpoint.name} not found."
            raise _Refused(400, "ValidationError", message) from None
        except Overloaded:
            raise _Refused(429, "ThrottlingException", "Rate exceeded") from None
        except Unavailable as problem:
            for member in problem.args:
                self._record(endpoint, member, 503, 0.0)
            message = "The model's server is starting again; see the endpoint's log."
            raise _Refused(503, "ServiceUnavailable", message) from None

    def _record(self, endpoint: Endpoint, member: Member, status: int, seconds: float, overhead: float = 0.0) -> None:
        instances = int(member.variant.get("InitialInstanceCount", 1))
        self._metrics.record(endpoint.name, member.name, member.config, status, seconds, instances, overhead)

    def _model_error(self, endpoint: Endpoint, member: Member, answer: Answer) -> _Refused:
        group, arn = log_group(endpoint.name), endpoint.record["EndpointArn"].split(":")
        text = answer.body.decode("utf-8", "replace")
        if not answer.status and "timed out" in text:
            text = _TIMED_OUT
        kind = "client" if 400 <= answer.status < 500 else "server"
        page = f"https://{self._region}.console.aws.amazon.com/cloudwatch/home?region={self._region}"
        message = (
            f'Received {kind} error ({answer.status}) from primary with message "{text}". See {page}'
            f"#logEventViewer:group={group} in account {arn[4]} for more information."
        )
        return _Refused(
            424,
            "ModelError",
            message,
            ErrorCode="CLIENT_ERROR_FROM_MODEL" if kind == "client" else "INTERNAL_FAILURE_FROM_MODEL",
            LogStreamArn=":".join([*arn[:2], "logs", *arn[3:5], "log-group", group]),
            OriginalMessage=text,
            OriginalStatusCode=answer.status,
        )


def _target(endpoint: Endpoint, environ: dict[str, Any]) -> str:
    """TargetModel, which a multi-model endpoint needs and no other one accepts."""
    given = str(environ.get(_MODEL, ""))
    multi = any(model.get("multi") for model in endpoint.record["config"]["models"].values())
    if multi and not given:
        raise _Refused(400, "ValidationError", _NO_TARGET)
    if given and not multi:
        message = f"Endpoint {endpoint.name} is not a multi-model endpoint and does not support target model header."
        raise _Refused(400, "ValidationError", message, ErrorCode="TARGET_MODEL_HEADER_NOT_SUPPORTED")
    return given


def _body(environ: dict[str, Any]) -> bytes:
    size, given = int(environ.get("CONTENT_LENGTH") or 0), environ["wsgi.input"]
    if size > MOST_BYTES:
        while size > 0 and (piece := given.read(min(size, _SKIPPED))):  # otherwise the client never reads the answer
            size -= len(piece)
        raise _Refused(413, "413", f"HTTP content length exceeded {MOST_BYTES} bytes.")
    body: bytes = given.read(size)
    return body
