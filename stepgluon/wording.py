"""What is wrong with one value, in plain English; nothing of pydantic's wording reaches a user."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_args

from pydantic.fields import FieldInfo

from stepgluon.config import EXPECTED, Model, PipelineConfig, Section
from stepgluon.errors import found

LONGEST = 64  # characters; a longer word is no misspelling of anything


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one."""
    if len(word) > LONGEST:
        return None
    known = list(known)
    folded = {one.lower().replace("-", "_"): one for one in known}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.65)
    return folded[close[0]] if close else None


def listed(words: Sequence[str], last: str = "or") -> str:
    """`a, b or c`; of more than ten only the first ten."""
    if len(words) > 10:
        return ", ".join(words[:10]) + ", …"
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def unknown(word: str, known: Iterable[str], what: str, like: str) -> str:
    """`'mars-1' is no AWS region (expected: one like us-east-1)`, or the one that was meant."""
    guess = did_you_mean(word, known)
    hint = f"did you mean {guess}?" if guess else f"expected: one like {like}"
    return f"{found(word)} is no {what} ({hint})"


def unknown_key(name: str, here: Sequence[str]) -> str:
    guess = did_you_mean(name, here)
    if guess is None and (elsewhere := [key for key in _keys() if key.split(".")[-1] == name]):
        return f"unknown key (this is a key elsewhere: {listed(elsewhere)})"
    hint = f"did you mean {guess}?" if guess else f"the keys here are {listed(here, 'and')}"
    return f"unknown key ({hint})"


def keys_at(loc: Sequence[Any]) -> list[str]:
    """The keys that a section of the file can have."""
    keys = list(_fields(loc))
    return keys if loc else [*(key for key in keys if key != "environment"), "environments"]


def describe(error: Any, written: object) -> str:
    """The message for one of pydantic's errors; `written` is what stands in the file."""
    words = _MESSAGES.get(error["type"])
    if words is None:
        return f"{found(written)} is not valid here (see the key's description: python pipeline.py schema)"
    return words(error.get("ctx", {}), written, error["loc"])


def _missing(_: Any, __: object, loc: Sequence[Any]) -> str:
    field = _fields(loc[:-1]).get(loc[-1])
    return f"this key is missing ({field.description if field else 'it is required'})"


def _unknown_key(_: Any, __: object, loc: Sequence[Any]) -> str:
    return unknown_key(loc[-1], keys_at(loc[:-1]))


def _text(_: Any, written: object, __: Any) -> str:
    if isinstance(written, (bool, int, float)):
        return f"text is expected, found {_kind(written)} (put it in quotes: '{found(written)}')"
    return f"text is expected, found {_kind(written)}"


def _number(kind: str) -> Callable[..., str]:
    def words(_: Any, written: object, __: Any) -> str:
        quoted = isinstance(written, str) and re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", written)
        return f"{kind} is expected, found {_kind(written)}{' (remove the quotes)' if quoted else ''}"

    return words


def _kind(written: object) -> str:
    return f"the text {found(written)}" if isinstance(written, str) else found(written)


def _mapping(_: Any, written: object, loc: Sequence[Any]) -> str:
    keys = list(_fields(loc))
    which = f"a mapping with keys like {listed(keys[:3])}" if keys else "a mapping (key: value)"
    nothing = " (give it a key, or remove the line)" if written is None else ""
    return f"{which} is expected, found {_kind(written)}{nothing}"


def _list(_: Any, written: object, loc: Sequence[Any]) -> str:
    if loc == ("models",):
        return f"a list is expected, found {_kind(written)} (begin each model with '- name:')"
    hint = f" (write [{written}])" if isinstance(written, str) and re.fullmatch(r"[\w.@/-]{1,50}", written) else ""
    return f"a list is expected, found {_kind(written)}{hint}"


def _choice(context: Any, written: object, _: Any) -> str:
    choices = re.findall("'([^']*)'", context["expected"])
    guess = did_you_mean(written, choices) if isinstance(written, str) else None
    return (
        f"{found(written)} is not known here (expected: {listed(choices)}{f'; did you mean {guess}?' if guess else ''})"
    )


def _length(context: Any, written: object, _: Any) -> str:
    size = len(written) if isinstance(written, (str, list, dict)) else 0
    unit = "characters" if isinstance(written, str) else "entries"
    return f"{size:,} {unit} are too many (at most {context['max_length']:,})"


def _limit(size: str, words: str, name: str) -> Callable[..., str]:
    return lambda context, written, _: f"{found(written)} is too {size} (expected: {words} {_plain(context[name])})"


def _plain(limit: float) -> str:
    return f"{int(limit):,}" if limit == int(limit) else str(limit)


_MESSAGES: dict[str, Callable[[Any, object, Any], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "string_type": _text,
    "int_type": _number("a whole number"),
    "int_from_float": _number("a whole number"),
    "float_type": _number("a number"),
    "finite_number": _number("a finite number"),
    "bool_type": lambda _, written, __: f"true or false is expected, found {_kind(written)}",
    "list_type": _list,
    "dict_type": _mapping,
    "model_type": _mapping,
    "literal_error": _choice,
    "string_pattern_mismatch": lambda context, written, _: (
        f"{found(written)} is not allowed (expected: {EXPECTED[context['pattern']]})"
    ),
    "string_too_short": lambda *_: "the text is empty (write something)",
    "too_short": lambda *_: "the list is empty (give at least one entry)",
    "string_too_long": _length,
    "too_long": _length,
    "greater_than": _limit("small", "more than", "gt"),
    "greater_than_equal": _limit("small", "at least", "ge"),
    "less_than": _limit("large", "less than", "lt"),
    "less_than_equal": _limit("large", "at most", "le"),
    "value_error": lambda context, _, __: str(context["error"]),
}


def section(annotation: Any) -> type[Section] | None:
    """The section that a field holds, or holds a list of."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((inner for part in get_args(annotation) if (inner := section(part))), None)


def _fields(loc: Sequence[Any]) -> dict[str, FieldInfo]:
    """The keys that a place of the config can have; none where it is no section."""
    here: type[Section] | None = PipelineConfig
    for part in loc:
        if isinstance(part, str):
            field = here.model_fields.get(part) if here else None
            here = section(field.annotation) if field else None
    return here.model_fields if here else {}


def _keys(of: type[Section] = PipelineConfig, prefix: str = "") -> list[str]:
    """Every key of the schema; those of models as models[].label."""
    keys = []
    for name, field in of.model_fields.items():
        keys.append(prefix + name)
        inner = section(field.annotation)
        if inner:
            keys += _keys(inner, f"{prefix}{name}{'[]' if inner is Model else ''}.")
    return keys
