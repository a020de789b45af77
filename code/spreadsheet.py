"""Text that a spreadsheet would run as a formula, made harmless: an apostrophe in front says that it is text."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

DANGEROUS = ("=", "+", "-", "@", "\t", "\r")  # what a formula can begin with


def defused(values: pa.Array) -> pa.Array:
    """Cells of a text column; columns of another type hold no formulas, and a negative number stays one."""
    if not pa.types.is_string(values.type):
        return values
    first = pc.utf8_slice_codeunits(values, 0, 1)
    dangerous = pc.fill_null(pc.is_in(first, pa.array(DANGEROUS)), False)
    if not pc.any(dangerous).as_py():
        return values
    return pc.if_else(dangerous, pc.binary_join_element_wise("'", values, ""), values)


def defused_names(names: list[str]) -> list[str]:
    return [f"'{name}" if name.startswith(DANGEROUS) else name for name in names]
