"""Tables line up where characters are two cells wide."""

from __future__ import annotations

import pytest

from stepgluon.figures import aligned, cells, cut


def test_columns_line_up_beside_wide_and_combined_characters() -> None:
    rows = [("model", "MAE", ""), ("東京", "12", "a"), ("cafe\u0301", "3", "b"), ("🐧", "400", "")]
    assert aligned(rows, right=[1], indent="  ") == [
        "  model  MAE",
        "  東京    12  a",
        "  cafe\u0301     3  b",
        "  🐧     400",
    ]


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 5, "short"),
        ("too long", 5, "too …"),
        ("東京都", 6, "東京都"),
        ("東京都", 5, "東京…"),
        ("東京都", 4, "東…"),
    ],
)
def test_a_text_is_cut_to_the_cells_of_a_line(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown and cells(shown) <= width


def test_a_long_text_is_cut_at_once() -> None:
    assert cut("京" * 200_000 + "x", 80) == "京" * 39 + "…"
