"""The functions that Step Functions adds to JSONata, and those where Step Functions or the engine differs."""

from __future__ import annotations

import hashlib
import json
import random as random_numbers
import uuid as uuids
from collections.abc import Callable
from typing import Any

_HASHES = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
_MOST_ENTRIES = 1_000_000


def partition(array: Any, size: Any) -> Any:
    """[1, 2, 3] by 2 is [[1, 2], [3]]."""
    if array is None:
        return None
    if not _whole(size) or size < 1:
        raise ValueError("T0410: Argument 2 of function partition does not match function signature")
    items = array if isinstance(array, list) else [array]
    return [items[start : start + size] for start in range(0, len(items), size)]


def range_(first: Any, last: Any, step: Any) -> Any:
    """0 to 9 by 3 is [0, 3, 6, 9]. A single entry is returned without its array, as recorded on AWS."""
    if not all(map(_number, (first, last, step))) or step == 0:
        raise ValueError("T0410: Arguments of function range do not match function signature")
    count = int((last - first) // step) + 1
    if count > _MOST_ENTRIES:
        raise ValueError(
            f"D2014: The size of the sequence allocated by the range function must not exceed 1e6: {count}"
        )
    entries = [first + step * index for index in range(max(count, 0))]
    return entries[0] if len(entries) == 1 else entries


def hash_(content: Any, algorithm: Any) -> str:
    """The hexadecimal digest of a string."""
    if not isinstance(content, str):
        raise ValueError("T0410: Argument 1 of function hash does not match function signature")
    if algorithm not in _HASHES:
        raise ValueError("T0410: Argument 2 of function hash does not match function signature")
    return hashlib.new(_HASHES[algorithm], content.encode(), usedforsecurity=False).hexdigest()


def random(*seed: Any) -> float:
    """0 <= number < 1; the same seed gives the same number, but not AWS's."""
    return random_numbers.Random(*seed).random()  # nosec B311 - as JSONata has it, not for secrets


def uuid() -> str:
    return str(uuids.uuid4())


def parse(text: Any) -> Any:
    """The value of a JSON string."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise ValueError("T0410: Argument 1 of function parse does not match function signature")
    return json.loads(text, parse_constant=_no_json)


def _no_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def now(*picture_and_zone: Any) -> Any:
    """The engine's $now takes no picture and no time zone; its $fromMillis does."""
    import jsonatapy

    bound = dict(zip(("p", "z"), picture_and_zone, strict=False))
    return jsonatapy.compile("$fromMillis($millis(), $p, $z)").evaluate(None, bound)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return _number(value) and value == int(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "partition": partition,
    "range": range_,
    "hash": hash_,
    "uuid": uuid,
    "parse": parse,
    "random": random,
    "now": now,
}
OVERRIDES = ("random", "now")  # the engine has these, too
