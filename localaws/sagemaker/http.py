"""WSGI middleware that answers requests about SageMaker's jobs and passes all others to moto."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from localaws.base.in_process import Application
from localaws.base.requests import body
from localaws.sagemaker.api import ApiError, SageMaker

_TARGET = "SageMaker."


def sagemaker_door(sagemaker: SageMaker, moto: Application) -> Application:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if not target.startswith(_TARGET):
            return moto(environ, start_response)
        action = target[len(_TARGET) :]
        try:
            request = json.loads(body(environ) or b"{}")
        except ValueError:
            request = None
        if not isinstance(request, dict):
            return _answer(
                start_response, 400, {"__type": "SerializationException", "message": "The body is not a JSON object."}
            )
        if not sagemaker.answers(action, request):
            return moto(environ, start_response)
        try:
            return _answer(start_response, 200, sagemaker.call(action, request))
        except ApiError as error:
            return _answer(start_response, error.status, {"__type": error.code, "message": error.message})

    return application


def _answer(start_response: Any, status: int, content: dict[str, Any]) -> Iterable[bytes]:
    text = json.dumps(content).encode()
    headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("Content-Length", str(len(text))),
        ("x-amzn-RequestId", "00000000-0000-0000-0000-000000000000"),
    ]
    start_response(f"{status} {'OK' if status == 200 else 'Error'}", headers)
    return [text]
