"""Decides each column's type, once for all files, and casts raw batches to it.

A CSV file holds only text: a column gets the first type of `LADDER` that fits all its values. Numbers that would lose
something (007, 12345678901234567890) stay text. Empty cells are missing values in every column; so are the spellings in
`MISSING`, except in text columns, where NA may be Namibia.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

TEXT = pa.string()
NUMBERS = (pa.int64(), pa.float64())
MOMENTS = (pa.date32(), pa.timestamp("s"), pa.timestamp("us"))
ZONED = (pa.timestamp("s", "UTC"), pa.timestamp("us", "UTC"))
LADDER = (pa.bool_(), *NUMBERS, *MOMENTS, *ZONED)
_WIDER = (NUMBERS, MOMENTS, ZONED)  # a later type holds every value of an earlier one
MISSING = pa.array(["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "-NaN", "null", "NULL", "None", "<NA>"])
_SPELLINGS = frozenset(MISSING.to_pylist())
_HEAD = 100
_NUMBER = r"^-?(?:(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity|nan))$"
_EXACT = 2**53  # above it, neighbouring integers are the same float64
_ALTERED = re.compile(r"(\+|-?0[0-9xX])")
_LONG = re.compile(r"\s*-?[0-9]{16,}\s*")
_FEW = (
    256  # values for which Python's expressions take less time than a dozen calls of Arrow, as in a server's requests
)


class Misfit(Exception):
    """A value in a raw batch does not have its column's type."""

    def __init__(self, column: str, index: int, value: object) -> None:
        super().__init__(column, index, value)
        self.column, self.index, self.value = column, index, value


def words(kind: pa.DataType) -> str:
    """The user's word for a type."""
    if kind in NUMBERS:
        return "numbers"
    if pa.types.is_boolean(kind):
        return "true/false"
    if pa.types.is_temporal(kind):
        return "dates"
    return "text" if kind == TEXT else "nothing"


def plain(kind: pa.DataType) -> pa.DataType | None:
    """The type of ours that holds values of this type, or None for lists, structs, bytes and the like."""
    if pa.types.is_dictionary(kind):
        return plain(kind.value_type)
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        unit = "s" if kind.unit == "s" else "us"
        return pa.timestamp(unit, "UTC" if kind.tz else None)
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return kind
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return TEXT
    return None


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The narrowest of our types that holds the values of both, or None if only text would."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    for line in _WIDER:
        if one in line and other in line:
            return line[max(line.index(one), line.index(other))]
    return None


def type_of(values: pa.Array, ladder: Iterable[pa.DataType]) -> pa.DataType:
    """The first type of the ladder that fits all values; null if there are none, otherwise text."""
    if values.type != TEXT:
        return values.type
    if are_missing(values):
        return pa.null()
    head = values.drop_null().slice(0, _HEAD)  # a failing cast of many values is slow; the first ones usually decide
    parts = [head, values] if len(values) > _HEAD else [values]
    first = next((text for value in head.to_pylist() if (text := value.strip()) not in _SPELLINGS), None)
    for kind in ladder:
        if (first is None or _may_be(first, kind)) and all(_cast(part, kind) is not None for part in parts):
            return kind
    return TEXT


def _may_be(text: str, kind: pa.DataType) -> bool:
    """Whether the text begins like a value of this type: much faster to find out than a cast of few values."""
    if pa.types.is_boolean(kind):
        return text[0] in "tTfF"
    if kind in NUMBERS:
        return text[0] in "+-.0123456789iInN"  # also of inf and nan
    return text[4:5] == "-"  # 2024-12-31


def are_missing(values: pa.Array) -> bool:
    """Whether all values are missing."""
    if values.null_count == len(values):
        return True
    return values.type == TEXT and bool(pc.all(_missing(values)).as_py())


def types_of(batches: Iterable[pa.RecordBatch], ladder: tuple[pa.DataType, ...]) -> dict[str, pa.DataType]:
    """The types of a file's columns: from its first batch a good guess, from all batches exact.

    Raises Misfit for a value of another type than its column's, unless both were read from text and can stay text.
    """
    kinds: dict[str, pa.DataType] = {}
    rows = 0
    for batch in batches:
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            before = kinds.get(name, pa.null())
            found = type_of(values, ladder)
            both = wider(before, found)
            if both is None and not {before, found} <= {TEXT, *ladder}:
                index = pc.index(pc.is_valid(values), True).as_py()
                raise Misfit(name, rows + index, values[index].as_py())
            kinds[name] = both or TEXT
        rows += batch.num_rows
    return kinds


def cast(name: str, values: pa.Array, kind: pa.DataType) -> pa.Array:
    """The values cast to the type; raises Misfit for the first one that does not fit."""
    fitting = _cast(values, kind)
    if fitting is None:
        index = first_misfit(values, kind)
        assert index is not None
        raise Misfit(name, index, values[index].as_py())
    return fitting


