"""Answers CloudFormation's requests in its query protocol, and passes all others to `others`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from localaws.base.requests import Application, body
from localaws.cloudformation.service import ACTIONS, CloudFormation
from localaws.cloudformation.template import Refusal

_SIGNED_FOR = re.compile(r"Credential=[^/]*/\d+/([^/]+)/cloudformation/")
_ERROR = (
    '<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type>'
    "<Code>{}</Code><Message>{}</Message></Error><RequestId>00000000-0000-0000-0000-000000000000</RequestId>"
    "</ErrorResponse>"
)


def cloudformation_door(service: CloudFormation, others: Application) -> Application:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        signed = _SIGNED_FOR.search(environ.get("HTTP_AUTHORIZATION", ""))
        if not signed:
            return others(environ, start_response)
        values = dict(parse_qsl(body(environ).decode(), keep_blank_values=True))
        try:
            status, text = "200 OK", _response(service, values, signed[1])
        except Refusal as refusal:
            status, text = "400 Bad Request", _ERROR.format(refusal.code, escape(str(refusal)))
        content = text.encode()
        start_response(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(content)))])
        return [content]

    return application


def _response(service: CloudFormation, values: dict[str, str], region: str) -> str:
    from moto.core.parse import QueryParser
    from moto.core.serialize import QuerySerializer
    from moto.core.utils import get_service_model

    action = values.get("Action", "")
    if action not in ACTIONS:
        raise Refusal(f"The local AWS does not know the action {action} of CloudFormation.", "InvalidAction")
    operation = get_service_model("cloudformation").operation_model(action)
    request = {"values": values, "body": "", "headers": {}, "method": "POST", "url_params": {}, "url_path": "/"}
    answer = service.call(action, QueryParser(operation).parse(request), region)
    text = QuerySerializer(operation).serialize(answer)["body"]
    return text if isinstance(text, str) else text.decode()
