"""Checks values against botocore's shapes, with enum, pattern and limits; and samples the services' responses."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import OperationNotFoundError

from localaws.base.api_model import Errors, Validator, service_model, whole_patterns
from stepgluon.selfcheck.report import did_you_mean, is_expression

Problem = tuple[str, str, str]  # the path in the request, the finding's code, and the message
# Step Functions' names of services that differ from botocore's without hyphens.
_ALIASES = {"states": "stepfunctions", "sfn": "stepfunctions", "eventbridge": "events", "cloudwatchlogs": "logs"}
_ALIASES |= {"elasticloadbalancing": "elb", "elasticloadbalancingv2": "elbv2", "databasemigration": "dms"}
_ALIASES |= {"costexplorer": "ce", "cognitoidentityprovider": "cognito-idp", "wafregional": "waf-regional"}
_COMMON = ("sagemaker", "s3", "sns", "sqs", "lambda", "dynamodb")  # listing all services reads hundreds of folders
# Members that an optimized integration accepts as any JSON and converts to text.
_ANY_JSON = {"sns": "Message", "sqs": "MessageBody", "states": "Input", "lambda": "Payload"}
_PLACEHOLDER = re.compile(r"\$\{\w+\}")  # filled in with an image's digest at deployment
_DIGEST = "sha256:" + "0" * 64
_KINDS = {"dict": "an object", "list": "a list", "str": "text", "bool": "true or false", "NoneType": "null"}


@dataclass(frozen=True, eq=False)
class Operation:
    input: Any  # botocore's shapes
    output: Any
    free: str  # a member that may be any JSON
    whole: bool

    def problems(self, request: Mapping[str, Any]) -> list[Problem]:
        """The problems for which the service would refuse a request."""
        given = {key: "" if key == self.free else value for key, value in request.items()}
        return problems(given, self.input, self.whole) if self.input is not None else []

    @lru_cache(maxsize=4096)  # noqa: B019 - an operation lives as long as the process
    def answer(self, turn: int) -> Any:
        """A response with every member of the model; an enum's values alternate from call to call."""
        return _sample(self.output, turn, ()) if self.output is not None else {}


def problems(value: Any, shape: Any, whole: bool = True, expressions: Container[str] = ()) -> list[Problem]:
    """The differences between a value and a shape; `whole`: a pattern must match the whole text; `expressions` are the
    names of shapes whose value may be one.
    """
    errors = Errors()
    _Checker(whole, expressions)._validate(value, shape, errors, "")
    return sorted(_problem(*error) for error in errors._errors)


@lru_cache(maxsize=1)
def _services() -> dict[str, str]:
    names = Loader().list_available_services("service-2")
    return {**{name.replace("-", ""): name for name in names}, **_ALIASES}


@lru_cache(maxsize=1024)
def operation(name: str, action: str, optimized: bool, waits: bool) -> Operation | str:
    """The API that an integration calls, or why it does not exist. One that waits responds like Describe."""
    known = name if name in _COMMON else _services().get(name.replace("-", ""))
    if known is None:
        return f"botocore does not know the service {name}{did_you_mean(name, _services())}"
    model, title = service_model(known), _capital(action)
    if action == title:
        return f"an action begins with a small letter: {action[0].lower() + action[1:]}"
    try:
        found = model.operation_model(title)
    except OperationNotFoundError:
        names = [one[0].lower() + one[1:] for one in model.operation_names]
        return f"{name} does not have the action {action}{did_you_mean(action, names)}"
    described = title.replace("Create", "Describe", 1)
    answer = model.operation_model(described) if waits and described in model.operation_names else found
    free = _ANY_JSON.get(name, "") if optimized else ""
    return Operation(found.input_shape, answer.output_shape, free, whole_patterns(model))


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


class _Checker(Validator):
    """Checks as Step Functions does: members are capitalized, a blob is any JSON, a time has many formats."""

    def __init__(self, whole: bool, expressions: Container[str]) -> None:
        super().__init__(whole)
        self._expressions = expressions

    def _validate(self, value: Any, shape: Any, errors: Errors, name: str) -> None:
        kind = shape.type_name
        if kind in ("blob", "timestamp") or (shape.name in self._expressions and is_expression(value)):
            return
        if isinstance(value, bool) and kind in ("integer", "long", "float", "double"):
            errors.report(name, "invalid type", param=value, valid_types=[str(int)])
            return
        if kind == "structure" and isinstance(value, dict):
            own = {_capital(member): member for member in shape.members}
            value = {own.get(key, key): inner for key, inner in value.items()}
        elif isinstance(value, str) and "${" in value:
            value = _PLACEHOLDER.sub(_DIGEST, value)
        super()._validate(value, shape, errors, name)


def _problem(kind: str, path: str, more: Mapping[str, Any]) -> Problem:
    if kind == "missing required field":
        return f"{path}.{more['required_name']}", "parameter-missing", "it is missing"
    if kind == "unknown field":
        unknown = more["unknown_param"]
        hint = did_you_mean(unknown, map(_capital, more["valid_names"]))
        return f"{path}.{unknown}", "parameter-unknown", f"unknown key{hint}"
    if kind == "invalid type":
        names = more["valid_types"][0].split("'")[1], type(more["param"]).__name__
        expected, sent = (_KINDS.get(name, "a number") for name in names)
        hint = "; leave the key out" if more["param"] is None else ""
        return path, "parameter-type", f"{expected} is expected, not {sent}{hint}"
    if kind in ("invalid range", "invalid length"):
        code = "parameter-range" if kind == "invalid range" else "parameter-length"
        what = str(more["param"]) if kind == "invalid range" else f"its length {more['param']}"
        return path, code, f"{what} is below {more['min_allowed']}"
    if kind != "constraint":
        return path, "parameter-value", f"{kind}: {', '.join(more.get('members', ()))}"
    value, constraint = more["value"], more["constraint"]
    code = next((word for word in ("enum", "pattern", "length") if word in constraint), "range")
    close = did_you_mean(value, re.findall(r"[^ ,\[\]]+", constraint)) if code == "enum" else ""
    return path, f"parameter-{code}", f"{str(value)[:100]!r}: {constraint[:200]}{close}"


def _sample(shape: Any, turn: int, outer: tuple[str, ...]) -> Any:
    """A sample value of a shape, for a response."""
    kind, inner = shape.type_name, (*outer, shape.name)
    if shape.name in outer or kind == "map":
        return {}
    if kind == "structure":
        return {_capital(key): _sample(member, turn, inner) for key, member in shape.members.items()}
    if kind == "list":
        return [_sample(shape.member, turn, inner)]
    if kind == "timestamp":
        return "2026-01-31T23:59:59.999Z"
    least = max(shape.metadata.get("min", 1), 1)
    if kind != "string":
        return {"boolean": False, "integer": int(least), "long": int(least), "float": 1.5, "double": 1.5}.get(kind, "x")
    return shape.enum[turn % len(shape.enum)] if shape.enum else "x" * least
