"""Events on disk: none is lost by a crash, and none that cannot be read stands in the way of the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from localaws.lambda_.undelivered import Pending

FUNCTION = "arn:aws:lambda:ap-northeast-1:123456789012:function:penguins-start"


def events(pending: Pending) -> list[object]:
    return [event for _, _, event in pending.left()]


def test_an_event_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[tuple[int, int, list[Path]]] = []

    def fsync(number: int) -> None:
        now = os.fstat(number)
        flushed.append((now.st_ino, now.st_size, list(tmp_path.glob("*.json"))))

    monkeypatch.setattr(os, "fsync", fsync)
    file = Pending(tmp_path).keep(FUNCTION, {"n": 1})
    assert file and flushed == [(file.stat().st_ino, file.stat().st_size, [])]


def test_an_event_that_is_dealt_with_while_others_are_read_is_none_any_more(tmp_path: Path) -> None:
    (tmp_path / "0.json").symlink_to("gone")  # listed, but not there to be read
    pending = Pending(tmp_path)
    _, second, _ = (pending.keep(FUNCTION, n) for n in range(3))

    def unwanted(event: object) -> bool:
        pending.settle(second)
        return event == 0

    pending.drop(unwanted)
    assert events(pending) == [2]


DAMAGED = {
    "empty": b"",
    "zeros": b"\0" * 60,
    "half": b'{"arn": "a',
    "no event": b"{}",
    "a list": b"[]",
    "no text": b"\xff",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_event_is_put_aside_and_told_of_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    damaged = tmp_path / "0.json"
    damaged.write_bytes(content)
    pending = Pending(tmp_path)
    pending.keep(FUNCTION, 1)
    assert events(pending) == events(pending) == [1]
    told = f"{damaged} is damaged, so its upload has no run: upload the file again.\n"
    assert capsys.readouterr().err == told
    assert (tmp_path / "0.damaged").read_bytes() == content