def first_misfit(values: pa.Array, kind: pa.DataType) -> int | None:
    """The index of the first value that does not fit the type."""
    if _cast(values, kind) is not None:
        return None
    start, stop = 0, len(values)  # the first misfit is in values[start:stop]
    while stop - start > 1:
        middle = (start + stop) // 2
        if _cast(values.slice(start, middle - start), kind) is None:
            stop = middle
        else:
            start = middle
    return start


def not_numbers(values: pa.Array) -> npt.NDArray[np.int64]:
    """The indices of all texts that `_cast` cannot read as float64; it would stop at the first."""
    plain = pc.utf8_trim_whitespace(values)
    number = pc.match_substring_regex(plain, _NUMBER)
    long = pc.fill_null(pc.match_substring_regex(plain, r"^-?[0-9]{16,}$"), False)
    if pc.any(long).as_py():
        exact = pc.less(pc.abs(pc.cast(pc.if_else(long, plain, "0"), pa.float64())), float(_EXACT))
        number = pc.and_(number, exact)
    wrong = pc.and_not(pc.fill_null(pc.invert(number), False), _missing(values))
    return np.flatnonzero(wrong.to_numpy(zero_copy_only=False))


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    if values.type == kind:
        return _without_nan(values)
    if values.type != TEXT:
        return _cast_plain(values, kind)
    return _cast_text(values, kind) if kind != TEXT else values


def _cast_plain(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        if kind == pa.date32():
            return pc.cast(values, kind)
        # Nanoseconds are truncated to microseconds; everything else must fit exactly.
        finer = pa.types.is_timestamp(values.type) and values.type.unit == "ns"
        return _without_nan(pc.cast(values, kind, safe=not finer and not pa.types.is_decimal(values.type)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _cast_text(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        typed = pc.cast(values, kind)
    except pa.ArrowInvalid:
        # Surrounding spaces and spellings of "missing" are rare: check for them only if a value does not fit.
        values = pc.if_else(_missing(values), None, pc.utf8_trim_whitespace(values))
        try:
            typed = pc.cast(values, kind)
        except pa.ArrowInvalid:
            return None
    if pa.types.is_boolean(kind):
        return None if pc.any(pc.is_in(values, pa.array(["0", "1"]))).as_py() else typed
    if kind in NUMBERS:
        if _loses_digits(values, typed):
            return None
        return _without_nan(typed)
    return typed


def _missing(values: pa.Array) -> pa.Array:
    return pc.fill_null(pc.is_in(pc.utf8_trim_whitespace(values), MISSING), True)


def _loses_digits(values: pa.Array, typed: pa.Array) -> bool:
    """Whether a text like 007, 0x1F, +49 or an integer of 20 digits would come back differently."""
    if len(values) <= _FEW:
        texts, floating = filter(None, values.to_pylist()), pa.types.is_floating(typed.type)
        return any(
            _ALTERED.match(text) or (floating and _LONG.fullmatch(text) and abs(float(text)) >= _EXACT)
            for text in texts
        )
    for start in ("0", "-0", "+"):
        starting = pc.starts_with(values, start)
        # The regular expression is slow, so it is applied only to the few candidates.
        if (
            pc.any(starting).as_py()
            and pc.any(pc.match_substring_regex(values.filter(starting), f"^{_ALTERED.pattern}")).as_py()
        ):
            return True
    if pa.types.is_floating(typed.type):
        large = pc.greater_equal(pc.abs(typed), float(_EXACT))
        if pc.any(large).as_py():
            return bool(pc.any(pc.match_substring_regex(values.filter(large), f"^{_LONG.pattern}$")).as_py())
    return False


def _without_nan(values: pa.Array) -> pa.Array:
    """Treat not-a-number as missing."""
    if not pa.types.is_floating(values.type):
        return values
    nan = pc.is_nan(values)
    return pc.if_else(nan, None, values) if pc.any(nan).as_py() else values


def agreed(
    kinds_by_file: Mapping[str, Mapping[str, pa.DataType]], column: str
) -> tuple[pa.DataType, tuple[str, str] | None]:
    """A column's type across all files, null if it has no values; or the first two files that disagree."""
    first, kind = "", pa.null()
    for file, kinds in kinds_by_file.items():
        other = kinds.get(column, pa.null())
        both = wider(kind, other)
        if both is None:
            return kind, (first, file)
        if pa.types.is_null(kind) and not pa.types.is_null(other):
            first = file
        kind = both
    return kind, None


def class_names(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The values of a label as names of classes, as predictions.csv writes them: true, 1, 1.5."""
    text = pc.cast(values, TEXT)
    return pc.replace_substring_regex(text, r"\.0$", "") if pa.types.is_floating(values.type) else text
