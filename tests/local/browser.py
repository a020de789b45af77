"""Headless Chromium, driven through its debugging pipe: tests wait for what a page shows, not for a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from local_aws import until


def command(folder: Path, *words: str) -> list[str]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    usual = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    names = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    return [program, *usual, names, f"--user-data-dir={folder / 'profile'}", *words]


class Page:
    """A tab."""

    def __init__(self, browser: Browser, address: str) -> None:
        target = browser.call("Target.createTarget", url=address)["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._browser, self._target = browser, target

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **given)

    def js(self, expression: str) -> Any:
        """The value of an expression, or of its promise."""
        given = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        told = until(lambda: self._evaluated(given))
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def _evaluated(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """None while the page is being loaded."""
        try:
            return self.call("Runtime.evaluate", **given)
        except RuntimeError as problem:
            if not any(word in str(problem) for word in ("context", "navigated")):
                raise
            return None

    def text(self, selector: str) -> str:
        return str(self.js(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def shows(self, selector: str, text: str) -> None:
        """Returns when the element has the text."""
        until(lambda: text in self.text(selector))


class Browser:
    def __init__(self, orders: IO[bytes], answers: IO[bytes]) -> None:
        self._orders, self._answers, self._count = orders, answers, 0
        self._pages: list[Page] = []

    def call(self, method: str, session: str | None = None, **given: Any) -> dict[str, Any]:
        self._count += 1
        order = {"id": self._count, "method": method, "params": given}
        self._orders.write(json.dumps(order | ({"sessionId": session} if session else {})).encode() + b"\0")
        self._orders.flush()
        while True:
            told = json.loads(self._message())
            if told.get("id") == self._count:
                if "error" in told:
                    raise RuntimeError(told["error"]["message"])
                return dict(told["result"])

    def _message(self) -> bytes:
        found = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "chromium has ended"
            found += byte
        return bytes(found)

    def page(self, address: str) -> Page:
        self._pages.append(Page(self, address))
        return self._pages[-1]

    def close_pages(self) -> None:
        while self._pages:
            self._pages.pop().close()


@contextmanager
def opened(folder: Path) -> Iterator[Browser]:
    orders, put = os.pipe()
    get, answers = os.pipe()
    script = f'exec "$@" 3<&{orders} 4>&{answers}'
    words = ["bash", "-c", script, "bash", *command(folder, "--remote-debugging-pipe", "about:blank")]
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(orders, answers)
    ) as process:
        os.close(orders)
        os.close(answers)
        with os.fdopen(put, "wb") as out, os.fdopen(get, "rb") as back:
            try:
                yield Browser(out, back)
            finally:
                process.terminate()
