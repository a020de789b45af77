"""What stands on a terminal while a run goes on."""

from __future__ import annotations

import io

import pytest

from stepgluon.runs.history import Job, Story
from stepgluon.runs.progress import Progress


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("12:00:01 Fitting model: LightGBM ...", ": Fitting model: LightGBM ..."),
        ("\033[31mred", ": [31mred"),
        ("x" * 500, ": xxxxx"),
        ("", " s\r\033[K"),
    ],
)
def test_on_a_terminal_each_running_job_has_the_last_line_of_its_log(line: str, shown: str) -> None:
    stream = io.StringIO()
    progress = Progress(stream, colour=False, terminal=True)
    story = Story(started=1.0, jobs=[Job("training", "name", "Train adelie", 2.0)])
    progress.tell(story, lambda job: line)
    progress.done()
    assert "Train adelie" in stream.getvalue() and shown in stream.getvalue()
    assert len(stream.getvalue()) < 110


def test_elsewhere_nothing_but_whole_lines_is_said() -> None:
    stream = io.StringIO()
    story = Story(started=1.0, jobs=[Job("training", "name", "Train adelie", 2.0)], lines=["a line"])
    Progress(stream, colour=False, terminal=False).tell(story, lambda job: "said")
    assert stream.getvalue() == "a line\n"
