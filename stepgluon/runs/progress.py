"""Progress on stderr: a line for each event; on terminals a table of the running jobs, elsewhere a line a minute."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOBase
from typing import TYPE_CHECKING

from stepgluon.advice import pipeline_py
from stepgluon.errors import visible
from stepgluon.runs.fit_log import fit_of
from stepgluon.runs.history import Job, Story, no_remark

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.table import Table

QUEUED = "queued"
_COLOURS = {"failed": "31", "rejected": "33", "accepted": "32"}
_QUIET_SECONDS = 60


class Progress:
    def __init__(
        self, stream: TextIOBase, colour: bool, terminal: bool, clock: Callable[[], float] = time.time
    ) -> None:
        self._stream, self._colour, self._terminal, self._clock = stream, colour, terminal, clock
        self._printed = 0
        self._spoken = clock()
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.done()

    def say(self, text: str) -> None:
        self.done()
        print(self._coloured(visible(text)), file=self._stream, flush=True)
        self._spoken = self._clock()

    def tell(self, story: Story, said: Callable[[Job], str] = no_remark, maps: Sequence[str] = ()) -> None:
        """Print the story's new lines, how far its Distributed Maps are, and the running jobs; `said` returns what a
        job is doing, or QUEUED.
        """
        for line in story.lines[self._printed :]:
            self.say(line)
        self._printed = len(story.lines)
        if not story.running and not maps:
            return
        if self._terminal:
            self._show(lambda room: _table([(job, said(job)) for job in story.running], self._clock(), room, maps))
        elif self._clock() - self._spoken >= _QUIET_SECONDS:
            doing = [f"{job.state} {QUEUED if said(job) == QUEUED else 'running'}" for job in story.running]
            more = [f"and {len(doing) - 3} more"] if len(doing) > 3 else []
            self.say(f"{self._clock() - story.started:7.1f} s  {', '.join([*maps, *doing[:3], *more])}")

    def soon(self, text: str) -> None:
        """On a terminal, show this until the next line is printed."""
        if self._terminal:
            self._show(lambda room: f"  {visible(text)}")

    @contextmanager
    def leaving(self, run: str) -> Iterator[Progress]:
        """In the block, Ctrl-C leaves the run running, and says so."""
        try:
            yield self
        except KeyboardInterrupt:
            self.say(f"The run continues. Follow it: {pipeline_py('watch', run)}")
            raise
        finally:
            self.done()

    def done(self) -> None:
        """Remove the table."""
        if self._live:
            self._live.stop()
            self._live = None

    def _show(self, made: Callable[[int], RenderableType]) -> None:
        """Replace the text at the end of the terminal; it may take half of the rows."""
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._stream, force_terminal=True, no_color=not self._colour)  # type: ignore[arg-type]
            self._live = Live(
                console=console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        self._live.update(made(max(1, self._live.console.height // 2)), refresh=True)

    def _coloured(self, line: str) -> str:
        if self._colour:
            for word, code in _COLOURS.items():
                if word in line:
                    return line.replace(word, f"\033[{code}m{word}\033[0m", 1)
        return line


def _table(jobs: list[tuple[Job, str]], now: float, room: int, maps: Sequence[str] = ()) -> Table:
    """A row for each Distributed Map and each running job, as many as there is room for, and one for the others."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid("", "", "", padding=(0, 2, 0, 0), expand=True)
    for column, ratio in zip(table.columns, (None, None, 1), strict=True):
        column.no_wrap, column.overflow, column.ratio = True, "ellipsis", ratio
    for words in maps:
        table.add_row(f"  {words}")
    busy = [(job, text) for job, text in jobs if text != QUEUED]
    for job, text in busy[:room]:
        passed = max(0, int(now - job.started))
        table.add_row(f"  {job.state}", f"{passed // 60}:{passed % 60:02}", Text(_printable(text)))
    rest = {"more running": len(busy[room:]), QUEUED: len(jobs) - len(busy)}
    if any(rest.values()):
        table.add_row("  " + ", ".join(f"{count} {words}" for words, count in rest.items() if count))
    return table


def doing(lines: Sequence[str]) -> str:
    """What a training is doing, from its log: the best error so far and the last line."""
    fit = fit_of(lines)
    best = fit.best
    if fit.trial:
        return fit.trial if best is None else f"{fit.trial}, best so far {best:.6g}"
    return " · ".join([*([f"best MAE so far {best:.6g}"] if best is not None else []), *lines[-1:]])


def _printable(line: str) -> str:
    """A log's line without its timestamps and control characters."""
    return "".join(c if c.isprintable() else " " for c in re.sub(r"\b\d\d:\d\d:\d\d ", "", line)).strip()
