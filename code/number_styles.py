"""Numbers with a decimal comma or with thousands separators, in the text columns of a CSV file.

`1,5` has a decimal comma, `1,234.5` and `1,234,567` have thousands commas; `1,234` may be either. So all values of a
column decide, and columns that leave it open follow the file's others. Where these say nothing, or contradict each
other, the column stays text, and the user is asked for data.decimal. A file separated by commas has a decimal comma
only if the config says so. A later value that would have changed the decision is a Misfit, and all rows are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import column_types
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from column_types import TEXT, Misfit
from job_io import listed, shown

Kinds = Mapping[str, pa.DataType]
COMMA, POINT = "comma", "point"  # the decimal sign; the other one separates thousands
_END = r"(?:[eE][+-]?[0-9]+)?$"
_READINGS = {
    COMMA: rf"^-?(?:0|[1-9][0-9]*|[1-9][0-9]{{0,2}}(?:\.[0-9]{{3}})+)(?:,[0-9]+)?{_END}",
    POINT: rf"^-?(?:0|[1-9][0-9]*|[1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+)(?:\.[0-9]+)?{_END}",
}
BOTH = frozenset(_READINGS)
_LIKE_A_NUMBER = r"^-?[0-9][0-9.,eE+-]*$"
_MONTH = "jan|feb|mar|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
_LIKE_A_DATE = (
    rf"^(?:[0-9]{{1,4}}[./-][0-9]{{1,2}}[./-][0-9]{{1,4}}|[0-9]{{4}}年[0-9]{{1,2}}月[0-9]{{1,2}}日"
    rf"|(?i:[0-9]{{1,2}}\.?[ -](?:{_MONTH})[a-z]*\.?[ -][0-9]{{2,4}}|(?:{_MONTH})[a-z]*\.? [0-9]{{1,2}},? [0-9]{{4}}))"
    r"(?:[T ,].*)?$"
)
_HEAD = 100


@dataclass
class Evidence:
    """What a column's values allow."""

    is_number: bool  # without a style; then the values need not be checked once they are clear
    possible: frozenset[str] = BOTH
    example: str = ""  # the first value with a comma or a point

    def add(self, values: pa.Array) -> None:
        texts = _present(values)
        for some in (texts.slice(0, _HEAD), texts):
            if self.is_number and self.possible != BOTH:
                return
            self.possible = frozenset(each for each in self.possible if _all_match(some, each))
            if not self.example:
                self.example = next(iter(some.filter(pc.match_substring_regex(some, "[.,]")).to_pylist()), "")


@dataclass(frozen=True)
class Style:
    """How a column's numbers are read: with this decimal sign, or as they are if there is none."""

    reading: str
    possible: frozenset[str]  # as long as the column's values allow this, the decision holds
    example: str
    stays_text: bool = False


def find(batches: Iterable[pa.RecordBatch], kinds: Kinds, decimal: str, has_commas: bool) -> dict[str, Style]:
    """The style of each column that needs one; `has_commas` if commas separate the columns."""
    found: dict[str, Evidence] = {}
    for number, batch in enumerate(batches):
        if number == 0:
            found = {name: Evidence(kinds[name] == pa.float64()) for name in _candidates(batch, kinds, has_commas)}
        for name, evidence in found.items():
            evidence.add(batch.column(name))
    found = {name: each for name, each in found.items() if each.example and each.possible}
    proved = frozenset().union(*(each.possible for each in found.values() if len(each.possible) == 1))
    styles = {}
    for name, each in found.items():
        reading = _reading(each, decimal, has_commas, proved)
        styles[name] = Style(reading or "", each.possible, each.example, reading is None and not each.is_number)
    return styles


def _candidates(batch: pa.RecordBatch, kinds: Kinds, has_commas: bool) -> list[str]:
    """Columns of text that look like numbers; and, if points may separate thousands, columns of numbers."""
    found = []
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        like_numbers = kinds[name] == TEXT and _all_match(_present(values.slice(0, _HEAD)), _LIKE_A_NUMBER)
        if like_numbers or (kinds[name] == pa.float64() and not has_commas):
            found.append(name)
    return found


def _reading(found: Evidence, decimal: str, has_commas: bool, proved: frozenset[str]) -> str | None:
    """The column's decimal sign; empty if its numbers are read as they are, None if that is unclear."""
    if decimal != "auto":
        is_plain = found.is_number and decimal == POINT
        return decimal if decimal in found.possible and not is_plain else ""
    if has_commas:
        return POINT if found.possible == {POINT} else None
    by = found.possible if len(found.possible) == 1 else proved
    if found.is_number:
        return COMMA if by == {COMMA} else "" if by == {POINT} else None
    return next(iter(by)) if len(by) == 1 else None


def rewritten(batch: pa.RecordBatch, styles: Mapping[str, Style]) -> pa.RecordBatch:
    """The batch with numbers as Arrow reads them; raises Misfit if a value contradicts its column's style."""
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    for name, style in styles.items():
        texts = _present(columns[name])
        for each in [style.reading] if style.reading else style.possible:
            if not _all_match(texts, each):
                odd = pc.invert(pc.match_substring_regex(texts, _READINGS[each]))
                raise Misfit(name, 0, texts.filter(odd)[0].as_py())
        if style.reading:
            plain = pc.replace_substring(columns[name], "." if style.reading == COMMA else ",", "")
            columns[name] = pc.replace_substring(plain, ",", ".")
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def in_no_style(values: pa.Array) -> npt.NDArray[np.int64]:
    """The indices of the texts that are numbers in no style."""
    plain = pc.utf8_trim_whitespace(values)
    fits = [pc.fill_null(pc.match_substring_regex(plain, each), True) for each in _READINGS.values()]
    indices = column_types.not_numbers(values)
    odd: npt.NDArray[np.int64] = indices[~pc.or_(*fits).to_numpy(zero_copy_only=False)[indices]]
    return odd


def like_dates(batch: pa.RecordBatch, kinds: Kinds) -> list[str]:
    """The columns of text whose first values look like dates."""
    heads = {name: _present(batch.column(name).slice(0, _HEAD)) for name in batch.schema.names if kinds[name] == TEXT}
    return [name for name, head in heads.items() if len(head) and _all_match(head, _LIKE_A_DATE)]


def sentences(styles: Mapping[str, Style], decimal: str) -> list[str]:
    """What was assumed, and what may have to be set."""
    found = []
    for reading, use in ((COMMA, "decimal sign"), (POINT, "thousands separator")):
        names = [name for name, style in styles.items() if style.reading == reading]
        if names and decimal == "auto":
            found.append(f"read , as {use} in {listed(names)} (data.decimal)")
    for name, style in styles.items():
        if style.stays_text:
            found.append(
                f"{shown(name)} holds numbers like {shown(style.example)}, which may be decimals or thousands, and is "
                "read as text (set data.decimal to comma or point)"
            )
        elif not style.reading and style.possible == BOTH and decimal == "auto":
            found.append(
                f"{shown(name)} holds numbers like {shown(style.example)}, read as decimals (if the point separates "
                "thousands, set data.decimal to comma)"
            )
    return found


def _present(values: pa.Array) -> pa.Array:
    texts = pc.utf8_trim_whitespace(values.drop_null())
    return texts.filter(pc.invert(pc.is_in(texts, column_types.MISSING)))


def _all_match(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, _READINGS.get(pattern, pattern)), min_count=0).as_py())
