"""The live page as a WSGI application: the page, its events, Stop and Promote.

The server that mounts it has checked Host, Origin and Sec-Fetch-Site (localaws/server/web.py). Everything below /_live/
also needs the token in the page's own HTML, which no other page can read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs, urlencode

from stepgluon.aws import one_sentence
from stepgluon.errors import StepgluonError
from stepgluon.live.state import Source, page_state

PAGE, STYLE, SCRIPT = ((Path(__file__).parent / f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
KEEP_ALIVE_SECONDS = 15.0  # a comment, to detect closed browsers
CLOSING_SECONDS = 2.0  # for the last event of each browser
LONGEST_NAME = 200  # of a run


def _hash(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


_HEADERS = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        f"default-src 'none'; script-src {_hash(SCRIPT)}; style-src {_hash(STYLE)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]


class LivePage:
    def __init__(self, source: Source, secret: bool = False) -> None:
        """`secret` keeps other users of this computer out: the address has the token, too."""
        self._source = source
        self._token = secrets.token_urlsafe(32)
        self._secret = secret
        self.path = f"/?token={self._token}" if secret else "/"
        self._context = copy_context()  # what advice.py knows of this command
        self._closed = threading.Event()
        self._streams = 0
        self._changed = threading.Condition()
        self._look, self._looked = threading.Lock(), dict[tuple[str, str], tuple[float, str]]()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
        query = {key: values[-1] for key, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        if (method, path) == ("GET", "/_live/report"):
            return self._report(query.get("run", ""), query.get("key", ""), start_response)
        opens = (method, path) == ("GET", "/")
        token = query.get("token", "") if method == "GET" else environ.get("HTTP_X_LIVE_TOKEN", "")
        if not hmac.compare_digest(token.encode(), self._token.encode()) and (self._secret or not opens):
            return _respond(start_response, "403 Forbidden", "text/plain", "The token is missing or expired.")
        if opens:
            page = Template(PAGE).substitute(style=STYLE, script=SCRIPT, token=self._token)
            return _respond(start_response, "200 OK", "text/html", page)
        buttons = {"/_live/stop": self._source.stop, "/_live/promote": self._source.promote}
        if (method, path) == ("GET", "/_live/events"):
            start_response("200 OK", [("Content-Type", "text/event-stream; charset=utf-8"), *_HEADERS])
            return self._events(query.get("run", ""), query.get("model", ""))
        if method == "POST" and path in buttons:
            length = environ.get("CONTENT_LENGTH") or ""
            run = (
                environ["wsgi.input"]
                .read(min(int(length), LONGEST_NAME) if length.isdecimal() else 0)
                .decode("utf-8", "replace")
            )
            return self._press(buttons[path], run, start_response)
        return _respond(start_response, "404 Not Found", "text/plain", "Not found.")

    def close(self) -> None:
        """Send the last state to the open pages, and end them."""
        self._closed.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._streams, CLOSING_SECONDS)

    def _press(self, button: Callable[[str], str], run: str, start_response: Any) -> Iterable[bytes]:
        def press() -> str:
            with one_sentence():
                return button(run)

        try:
            return _respond(start_response, "200 OK", "text/plain", self._context.copy().run(press))
        except StepgluonError as problem:
            return _respond(start_response, "409 Conflict", "text/plain", str(problem))

    def _report(self, run: str, key: str, start_response: Any) -> Iterable[bytes]:
        """A run's report. Its address is shown, so it has a key of its own; sandboxed, it has no origin."""
        file = self._source.report(run) if hmac.compare_digest(key.encode(), self._key(run).encode()) else None
        if not isinstance(file, Path):
            return _respond(start_response, "404 Not Found", "text/plain", "There is no report.")
        headers = [*_HEADERS[:-1], ("Content-Security-Policy", "sandbox allow-scripts")]
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), *headers])
        return [file.read_bytes()]

    def _key(self, run: str) -> str:
        return hmac.new(self._token.encode(), run.encode(), "sha256").hexdigest()

    def _events(self, run: str, model: str) -> Iterator[bytes]:
        """An event whenever the state has changed; `end` follows the last."""
        sent, since = "", time.monotonic()
        with self._counted():
            while True:
                last = self._closed.is_set()
                state = self._state(run, model, last)
                if state != sent:
                    yield f'data: {{"now": {time.time():.3f}, "state": {state}}}\n\n'.encode()
                    sent, since = state, time.monotonic()
                elif time.monotonic() - since > KEEP_ALIVE_SECONDS:
                    yield b":\n\n"
                    since = time.monotonic()
                if last:
                    yield b"event: end\ndata:\n\n"
                    return
                self._closed.wait(self._source.pause)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._changed:
            self._streams += 1
        try:
            yield
        finally:
            with self._changed:
                self._streams -= 1
                self._changed.notify_all()

    def _state(self, run: str, model: str, fresh: bool) -> str:
        """The state as JSON; several browsers share one look."""
        with self._look:
            at, text = self._looked.get((run, model), (-1e9, ""))
            if fresh or time.monotonic() - at >= self._source.pause * 0.9:
                try:
                    with one_sentence():
                        state = page_state(self._source, run, model)
                        if state["run"] and (report := self._source.report(name := state["run"]["run"])):
                            here = f"/_live/report?{urlencode({'run': name, 'key': self._key(name)})}"
                            state["run"]["report"] = report if isinstance(report, str) else here
                except StepgluonError as problem:
                    state = {"problem": str(problem)}
                text = json.dumps(state, ensure_ascii=False, allow_nan=False)
                if len(self._looked) > 50:
                    self._looked.clear()
                self._looked[run, model] = (time.monotonic(), text)
        return text


def _respond(start_response: Any, status: str, kind: str, text: str) -> Iterable[bytes]:
    body = text.encode()
    known = [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, [*known, *_HEADERS])
    return [body]
