"""The checks of the services' APIs are made when they are first needed, by threads that share them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stepgluon.selfcheck import apis
from stepgluon.selfcheck.values import Answer

TREE = {
    "Tree": {"type": "structure", "members": {"Name": {"shape": "Name"}, "Children": {"shape": "Trees"}}},
    "Trees": {"type": "list", "member": {"shape": "Tree"}},
    "Name": {"type": "string", "max": 3},
}


class Interrupted(dict[str, Any]):
    """Shapes; while the first check or answer is being made, another thread asks for all of them."""

    def __init__(self, ask: Callable[[], object]) -> None:
        super().__init__(TREE)
        self._ask: Callable[[], object] | None = ask

    def __getitem__(self, name: str) -> Any:
        if name == "Name" and self._ask:
            ask, self._ask = self._ask, None
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
        return super().__getitem__(name)


def service(ask: Callable[[apis.Service], object]) -> apis.Service:
    made = apis.Service({"shapes": {}, "operations": {}, "metadata": {}})
    made.shapes = Interrupted(lambda: ask(made))
    return made


def test_a_check_that_another_thread_is_making_is_not_used_before_it_is_finished() -> None:
    tree = {"Name": "oak", "Children": [{"Name": "larch"}]}
    found: list[Any] = []
    shared = service(lambda made: found.append([made.check(name)(tree) for name in ("Tree", "Trees")]))
    assert shared.check("Tree")(tree)[0][0] == ".Children[0].Name"
    assert [problems[0][:2] for problems in found[0]] == [
        (".Children[0].Name", "parameter-length"),
        ("", "parameter-type"),
    ]


def test_an_answer_that_another_thread_is_making_is_not_used_before_it_is_finished() -> None:
    found: list[Any] = []
    shared = service(lambda made: found.append(made.answer("Tree")))
    assert isinstance(shared.answer("Tree"), Answer) and isinstance(found[0], Answer)


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_three_branches_at_once_can_check_the_first_training_job(switching: None) -> None:
    value = {"TrainingImage": "image", "TrainingInputMode": "File", "S3OutputPath": "s3://bucket/key"}
    together = threading.Barrier(3)

    def branch(_: int) -> None:
        together.wait()
        found = apis.operation("sagemaker", "createTrainingJob", True, False)
        assert isinstance(found, apis.Operation)
        for check in found.members.values():
            check(value)

    with ThreadPoolExecutor(3) as branches:
        for _ in range(40):
            apis.operation.cache_clear()
            apis.service("sagemaker")._checks.clear()
            list(branches.map(branch, range(3)))
