"""Events on disk: none is lost by a crash, and one that is handled is not there any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.lambda_.functions import Pending
from localaws.s3.store import Objects

FUNCTION = "arn:aws:lambda:ap-northeast-1:123456789012:function:penguins-start"


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[Objects]:
    found = Objects(tmp_path)
    yield found
    found.close()


def events(pending: Pending) -> list[object]:
    return [event for _, _, event in pending.left()]


def test_another_server_finds_an_event_as_soon_as_it_is_kept(objects: Objects, tmp_path: Path) -> None:
    Pending(objects).keep(FUNCTION, {"n": 1})
    other = Objects(tmp_path)
    assert [(arn, event) for _, arn, event in Pending(other).left()] == [(FUNCTION, {"n": 1})]
    other.close()


def test_an_event_that_is_dealt_with_while_others_are_read_is_none_any_more(objects: Objects) -> None:
    pending = Pending(objects)
    _, second, _ = (pending.keep(FUNCTION, n) for n in range(3))

    def unwanted(event: object) -> bool:
        pending.settle(second)
        return event == 0

    pending.drop(unwanted)
    assert events(pending) == [2]


def test_an_event_for_which_the_disk_has_no_room_is_handled_from_memory(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*document: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objects, "write_document", full)
    pending = Pending(objects)
    assert pending.keep(FUNCTION, 1) is None
    pending.settle(None)
