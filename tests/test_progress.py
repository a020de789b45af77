"""What a run prints while it is running."""

from __future__ import annotations

import io
import re

import pytest

from stepgluon.runs.history import Job, Story
from stepgluon.runs.progress import QUEUED, Progress, doing
from stepgluon.runs.run_record import run_json
from stepgluon.runs.view import details


@pytest.fixture(autouse=True)
def xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich draws no table on a dumb terminal, and cuts lines to the width that the shell exports."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def shown(
    jobs: int, said: dict[str, str], columns: int, monkeypatch: pytest.MonkeyPatch, lines: int = 24
) -> tuple[str, str]:
    """The table's text, and what is left when it is removed."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, colour=False, terminal=True, clock=clock)
    story = Story(started=900.0, jobs=[Job("training", f"job-{n}", f"Train m{n}", 935.0) for n in range(jobs)])
    progress.tell(story, lambda job: said.get(job.state, "working"))
    text = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "")
    stream.truncate(0)
    progress.done()
    return text, stream.getvalue()


@pytest.mark.parametrize("columns", [60, 80])
def test_on_a_terminal_each_running_job_has_a_row_and_the_queued_ones_share_one(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"Train m0": "12:00:01 Fitting model: LightGBM ...", "Train m2": QUEUED, "Train m3": QUEUED}
    text, left = shown(4, said, columns, monkeypatch)
    rows = [line.rstrip() for line in text.splitlines() if line.strip()]
    assert rows == ["  Train m0  1:05  Fitting model: LightGBM ...", "  Train m1  1:05  working", "  2 queued"]
    assert "\033[2K" in left, "the table is removed before the next line"


def test_a_long_line_of_a_log_is_cut_and_its_escapes_are_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    text, _ = shown(1, {"Train m0": "\033[31mred [bold]" + "x" * 500}, 60, monkeypatch)
    (row,) = [line for line in text.splitlines() if line.strip()]
    assert len(row) <= 60 and row.rstrip().endswith("…") and "[31mred [bold]xxx" in row


def test_what_takes_seconds_is_shown_on_a_terminal_only_until_the_next_line() -> None:
    for terminal, shown in ((True, 1), (False, 0)):
        stream = io.StringIO()
        progress = Progress(stream, colour=False, terminal=terminal)
        progress.soon("Starting a local AWS.")
        assert stream.getvalue().count("Starting a local AWS.") == shown
        progress.say("Run x has started.")
        assert stream.getvalue().endswith("Run x has started.\n") and (terminal or "\033" not in stream.getvalue())


def test_forty_running_jobs_do_not_fill_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text, _ = shown(40, {}, 80, monkeypatch)
    rows = [line.rstrip() for line in text.splitlines() if line.strip()]
    assert len(rows) == 13 and rows[-1] == "  28 more running"


def test_elsewhere_a_minute_of_silence_is_broken_by_a_line() -> None:
    stream, clock = io.StringIO(), Clock()
    jobs = [Job("training", f"job-{n}", f"Train m{n}", 935.0) for n in range(5)]
    progress = Progress(stream, colour=False, terminal=False, clock=clock)
    story = Story(started=900.0, jobs=jobs, lines=["a line"])
    progress.tell(story)
    clock.now += 59
    progress.tell(story)
    assert stream.getvalue() == "a line\n"
    clock.now += 1
    progress.tell(story, lambda job: QUEUED if job.state == "Train m1" else "")
    progress.tell(story)
    assert stream.getvalue() == ("a line\n  160.0 s  Train m0 running, Train m1 queued, Train m2 running, and 2 more\n")


def test_what_a_training_is_doing_is_read_from_its_log() -> None:
    log = ["Fitting model: LightGBM ...", "\t-281.5\t = Validation score   (-mean_absolute_error)"]
    assert doing(log[:1]) == "Fitting model: LightGBM ..."
    assert doing([*log, "\t-1.2e+05\t = Validation score   (-mean_absolute_error)", "Fitting model: CatBoost ..."]) == (
        "best MAE so far 281.5 · Fitting model: CatBoost ..."
    )
    assert doing([]) == ""


def test_a_tuning_says_how_far_it_is_and_the_best_so_far() -> None:
    lines = [
        "Trial 1 of 20: failed AlgorithmError: too deep (max_depth 8)",
        "Trial 2 of 20: validation:r2 0.5, best so far 0.5 (max_depth 3)",
        "Trial 3 of 20: validation:r2 0.25, best so far 0.5 (max_depth 4)",
    ]
    assert doing(lines[:1]) == "Trial 1 of 20"
    assert doing([*lines, "", "t-002:", "[0]#011train-rmse:3"]) == "Trial 3 of 20, best so far 0.5"


@pytest.mark.parametrize("terminal", [True, False])
def test_distributed_maps_say_how_far_they_are(terminal: bool) -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, colour=False, terminal=terminal, clock=clock)
    clock.now += 61
    story = Story(started=900.0, jobs=[Job("training", "job", "Train group g0001", 935.0)])
    progress.tell(story, maps=["Train groups: 37 of 200 groups"])
    text = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "Train groups: 37 of 200 groups" in text and "Train group g0001" in text


def test_show_lists_of_many_jobs_the_failed_and_the_slowest() -> None:
    jobs = [Job("training", f"job-{n}", f"Train group g{n:04}", 900.0, 900.0 + n, "Completed") for n in range(100)]
    jobs[3].status = "Failed"
    places = {"results": None, "folder": "runs", "outbox": "outbox"}
    text = details(
        run_json("run", {}, Story(started=900.0, ended=1000.0, status="SUCCEEDED", jobs=jobs), None, **places)
    )
    shown = re.findall(r"(\w+) +[\d.]+ s  (job-\d+)", text)
    assert shown == [("Failed", "job-3"), *(("Completed", f"job-{n}") for n in range(61, 100))]
    assert "  and 60 more\n" in text
