"""Describes what is wrong with a value in plain English; users never see pydantic's wording."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from stepgluon.config.durations import LIKE
from stepgluon.config.nodes import Node
from stepgluon.config.schema import DURATION_SCHEMA, EXPECTED, Model, PipelineConfig, Section
from stepgluon.errors import found

LONGEST = 64  # characters; a longer word cannot be a misspelling


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The most similar known word."""
    if len(word) > LONGEST:
        return None
    known = list(known)
    folded = {one.lower().replace("-", "_"): one for one in known}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.65)
    return folded[close[0]] if close else None


def listed(words: Sequence[str], last: str = "or") -> str:
    """`a, b or c`; at most the first ten."""
    if len(words) > 10:
        return ", ".join(words[:10]) + ", …"
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def unknown(word: str, known: Iterable[str], what: str, like: str) -> str:
    """`'mars-1' is not an AWS region (expected: one like us-east-1)`, or a suggestion."""
    guess = did_you_mean(word, known)
    hint = f"did you mean {guess}?" if guess else f"expected: one like {like}"
    return f"{found(word)} is not {what} ({hint})"


def unknown_key(name: str, known: Sequence[str]) -> str:
    guess = did_you_mean(name, known)
    if guess is None and (elsewhere := [key for key in _keys() if key.split(".")[-1] == name]):
        return f"unknown key (the key exists elsewhere: {listed(elsewhere)})"
    hint = f"did you mean {guess}?" if guess else f"expected: {listed(known)}"
    return f"unknown key ({hint})"


def keys_at(loc: Sequence[Any]) -> list[str]:
    """The keys that a section of the file may have."""
    keys = list(_fields(loc))
    return keys if loc else [*(key for key in keys if key != "environment"), "environments"]


def describe(error: Any, node: Node) -> str:
    """The message for one of pydantic's errors about a node: what is wrong (what is expected)."""
    words = _MESSAGES.get(error["type"])
    if words is None:
        return f"{node.shown} is not valid (see the key's description: python pipeline.py schema)"
    return words(error.get("ctx", {}), node, error["loc"])


def _not(node: Node, what: str) -> str:
    """`the text 'low' is not a number`, `the value is missing`."""
    if node.spoken:
        return f"{node.spoken} is not {what}"
    if node.value is None:
        return "the value is missing"
    return f"{'the text ' if isinstance(node.value, str) else ''}{found(node.value)} is not {what}"


def _missing(_: Any, __: Node, loc: Sequence[Any]) -> str:
    field = _fields(loc[:-1]).get(loc[-1])
    return f"this key is missing ({field.description if field else 'it is required'})"


def _unknown_key(_: Any, __: Node, loc: Sequence[Any]) -> str:
    if loc[-2:] == ("instance", "count"):
        return "this job runs on one instance (remove the key: only predict.instance has a count)"
    return unknown_key(loc[-1], keys_at(loc[:-1]))


def _text(_: Any, node: Node, loc: Sequence[Any]) -> str:
    names = {part for part in loc if isinstance(part, str)}
    if isinstance(node.value, (bool, int, float)) and (names & _FREE or (loc[-1] == "name" and "models" in names)):
        way_out = "write the variable in quotes" if node.spoken else f"put it in quotes: '{found(node.value)}'"
        return f"{_not(node, 'text')} ({way_out})"
    field = _fields(loc[:-1]).get(loc[-1])
    like = field.description if field and node.value is not None else None
    for part in field.metadata if field else ():
        like = EXPECTED.get(getattr(part, "pattern", None) or "", like)
    return f"{_not(node, 'text')} ({like or 'text is expected'})"


def _number(kind: str) -> Callable[..., str]:
    def words(_: Any, node: Node, loc: Sequence[Any]) -> str:
        if isinstance(node.value, str) and re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", node.value):
            return f"{_not(node, kind)} (remove the quotes)"
        return f"{_not(node, kind)} ({_in_range(loc)} is expected)"

    return words


def _in_range(loc: Sequence[Any]) -> str:
    """`a whole number from 1 to 16384`, from the schema."""
    field = _fields(loc[:-1]).get(loc[-1])
    parts = field.metadata if field else []
    limits = {name: getattr(part, name) for part in parts for name in ("gt", "ge", "lt", "le") if hasattr(part, name)}
    kind = "a whole number" if field and int in _kinds(field.annotation) else "a number"
    if "ge" in limits and "le" in limits:
        return f"{kind} from {limits['ge']} to {limits['le']}"
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
    return f"{kind} {' and '.join(f'{words[name]} {limit}' for name, limit in limits.items())}".rstrip()


def _mapping(_: Any, node: Node, loc: Sequence[Any]) -> str:
    keys = list(_fields(loc))
    which = f"a mapping with keys like {listed(keys[:3])}" if keys else "a mapping (key: value)"
    if node.value is None and not node.spoken:
        return f"the value is missing ({which} is expected: give it a key, or remove the line)"
    return f"{_not(node, 'a mapping')} ({which.replace(' (key: value)', ' like key: value')} is expected)"


def _list(_: Any, node: Node, loc: Sequence[Any]) -> str:
    if loc == ("models",):
        way_out = "begin each model with '- name:'"
    elif node.spoken:
        way_out = 'a variable is one text: write ["${FIRST}", "${SECOND}"]'
    elif isinstance(node.value, str) and re.fullmatch(r"[\w.@/-]{1,50}", node.value):
        way_out = f"write [{node.value}]"
    else:
        way_out = "a list is expected"
    return f"{_not(node, 'a list')} ({way_out})"


