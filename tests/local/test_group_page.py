"""The report of 10,000 models in a real browser."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, Page, opened

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "code"), str(ROOT / "tests/jobs")]
import job_io  # noqa: E402  found by the line before
import postprocess  # noqa: E402
from group_layout import entries, lay_out_groups  # noqa: E402

EVIL = "</script><b>bold</b>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ml")
    models = entries(10_000)
    models[4321] |= {"value": EVIL, "mae": 500.0, "reason": "rejected. MAE 500 (limit 2)."}
    models[17] |= {"value": "東京・渋谷 😀"}
    lay_out_groups(root, models, 20_000, 50)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STEPGLUON_ROOT", str(root))
        postprocess.main()
        return job_io.processing_output() / "report.html"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def page(chromium: Browser, report: Path) -> Iterator[Page]:
    found = chromium.page(report.as_uri())
    found.shows(".tools output", "10,000 of 10,000 models")
    yield found
    chromium.close_pages()


def first(page: Page) -> str:
    return str(page.js("document.querySelector('.pane tbody tr:nth-child(2) td').textContent"))


def search(page: Page, words: str) -> None:
    page.js(
        f"(i => {{i.value = {words!r}; i.dispatchEvent(new Event('input'))}})(document.querySelector('.tools input'))"
    )


def press(page: Page, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


def test_only_the_visible_rows_are_made_and_scrolling_makes_the_others(page: Page) -> None:
    assert page.js("document.querySelectorAll('.pane tbody tr').length") < 60
    assert page.js("document.querySelector('.pane table').getAttribute('aria-rowcount')") == "10001"
    assert first(page) == "Store 0"
    page.js("document.querySelector('.pane').scrollTop = 1e9")
    page.shows(".pane tbody", "Store 9999")


def test_a_name_with_markup_is_found_as_text_and_chosen_for_its_reason(page: Page) -> None:
    search(page, "<B>BOLD")
    page.shows(".tools output", "1 of 10,000 models")
    page.js("document.querySelector('.pane tbody tr:nth-child(2)').click()")
    page.shows(".chosen.said", f"{EVIL} (store-04321): rejected. MAE 500 (limit 2).")
    assert page.js("document.querySelectorAll('main b b, .pane b').length") == 0
    search(page, "東京")
    page.shows(".pane tbody", "東京・渋谷 😀")


def test_a_column_is_sorted_both_ways_and_models_are_filtered(page: Page) -> None:
    for expected in ("descending", "ascending"):
        page.js("document.querySelector('.pane th[data-key=score] button').click()")
        sorted_ = page.js("document.querySelector('.pane th[data-key=score]').getAttribute('aria-sort')")
        assert sorted_ == {"descending": "ascending", "ascending": "descending"}[expected]
    assert first(page) == EVIL
    page.js(
        "(s => {s.value = [...s.options].find((o) => o.text.startsWith('accepted')).value;"
        "s.dispatchEvent(new Event('change'))})(document.querySelector('.tools select'))"
    )
    page.shows(".tools output", "9,")
    assert first(page) != EVIL
    assert set(page.js("[...document.querySelectorAll('.pane .pill')].map((one) => one.textContent)")) == {"accepted"}


def test_the_table_is_used_by_keyboard(page: Page) -> None:
    page.js("document.querySelector('.pane').focus()")
    for _ in range(30):
        press(page, "ArrowDown", 40)
    page.shows(".chosen.said", "Store 29 ")
    assert page.js("document.querySelector('tr.chosen td').getBoundingClientRect().bottom") <= page.js(
        "document.querySelector('.pane').getBoundingClientRect().bottom"
    )
    page.js("document.querySelector('.pane th button').focus()")
    press(page, "Enter", 13)
    page.js("document.querySelector('.pane th button').click()")
    page.shows(".pane th[aria-sort]", "store")


def test_the_page_fits_a_narrow_window_and_needs_no_other_file(page: Page) -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=600, height=900, deviceScaleFactor=1, mobile=False)
    assert page.js("document.documentElement.scrollWidth") <= 600
    assert page.js("document.querySelector('.pane').scrollWidth <= document.querySelector('.pane').clientWidth")
    assert page.js("performance.getEntriesByType('resource').length") == 0


def test_without_javascript_it_says_where_the_models_are(chromium: Browser, report: Path, tmp_path: Path) -> None:
    place = shutil.copy(report, tmp_path / "report.html")
    page = chromium.page("about:blank")
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.call("Page.navigate", url=Path(place).as_uri())
    page.shows("noscript", "This table needs JavaScript. models.csv has the same content.")
    assert page.js("getComputedStyle(document.querySelector('.all')).display") == "none"
    assert re.search("10,000 models", page.text("main"))
    chromium.close_pages()
