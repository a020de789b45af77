"""How long a model may load until /ping answers: the clock of these tests moves only when the client waits."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from localaws.sagemaker import serving
from localaws.sagemaker.serving import HEALTHY_SECONDS, NotServing, Server

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Loading:
    """A container that accepts no connection until its model is loaded."""

    code = None

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def close(self) -> None:
        socket.create_connection(self._listener.getsockname()).close()  # accept returns
        self._thread.join()
        self._listener.close()

    def _answer(self) -> None:
        client, _ = self._listener.accept()
        with client, suppress(OSError):
            client.recv(1000)
            client.sendall(ANSWER)

    def connect(self) -> socket.socket:
        if self._clock.now < self._seconds:
            raise ConnectionRefusedError
        return socket.create_connection(self._listener.getsockname())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    found = Clock()
    monkeypatch.setattr(serving, "time", found)
    yield found


def wait(clock: Clock, loading: float, most: float = 0.0) -> None:
    instance: Any = Loading(clock, loading)
    with closing(instance):
        Server(instance, 1.0).wait(lambda: False, most)


def test_a_model_may_load_for_three_minutes(clock: Clock) -> None:
    wait(clock, 180)
    assert 180 <= clock.now < 181


def test_a_model_that_loads_longer_than_its_deadline_is_not_served(clock: Clock) -> None:
    with pytest.raises(NotServing, match="not healthy within 240 s: /ping: it did not answer"):
        wait(clock, HEALTHY_SECONDS + 1)


def test_a_config_may_allow_more_time(clock: Clock) -> None:
    wait(clock, 600, most=900)
    with pytest.raises(NotServing, match="not healthy within 900 s"):
        wait(clock, clock.now + 901, most=900)
