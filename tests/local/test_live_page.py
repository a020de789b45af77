"""The live page in a real browser, during runs of the stand-in jobs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, Page, opened
from local_aws import MINUTES, until
from test_run import User, faults, shared, user

__all__ = ["faults", "shared", "user"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    yield chromium
    chromium.close_pages()


def address(process: subprocess.Popen[str]) -> str:
    """The page's, from what the command says."""
    assert process.stderr is not None and process.stdout is not None
    for line in process.stderr:
        if found := re.search(r"live page is at (http://127\.0\.0\.1:\d+/\S*)", line):
            return found[1]
    raise AssertionError("the command names no address")


def run(user: User, browser: Browser) -> tuple[subprocess.Popen[str], Page]:
    process = user.process("run", "--data", "orders.json", "--note", "<b>June</b>", "--open", BROWSER="true")
    return process, browser.page(address(process))


def test_a_run_is_shown_until_its_end(user: User, browser: Browser, tmp_path: Path) -> None:
    go = tmp_path / "go"
    user.orders(train_adelie=f"wait for {go}, then ")
    process, page = run(user, browser)
    page.shows("h1", "Training 2 models")
    page.shows("#log", "waiting")
    page.shows("#stages", "1 of 2 · 1 running")
    page.shows("#about", "<b>June</b>")
    page.shows("article:nth-child(2) .word", "accepted")
    assert page.text("article:nth-child(1) .word") == "training"
    assert page.js("document.querySelectorAll('#models b, #about b').length") == 0, "a note is text, not HTML"
    go.touch()
    page.shows("#notice", "The server has stopped")
    assert page.text("h1") == "Finished, 2 of 2 models accepted"
    assert "finished" in page.text("#mails") and page.text("#runs .word") == "finished"
    assert process.wait(MINUTES) == 0


def test_stop_ends_the_run(user: User, browser: Browser) -> None:
    user.orders(train_gentoo="hang")
    process, page = run(user, browser)
    page.shows("#log", "hanging")
    page.js("window.confirm = () => true")
    page.js("document.querySelector('#buttons button').click()")
    assert process.wait(MINUTES) == 1
    page.shows("h1", "The run was stopped")
    assert user.statuses()["Train gentoo"] == "Stopped"


def test_promote_makes_the_models_of_an_ended_run_the_defaults(user: User, browser: Browser) -> None:
    user.good()
    page = browser.page(address(user.process("local", "up", "--open", BROWSER="true")))
    page.shows("#buttons", "Promote models")
    page.js("document.querySelector('#buttons button').click()")
    page.shows("#notice", "Promoted adelie (MAE 200), gentoo (MAE 200).")


def test_a_failed_run_gives_its_reason_and_its_report(user: User, browser: Browser) -> None:
    user.orders(prepare="exit 1")
    assert user.runs()[0] == 1
    page = browser.page(address(user.process("local", "up", "--open", BROWSER="true")))
    page.shows("#failure", "prepare does not like the data")
    assert page.text("h1") == "The run failed in Prepare data"
    page.js("document.querySelector('#buttons a').target = ''")
    page.js("document.querySelector('#buttons a').click()")
    page.shows("body", "prepare does not like the data")
    page.shows("h1", "Failed in Prepare data")
    until(lambda: page.js("location.pathname") == "/_live/report")
    assert page.js("origin") == "null", "its script reaches nothing of this address"
