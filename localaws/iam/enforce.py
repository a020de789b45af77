"""WSGI middleware: a role's request must be allowed by its policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

from localaws.base import requests
from localaws.base.in_process import Application
from localaws.iam.permissions import Permissions, User
from localaws.iam.required_rights import managed_rule

Exists = Callable[[str, str], bool]
_CHANGES_A_MACHINE = ("AWSStepFunctions.CreateStateMachine", "AWSStepFunctions.UpdateStateMachine")
_JOBS = {"Training": ":::sagemaker:createTrainingJob.sync", "Processing": ":::sagemaker:createProcessingJob.sync"}
_ID = "00000000-0000-0000-0000-000000000000"


def gate(permissions: Permissions, exists: Exists, others: Application) -> Application:
    """`exists(bucket, key)` says whether an object exists."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        key, service = requests.signed_by(environ)
        user = permissions.known_by(key)
        if user is not None:
            message = _why_not(permissions, exists, user, service, environ)
            if message:
                return refusal(service, message, environ, start_response)
        if environ.get("HTTP_X_AMZ_TARGET") in _CHANGES_A_MACHINE:
            message = _no_managed_rule(permissions, requests.body(environ))
            if message:
                return refusal("states", message, environ, start_response)
        return others(environ, start_response)

    return application


def _why_not(permissions: Permissions, exists: Exists, user: User, service: str, environ: dict[str, Any]) -> str:
    operation, given = requests.operation(service, environ)
    message = permissions.why_not(user, operation, given)
    reads = operation in ("s3:GetObject", "s3:HeadObject") and "VersionId" not in given
    if not message and reads and not exists(given["Bucket"], given["Key"]):
        # [s3] without s3:ListBucket, a missing object gives AccessDenied
        message = permissions.why_not(user, "s3:ListObjects", {"Bucket": given["Bucket"]})
    return message


def _no_managed_rule(permissions: Permissions, body: bytes) -> str:
    """The role of a machine with `.sync` Tasks must be allowed to use the managed rule that reports the jobs' ends."""
    given = json.loads(body)
    role, definition = given.get("roleArn"), str(given.get("definition", ""))
    if not isinstance(role, str):
        return ""
    for kind, integration in _JOBS.items():
        message = integration in definition and permissions.refused(
            permissions.user(role), managed_rule(permissions, kind)
        )
        if message:
            return f"'{role}' is not authorized to create managed-rule. {message}"
    return ""


def refusal(service: str, message: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The refusal in the service's own format."""
    query = "x-www-form-urlencoded" in environ.get("CONTENT_TYPE", "")
    kind = "text/xml" if query or service == "s3" else "application/json"
    if service == "s3":
        status, code = "403", "AccessDenied"
        text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>{_ID}</RequestId></Error>"
    elif query:
        status, code = "403", "AuthorizationError" if service == "sns" else "AccessDenied"
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        text = f"<ErrorResponse>{error}<RequestId>{_ID}</RequestId></ErrorResponse>"
    else:
        status, code = ("403", "AccessDenied") if service == "sqs" else ("400", "AccessDeniedException")
        text = json.dumps({"__type": code, "message": message})
    content = b"" if environ["REQUEST_METHOD"] == "HEAD" else text.encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(content))), ("x-amzn-ErrorType", code)]
    headers += [("x-amz-request-id", _ID), ("x-amzn-RequestId", _ID)]
    start_response(f"{status} Refused", headers)
    return [content]
