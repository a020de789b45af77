"""What jobs say, while other jobs begin."""

from __future__ import annotations

import gc
import threading
from typing import Any

from local_aws import ACCOUNT, REGION
from moto.logs.models import LogEvent, logs_backends

from localaws.base.logs import MOST_CHARACTERS, MOST_LINES, JobLogs
from localaws.server.aws import LocalAws
from stepgluon.runs.job_log import LOGS


def test_what_a_job_said_can_be_read_while_another_begins(aws: LocalAws) -> None:
    logs, began = JobLogs(ACCOUNT, REGION), []
    for job in ("a", "b"):
        logs.stream("training", job, 0)(f"said by {job}")
    group = logs_backends[ACCOUNT][REGION].groups[LOGS["training"]]

    class Busy(dict[str, Any]):
        """At each look another job begins, if it may."""

        def __getitem__(self, name: str) -> Any:
            if threading.current_thread() is threading.main_thread():
                began.append(threading.Thread(target=logs.stream, args=("training", f"new-{len(began)}", 0)))
                began[-1].start()
                began[-1].join(0.1)
            return super().__getitem__(name)

    group.streams = Busy(group.streams)
    assert logs.lines("training", "b") == ["said by b"]
    for thread in began:
        thread.join()
    assert len(group.streams) == 2 + len(began) == 3


def test_a_log_of_long_lines_is_kept_in_bounded_memory(aws: LocalAws) -> None:
    logs = JobLogs(ACCOUNT, REGION)
    write = logs.stream("processing", "long", 0)
    for number in range(200):
        write(f"{number} " + "x" * 256 * 1024)
    note, *kept = logs.lines("processing", "long")
    assert kept[-1].startswith("199 ") and note.startswith(f"[local] {200 - len(kept)} earlier lines were dropped; ")
    assert sum(map(len, kept)) <= MOST_CHARACTERS


def test_a_log_of_many_lines_frees_the_first_ones_and_says_how_many(aws: LocalAws) -> None:
    gc.collect()
    others = _events()  # of tests before
    logs, count = JobLogs(ACCOUNT, REGION), 5 * MOST_LINES
    write = logs.stream("training", "many", 0)
    for number in range(count):
        write(str(number))
    note, *kept = logs.lines("training", "many")
    assert len(kept) < MOST_LINES and kept == [str(number) for number in range(count - len(kept), count)]
    assert note.startswith(f"[local] {count - len(kept):,} earlier lines were dropped; ")
    gc.collect()
    assert _events() - others < 2 * MOST_LINES, "dropped lines stay in memory"


def _events() -> int:
    return sum(isinstance(one, LogEvent) for one in gc.get_objects())
