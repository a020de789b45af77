"""Escapes text that a spreadsheet would run as a formula: a leading apostrophe marks it as text."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

# Programs skip blanks, control and invisible characters before the sign, and some treat the full-width signs of
# Chinese and Japanese keyboards like the plain ones. https://owasp.org/www-community/attacks/CSV_Injection
_SIGNS = "=+\\-@＝＋－＠"
_FORMULA = rf"^(?:[\p{{Z}}\p{{Cc}}\p{{Cf}}]*[{_SIGNS}]|[\t\r\n])"


def defused(values: pa.Array) -> pa.Array:
    """Escape the cells of a text column; other columns contain no formulas, and negative numbers are unchanged."""
    if not pa.types.is_string(values.type):
        return values
    first = pc.utf8_slice_codeunits(values, 0, 1)
    # The regular expression is slow, and most texts start with a letter or a digit.
    if pc.all(pc.or_(pc.utf8_is_alnum(first), pc.equal(first, ""))).as_py():
        return values
    dangerous = pc.fill_null(pc.match_substring_regex(values, _FORMULA), False)
    if not pc.any(dangerous).as_py():
        return values
    return pc.if_else(dangerous, pc.binary_join_element_wise("'", values, ""), values)


def defused_names(names: list[str]) -> list[str]:
    cells: list[str] = defused(pa.array(names, pa.string())).to_pylist()
    return cells
