"""What is asked of CloudFormation, taken out of the stream of requests and answered in its query protocol."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from localaws.cloudformation.service import CloudFormation, Refused

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
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
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        given = dict(parse_qsl(body.decode(), keep_blank_values=True))
        try:
            status, text = 200, _answered(service, given, signed[1])
        except Refused as refused:
            status, text = 400, _ERROR.format(refused.code, escape(str(refused)))
        encoded = text.encode()
        headers = [("Content-Type", "text/xml"), ("Content-Length", str(len(encoded)))]
        start_response(f"{status} {'OK' if status == 200 else 'Bad Request'}", headers)
        return [encoded]

    return application


def _answered(service: CloudFormation, given: dict[str, str], region: str) -> str:
    from moto.core.parse import QueryParser
    from moto.core.serialize import QuerySerializer
    from moto.core.utils import get_service_model

    model = get_service_model("cloudformation")
    action = given.get("Action", "")
    if action not in model.operation_names:
        raise Refused("InvalidAction", f"Could not find operation {action} for version 2010-05-15")
    operation = model.operation_model(action)
    request = {"values": given, "body": "", "headers": {}, "method": "POST", "url_params": {}, "url_path": "/"}
    answer = service.call(action, QueryParser(operation).parse(request), region)
    text = QuerySerializer(operation).serialize(answer)["body"]
    return text if isinstance(text, str) else text.decode()
