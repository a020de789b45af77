"""botocore's models of the services' APIs, turned into checks once for each kind of value.

A check gets a value and gives back what is wrong with it, as (path below it, code, message); nothing for most.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stepgluon.selfcheck.report import did_you_mean, kind_of
from stepgluon.selfcheck.values import ANYTHING, CAUSE, REASON, Answer, Open, Text, Unknown, Value

Problem = tuple[str, str, str]
Check = Callable[[Value], tuple[Problem, ...]]
FINE: tuple[Problem, ...] = ()
# Names that Step Functions has for services, where they are not botocore's without hyphens.
_ALIASES = {"states": "stepfunctions", "sfn": "stepfunctions", "eventbridge": "events", "cloudwatchlogs": "logs"}
_ALIASES |= {"elasticloadbalancing": "elb", "elasticloadbalancingv2": "elbv2", "databasemigration": "dms"}
_ALIASES |= {
    "costexplorer": "ce",
    "cognitoidentityprovider": "cognito-idp",
    "sesv2": "sesv2",
    "wafregional": "waf-regional",
}
# Members that an optimized integration takes as any JSON, and turns into text.
_ANY_JSON = {
    ("sns", "Message"),
    ("sqs", "MessageBody"),
    ("states", "Input"),
    ("events", "Entries"),
    ("lambda", "Payload"),
}
_ANSWERS = {"sagemaker", "s3", "sns"}  # services of which the answer's keys are known to be botocore's
_DIGEST = "sha256:" + "0" * 64  # what ${...} stands for is filled in when the definition is deployed
_PLACEHOLDER = re.compile(r"\$\{\w+\}")
_NUMBERS = {"integer": int, "long": int, "float": float, "double": float, "bigdecimal": float}


@dataclass(frozen=True, eq=False)
class Operation:
    name: str
    members: Mapping[str, Check]
    required: frozenset[str]
    answer: Value


@lru_cache(maxsize=1)
def _loader() -> Any:
    from botocore.loaders import Loader

    return Loader()


@lru_cache(maxsize=1)
def _services() -> dict[str, str]:
    names = _loader().list_available_services("service-2")
    return {**{name.replace("-", ""): name for name in names}, **_ALIASES}


@lru_cache(maxsize=64)
def service(name: str) -> Service:
    return Service(_loader().load_service_model(name, "service-2"))


def _botocore_name(name: str) -> str | None:
    # Listing all services reads a folder of hundreds: most machines need only these.
    if name in ("sagemaker", "s3", "sns", "sqs", "lambda", "dynamodb"):
        return name
    return _services().get(name.replace("-", ""))


@lru_cache(maxsize=1024)
def operation(name: str, action: str, optimized: bool, waits: bool) -> Operation | str:
    """The API that an integration calls, or why there is none."""
    botocore_name = _botocore_name(name)
    if botocore_name is None:
        return f"{name} is no service that botocore knows{did_you_mean(name, _services())}"
    model = service(botocore_name)
    title = action[0].upper() + action[1:]
    if not action[0].islower():
        return f"an action begins with a small letter: {action[0].lower() + action[1:]}"
    found = model.operations.get(title)
    if found is None:
        names = [known[0].lower() + known[1:] for known in model.operations]
        return f"{name} has no action {action}{did_you_mean(action, names)}"
    shape = model.shapes[found["input"]["shape"]] if "input" in found else {"members": {}}
    members = {_capital(member): model.check(ref["shape"]) for member, ref in shape["members"].items()}
    if optimized:
        members.update({member: _anything for kind, member in _ANY_JSON if kind == name and member in members})
        if name == "lambda":
            members.pop("TenantId", None)
    required = frozenset(_capital(member) for member in shape.get("required", ()))
    return Operation(f"{name}:{action}", members, required, _answer(model, name, title, waits, optimized))


def _answer(model: Service, name: str, title: str, waits: bool, optimized: bool) -> Value:
    """The keys of an answer; where a Task waits for a job, of the job's description."""
    if name not in _ANSWERS:
        return ANYTHING
    found = model.operations.get(title.replace("Create", "Describe", 1) if waits else title)
    if found is None or "output" not in found:
        return ANYTHING
    known = model.answer(found["output"]["shape"])
    extra = dict.fromkeys(("SdkHttpMetadata", "SdkResponseMetadata", "Tags"), ANYTHING) if optimized else {}
    size = CAUSE if waits else REASON  # the description of a job may be long
    return Answer({**known.members, **extra}, size) if isinstance(known, Answer) else known


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _anything(value: Value) -> tuple[Problem, ...]:
    return FINE


