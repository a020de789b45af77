"""What is known about a value before the machine has run.

A value is plain JSON where all of it is known: a dict is an object that has no keys but these. Everything else is one
of the classes here. Whatever is not certain is `Unknown`, and nothing is ever found wrong with that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from stepgluon import limits
from stepgluon.selfcheck.paths import Step

# A task's error output: https://docs.aws.amazon.com/step-functions/latest/apireference/API_TaskFailedEventDetails.html
ERROR = 256
CAUSE = 32_768
REASON = 1024  # FailureReason and ExitMessage of SageMaker's jobs
_REASONS = ("FailureReason", "ExitMessage")

NO_MARKS: frozenset[str] = frozenset()


class Unknown(NamedTuple):
    """Anything, or anything of a kind; `size` is how long it is known to get."""

    size: int | None = None
    kind: str | None = None  # text, number, boolean, list, object
    marks: frozenset[str] = NO_MARKS


class Text(NamedTuple):
    """A text or number of which possible values are known, the longest first.

    Where `exact` is false a part of it is not known; it adds up to `extra` characters to the first sample.
    """

    samples: tuple[str, ...]
    marks: frozenset[str] = NO_MARKS
    exact: bool = True
    kind: str = "text"
    extra: int = 0

    @property
    def length(self) -> int:
        """The most characters that it can have, as far as they are known."""
        return len(self.samples[0]) + self.extra


@dataclass(frozen=True)
class Answer:
    """A service's answer, of which botocore's model knows the members."""

    members: Any  # Mapping of member name to Answer or Unknown
    size: int = REASON  # an estimate


class Open(dict[str, Any]):
    """An object with at least these keys."""


@dataclass(frozen=True)
class Missing:
    """A path leads where nothing can be."""

    reason: str


Value = Any  # plain JSON, or Unknown, Text, Answer, Open inside of it
Found = Any  # a Value or Missing
ANYTHING = Unknown()
_KEYED: set[Any] = {dict, Open}
EXECUTION, RETRY, REDRIVE = "execution", "retry", "redrive"
# The execution's short id that this house's workflows compute: 12 hex characters.
ID = Text(("0123456789ab", "ffffffffffff"), frozenset({EXECUTION}))


def follow(value: Value, steps: tuple[Step, ...], text: str) -> Found:
    """What a path finds in a value."""
    for number, step in enumerate(steps):
        if step is None:
            return Unknown(weight(value))
        kind = type(value)
        if kind is dict or kind is Open:
            if step in value:
                value = value[step]
            elif kind is Open:
                value = ANYTHING
            else:
                return Missing(f"{text} leads nowhere: {_here(steps, number)} holds only {_keys(value)}")
        elif kind is Unknown:
            value = inside(value, step)
        elif kind is Answer:
            if step not in value.members:
                return Missing(f"{text} leads nowhere: the service's answer has no {step} in {_here(steps, number)}")
            value = value.members[step]
        elif kind is list and isinstance(step, int):
            if not -len(value) <= step < len(value):
                return Missing(f"{text} leads nowhere: {_here(steps, number)} has {len(value)} entries")
            value = value[step]
        else:
            return Missing(
                f"{text} leads nowhere: {_here(steps, number)} is {'a list' if kind is list else 'no object'}"
            )
    if type(value) is Unknown and steps == ("id",) and not value.marks:
        return ID
    return value


def inside(value: Unknown, step: Step) -> Found:
    if value.kind in ("text", "number", "boolean"):
        return Missing(f"{step} is looked for inside of a {value.kind}")
    if step in _REASONS:
        return Unknown(REASON, "text", value.marks)
    return Unknown(None, None, value.marks)


def _here(steps: tuple[Step, ...], number: int) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps[:number])


def _keys(value: dict[str, Any]) -> str:
    names = sorted(map(str, value))
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "nothing"


def put(data: Value, steps: tuple[Step, ...], value: Value) -> Found:
    """The data with the value at a reference path: what ResultPath does. The data itself stays as it is."""
    if not steps:
        return value
    step, kind = steps[0], type(data)
    if kind is dict or kind is Open:
        inner = put(data.get(step, ANYTHING if kind is Open else {}), steps[1:], value)
        return inner if isinstance(inner, Missing) else _with(data, step, inner)
    if kind is Answer:
        return ANYTHING
    if kind is Unknown and data.kind in (None, "object"):
        inner = put(ANYTHING, steps[1:], value)
        return inner if isinstance(inner, Missing) or not isinstance(step, str) else Open({step: inner})
    if kind is list and isinstance(step, int):
        if not -len(data) <= step < len(data):
            return Missing("it names an entry that the list does not have")
        inner = put(data[step], steps[1:], value)
        return inner if isinstance(inner, Missing) else [*data[:step], inner, *data[step:][1:]]
    return Missing(f"{step} cannot be set inside of {'a list' if kind is list else 'what is no object'}")


def _with(data: dict[str, Value], step: Step, value: Value) -> dict[str, Value]:
    changed: dict[Any, Value] = Open(data) if type(data) is Open else dict(data)
    changed[step] = value
    return changed


def join(left: Value, right: Value) -> Value:
    """What a state can meet that is reached on two ways; a key that only one way has may be there."""
    if left is right:
        return left
    kinds: set[Any] = {type(left), type(right)}
    if kinds <= _KEYED:
        both = Open() if Open in kinds else {}
        both.update(left)
        for key, value in right.items():
            if key not in left:
                both[key] = value
            elif left[key] is not value:
                both[key] = join(left[key], value)
        return both
    if kinds == {list} and len(left) == len(right):
        return [join(one, other) for one, other in zip(left, right, strict=False)]
    if kinds == {Text} and left.kind == right.kind:
        samples = sorted({*left.samples, *right.samples}, key=len, reverse=True)[:6]
        longer = max(left.length, right.length) - len(samples[0])
        return Text(tuple(samples), left.marks & right.marks, left.exact and right.exact, left.kind, longer)
    if len(kinds) == 1 and kinds <= {str, int, float, bool, type(None)} and left == right:
        return left
    return Unknown(max(weight(left), weight(right)))


def weight(value: Value) -> int:
    """Bytes of the value as JSON, what is not known counting nothing."""
    kind = type(value)
    if kind is str:
        return len(value) + 2
    if kind is Unknown:
        return 0 if value.size is None else int(value.size) + 2
    if kind is Text:
        return int(value.length) + 2
    if kind is Answer:
        return int(value.size)
    if kind is dict or kind is Open:
        return 2 + sum(weight(inner) + len(key) + 4 for key, inner in value.items())
    if kind is list:
        return 2 + sum(weight(inner) + 1 for inner in value)
    return len(repr(value))


class Sizes:
    """The same as `weight`, but parts that several values share are weighed once."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Value, int]] = {}

    def of(self, value: Value) -> int:
        kind = type(value)
        if kind is not dict and kind is not list and kind is not Open:
            return len(value) + 2 if kind is str else weight(value)
        seen = self._seen.get(id(value))
        if seen is not None:
            return seen[1]
        total = 2
        if kind is not list:
            total += sum(map(len, value)) + 4 * len(value)
            value_parts = value.values()
        else:
            total += len(value)
            value_parts = value
        for inner in value_parts:
            total += len(inner) + 2 if type(inner) is str else self.of(inner)
        # The value is kept beside its size, so that no other one can get its id.
        self._seen[id(value)] = (value, total)
        return total


def context(path: tuple[Step, ...], state: str, attempts: int) -> Value:
    """The value at a path of the context object, from inside a state that is retried `attempts` times."""
    match path:
        case ("Execution", "Name"):
            n = limits.EXECUTION_NAME
            return Text(("_-" * (n // 2), "A" * n), frozenset({EXECUTION}))
        case ("Execution", "Id"):
            return Unknown(2 * limits.EXECUTION_NAME + 80, "text", frozenset({EXECUTION}))
        case ("Execution", "StartTime"):
            return Text(("2026-01-31T23:59:59.999Z",), frozenset({EXECUTION}))
        case ("Execution", "RedriveCount"):
            return Text((str(limits.REDRIVES), "0"), frozenset({REDRIVE}), kind="number")
        case ("Execution", "RoleArn"):
            return Unknown(2048, "text")
        case ("State", "RetryCount"):
            return Text((str(attempts), "0"), frozenset({RETRY}), kind="number")
        case ("State", "Name"):
            return Text((state,))
        case ("StateMachine", "Name"):
            return Unknown(limits.MACHINE_NAME, "text")
        case ("StateMachine", "Id"):
            return Unknown(limits.MACHINE_NAME + 80, "text")
    return ANYTHING
