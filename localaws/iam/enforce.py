"""WSGI middleware: a role's request must be allowed by its policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

from localaws.base import requests
from localaws.base.requests import Application
from localaws.iam.permissions import Permissions, User
from localaws.iam.required_rights import KINDS, deregister, managed_rule

Exists = Callable[[str, str], bool]
Scaled = Callable[[str], bool]
_SCALED = (
    "An Application AutoScaling scalable target exists for a variant being deleted, and the IAM identity used to "
    "invoke DeleteEndpoint does not have application-autoscaling:DeregisterScalableTarget permission to deregister the "
    "scalable target."
)
_CHANGES_A_MACHINE = ("AWSStepFunctions.CreateStateMachine", "AWSStepFunctions.UpdateStateMachine")


def gate(permissions: Permissions, exists: Exists, scaled: Scaled, others: Application) -> Application:
    """`exists(bucket, key)` says whether an object exists, `scaled(name)` whether an endpoint has a scalable target."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        key, service = requests.signed_by(environ)
        user = permissions.known_by(key)
        message = _why_not(permissions, exists, scaled, user, service, environ) if user else ""
        if not message and environ.get("HTTP_X_AMZ_TARGET") in _CHANGES_A_MACHINE:
            message = _no_managed_rule(permissions, requests.json_body(environ))
        return refusal(service, message, environ, start_response) if message else others(environ, start_response)

    return application


def _why_not(
    permissions: Permissions, exists: Exists, scaled: Scaled, user: User, service: str, environ: dict[str, Any]
) -> str:
    operation, given = requests.operation(service, environ)
    message = permissions.why_not(user, operation, given)
    if not message and operation == "sagemaker:DeleteEndpoint" and scaled(given["EndpointName"]):
        message = _SCALED if permissions.refused(user, deregister(permissions)) else ""
    reads = operation in ("s3:GetObject", "s3:HeadObject") and "VersionId" not in given
    if not message and reads and not exists(given["Bucket"], given["Key"]):
        # [s3] without s3:ListBucket, a missing object gives AccessDenied
        message = permissions.why_not(user, "s3:ListObjects", {"Bucket": given["Bucket"]})
    return message


def _no_managed_rule(permissions: Permissions, given: dict[str, Any]) -> str:
    """The role of a machine with `.sync` Tasks must be allowed to use the managed rule that reports the jobs' ends."""
    role, definition = given.get("roleArn"), str(given.get("definition", ""))
    for kind in KINDS.values():
        if isinstance(role, str) and f":::sagemaker:create{kind}Job.sync" in definition:
            message = permissions.refused(permissions.user(role), managed_rule(permissions, kind))
            if message:
                return f"'{role}' is not authorized to create managed-rule. {message}"
    return ""


def refusal(service: str, message: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The refusal in the service's own format."""
    query = "x-www-form-urlencoded" in environ.get("CONTENT_TYPE", "")
    kind, status, code = "text/xml", "403", "AccessDenied"
    if service == "s3":
        text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    elif query:
        code = "AuthorizationError" if service == "sns" else code
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        text = f"<ErrorResponse>{error}<RequestId>{requests.REQUEST_ID}</RequestId></ErrorResponse>"
    else:
        status, code = (status, code) if service == "sqs" else ("400", "AccessDeniedException")
        kind, text = "application/json", json.dumps({"__type": code, "message": message})
    text = "" if environ["REQUEST_METHOD"] == "HEAD" else text
    return requests.respond(start_response, f"{status} Refused", kind, text, ("x-amzn-ErrorType", code))