def _wrong(value: Value, expected: str) -> tuple[Problem, ...]:
    if value is None:
        return (("", "parameter-null", f"null is sent, and the service wants {expected}; leave the key out"),)
    kind = value.kind if isinstance(value, (Text, Unknown)) else None
    return (("", "parameter-type", f"{expected} is expected, not {kind or kind_of(value)}"),)


class Service:
    """One service's model. Threads share it, so a check or an answer is published only when all of it is finished."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self.shapes: dict[str, Any] = model["shapes"]
        self.operations: dict[str, Any] = model["operations"]
        # Other services' patterns are matched anywhere in the text; SageMaker's hold for the whole of it.
        self._whole = model["metadata"].get("endpointPrefix") == "api.sagemaker"
        self._checks: dict[str, Check] = {}
        self._answers: dict[str, Value] = {}

    def check(self, name: str) -> Check:
        """The check of a shape, made when it is first met."""
        made = self._checks.get(name)
        if made is None:
            making: dict[str, Check] = {}
            made = self._check(name, making)
            self._checks.update(making)
        return made

    def _check(self, name: str, making: dict[str, Check]) -> Check:
        made = self._checks.get(name) or making.get(name)
        if made is None:
            making[name] = lambda value: making[name](value)  # for shapes that contain themselves
            made = making[name] = self._make(self.shapes[name], making)
        return made

    def _make(self, shape: Mapping[str, Any], making: dict[str, Check]) -> Check:
        kind = shape["type"]
        if kind == "string":
            return _text_check(shape, self._whole)
        if kind in _NUMBERS:
            return _number_check(shape)
        if kind == "structure":
            return self._structure(shape, making)
        if kind == "list":
            return _list_check(shape, self._check(shape["member"]["shape"], making))
        if kind == "map":
            key, value = (self._check(shape[part]["shape"], making) for part in ("key", "value"))
            return _map_check(shape, key, value)
        if kind == "boolean":
            return _boolean
        return _anything  # timestamps have many forms; a blob is any JSON

    def _structure(self, shape: Mapping[str, Any], making: dict[str, Check]) -> Check:
        if shape.get("document"):
            return _anything
        checks = {_capital(name): self._check(ref["shape"], making) for name, ref in shape["members"].items()}
        required = frozenset(_capital(name) for name in shape.get("required", ()))
        union = bool(shape.get("union"))

        def check(value: Value) -> tuple[Problem, ...]:
            kind = type(value)
            if kind is not dict and kind is not Open:
                return FINE if _may_be(value, "object") else _wrong(value, "an object")
            problems: list[Problem] = []
            for name, inner in value.items():
                known = checks.get(name)
                if known is None:
                    hint = did_you_mean(name, checks)
                    problems.append((f".{name}", "parameter-unknown", f"there is no such parameter{hint}"))
                else:
                    found = known(inner)
                    if found:
                        problems += [(f".{name}{path}", code, message) for path, code, message in found]
            if kind is dict and not required <= value.keys():
                for name in sorted(required - value.keys()):
                    problems.append(("", "parameter-missing", f"{name} is missing"))
            if union and kind is dict and len(value) != 1:
                problems.append(("", "parameter-value", f"exactly one of {', '.join(sorted(checks))} is expected"))
            return tuple(problems)

        return check

    def answer(self, name: str) -> Value:
        """What is known of a value of this shape that a service gave."""
        if name not in self._answers:
            making: dict[str, Value] = {}
            self._answer(name, making)
            self._answers.update(making)
        return self._answers[name]

    def _answer(self, name: str, making: dict[str, Value]) -> Value:
        if name in self._answers:
            return self._answers[name]
        if name not in making:
            making[name] = ANYTHING  # for shapes that contain themselves
            making[name] = self._make_answer(self.shapes[name], making)
        return making[name]

    def _make_answer(self, shape: Mapping[str, Any], making: dict[str, Value]) -> Value:
        kind = shape["type"]
        if kind == "structure" and not shape.get("document"):
            return Answer(
                {_capital(name): self._answer(ref["shape"], making) for name, ref in shape["members"].items()}
            )
        if kind == "string":
            return Unknown(shape.get("max"), "text")
        if kind in _NUMBERS:
            return Unknown(20, "number")
        return Unknown(None, {"list": "list", "map": "object", "boolean": "boolean"}.get(kind))


def _may_be(value: Value, kind: str) -> bool:
    known = type(value)
    if known is Unknown or known is Text:
        return value.kind is None or value.kind == kind
    return (known is Answer or known is Open) and kind == "object"


def _boolean(value: Value) -> tuple[Problem, ...]:
    return FINE if isinstance(value, bool) or _may_be(value, "boolean") else _wrong(value, "true or false")


def _size(value: int, shape: Mapping[str, Any], what: str) -> tuple[Problem, ...]:
    least, most = shape.get("min"), shape.get("max")
    if most is not None and value > most:
        return (("", "parameter-length", f"{what} {value}, and at most {most} are allowed"),)
    if least is not None and value < least:
        return (("", "parameter-length", f"{what} {value}, and at least {least} must be there"),)
    return FINE


def _text_check(shape: Mapping[str, Any], whole: bool) -> Check:
    enum = frozenset(shape.get("enum", ()))
    pattern = _pattern(shape["pattern"]) if "pattern" in shape else None
    matches = (pattern.fullmatch if whole else pattern.search) if pattern else None
    least, most = shape.get("min", 0), shape.get("max", float("inf"))

    def check_text(text: str, exact: bool = True, extra: int = 0) -> tuple[Problem, ...]:
        if "${" in text:
            text = _PLACEHOLDER.sub(_DIGEST, text)
        if len(text) + extra > most or (exact and len(text) < least):
            return _size(len(text) + extra, shape, "the number of its characters can be")
        if not exact:
            return FINE
        if enum and text not in enum:
            close = did_you_mean(text, enum) or f"; one of {', '.join(sorted(enum)[:8])} is expected"
            return (("", "parameter-enum", f"{text!r} is not allowed{close}"),)
        if matches is not None and not matches(text):
            return (("", "parameter-pattern", f"{text[:100]!r} does not match {shape['pattern']}"),)
        return FINE

    def check(value: Value) -> tuple[Problem, ...]:
        kind = type(value)
        if kind is str:
            return check_text(value)
        if kind is Text and value.kind == "text":
            for number, sample in enumerate(value.samples):
                found = check_text(sample, value.exact, 0 if number else value.extra)
                if found:
                    return tuple((path, code, f"{message} (with {sample[:80]!r})") for path, code, message in found)
            return FINE
        return FINE if _may_be(value, "text") else _wrong(value, "text")

    return check


def _pattern(text: str) -> re.Pattern[str] | None:
    """A Java pattern in Python; None where it says what Python cannot."""
    for java, python in (
        (r"\p{L}", r"\w"),
        (r"\p{Z}", r"\s"),
        (r"\p{N}", r"\d"),
        (r"\p{ASCII}", r"\x00-\x7f"),
        (r"\p{M}", ""),
    ):
        text = text.replace(java, python)
    try:
        return re.compile(text, re.DOTALL)
    except re.error:
        return None


def _number_check(shape: Mapping[str, Any]) -> Check:
    python, what = _NUMBERS[shape["type"]], "a whole number" if _NUMBERS[shape["type"]] is int else "a number"
    least, most = shape.get("min", float("-inf")), shape.get("max", float("inf"))

    def check(value: Value) -> tuple[Problem, ...]:
        kind = type(value)
        if kind is int or kind is float:
            if python is int and kind is float and not value.is_integer():
                return _wrong(value, what)
            if not least <= value <= most:
                return (("", "parameter-range", f"{value} is outside of {least} to {most}"),)
            return FINE
        return FINE if _may_be(value, "number") else _wrong(value, what)

    return check


def _list_check(shape: Mapping[str, Any], member: Check) -> Check:
    def check(value: Value) -> tuple[Problem, ...]:
        if type(value) is not list:
            return FINE if _may_be(value, "list") else _wrong(value, "a list")
        problems = list(_size(len(value), shape, "the number of its entries is"))
        for number, inner in enumerate(value):
            problems += [(f"[{number}]{path}", code, message) for path, code, message in member(inner)]
        return tuple(problems)

    return check


def _map_check(shape: Mapping[str, Any], key_check: Check, value_check: Check) -> Check:
    def check(value: Value) -> tuple[Problem, ...]:
        if type(value) is not dict:
            return FINE if _may_be(value, "object") else _wrong(value, "an object")
        problems = list(_size(len(value), shape, "the number of its keys is"))
        for key, inner in value.items():
            for path, code, message in key_check(key):
                problems.append((f".{key}{path}", code, f"the key: {message}"))
            problems += [(f".{key}{path}", code, message) for path, code, message in value_check(inner)]
        return tuple(problems)

    return check