def _choice(context: Any, node: Node, _: Any) -> str:
    choices = re.findall("'([^']*)'", context["expected"])
    guess = did_you_mean(node.value, choices) if isinstance(node.value, str) and not node.spoken else None
    hint = f"; did you mean {guess}?" if guess else ""
    return f"{node.shown} is not known (expected: {listed(choices)}{hint})"


def _length(context: Any, node: Node, _: Any) -> str:
    size = len(node.value) if isinstance(node.value, (str, list, dict)) else 0
    unit = "characters" if isinstance(node.value, str) else "entries"
    if node.spoken:
        return f"{node.spoken} has {size:,} {unit} (at most {context['max_length']:,})"
    return f"{size:,} {unit} are too many (at most {context['max_length']:,})"


def _limit(size: str) -> Callable[..., str]:
    return lambda _, node, loc: f"{node.shown} is too {size} ({_in_range(loc)} is expected)"


_FREE = {"label", "drop", "tags", "environment"}  # any text is allowed
_MESSAGES: dict[str, Callable[[Any, Node, Any], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "string_type": _text,
    "int_type": _number("a whole number"),
    "int_from_float": _number("a whole number"),
    "float_type": _number("a number"),
    "finite_number": _number("a finite number"),
    "bool_type": lambda _, node, __: f"{_not(node, 'true or false')} ({_true_or_false(node)})",
    "list_type": _list,
    "dict_type": _mapping,
    "model_type": _mapping,
    "literal_error": _choice,
    "string_pattern_mismatch": lambda context, node, _: (
        f"{node.shown} is not allowed (expected: {EXPECTED[context['pattern']]})"
    ),
    "string_too_short": lambda _, node, __: (
        f"{node.spoken} is not text (text is expected)" if node.spoken else "the text is empty (write something)"
    ),
    "too_short": lambda *_: "the list is empty (give at least one entry)",
    "string_too_long": _length,
    "too_long": _length,
    "greater_than": _limit("small"),
    "greater_than_equal": _limit("small"),
    "less_than": _limit("large"),
    "less_than_equal": _limit("large"),
    "value_error": lambda context, node, _: _refused(str(context["error"]), node),
}


def _refused(message: str, node: Node) -> str:
    """The message of one of the schema's own checks; {} in it is replaced by the value."""
    if node.value is None and not node.spoken:
        return message.replace("{} is not a duration", "the value is missing")
    if node.spoken:
        message = re.sub(r"\(write .*\)", f"({LIKE})", message)  # a suggestion would reveal the value
    return message.replace("{}", node.shown, 1)


def _true_or_false(node: Node) -> str:
    quoted = isinstance(node.value, str) and node.value.lower() in ("true", "false")
    return "remove the quotes" if quoted else "true or false is expected"


def wanted(key: str) -> str:
    """The type of a key: whole number, number, true or false, duration, text; or "" if it may be several."""
    head, odd, _ = re.sub(r"\[[0-9]+\]", "", key).partition("['")
    return _wanted((*re.sub(r"^environments\.[^.]*\.", "", head).split("."), *(["?"] if odd else [])))


@lru_cache(maxsize=1024)
def _wanted(path: tuple[str, ...]) -> str:
    here: type[Section] | None = PipelineConfig
    for i, part in enumerate(path):
        field = here.model_fields.get(part) if here else None
        if field is None:
            return "text" if path == ("models", "partition_by") else ""
        here = section(field.annotation)
        if here is None:
            return _taken(field, inside=i + 1 < len(path))
    return ""


def _taken(field: FieldInfo, inside: bool) -> str:
    kinds = _kinds(field.annotation)
    if dict in kinds:
        return "text" if inside and not {int, float} & kinds else ""
    if DURATION_SCHEMA in field.metadata:
        return "duration"
    if any(isinstance(part, BeforeValidator) for part in field.metadata):
        return ""  # an account may be written as digits
    names = {bool: "true or false", float: "number", int: "whole number", str: "text", Literal: "text"}
    return next((name for kind, name in names.items() if kind in kinds), "")


def _kinds(annotation: Any) -> set[Any]:
    """The types in an annotation."""
    kind = get_origin(annotation) or annotation
    kinds = {kind} if isinstance(kind, type) or kind is Literal else set()
    return kinds.union(*map(_kinds, get_args(annotation)))


def section(annotation: Any) -> type[Section] | None:
    """The section that a field holds, as one or as a list."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((inner for part in get_args(annotation) if (inner := section(part))), None)


def _fields(loc: Sequence[Any]) -> dict[str, FieldInfo]:
    """The keys that a place in the config may have; none if it is not a section."""
    here: type[Section] | None = PipelineConfig
    for part in loc:
        if isinstance(part, str):
            field = here.model_fields.get(part) if here else None
            here = section(field.annotation) if field else None
    return here.model_fields if here else {}


def _keys(of: type[Section] = PipelineConfig, prefix: str = "") -> list[str]:
    """Every key in the schema; keys of models look like models[].label."""
    keys = []
    for name, field in of.model_fields.items():
        keys.append(prefix + name)
        inner = section(field.annotation)
        if inner:
            keys += _keys(inner, f"{prefix}{name}{'[]' if inner is Model else ''}.")
    return keys
