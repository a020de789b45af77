"""Progress on stderr: a line for each event, and on terminals an overwritten line with the running jobs."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOBase

from stepgluon.advice import pipeline_py
from stepgluon.errors import visible
from stepgluon.runs.history import Job, Story, no_remark

_COLOURS = {"failed": "31", "rejected": "33", "accepted": "32"}


class Progress:
    def __init__(self, stream: TextIOBase, colour: bool, terminal: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._terminal = terminal
        self._told = 0
        self._open = False

    def say(self, text: str) -> None:
        self.done()
        print(self._coloured(visible(text)), file=self._stream, flush=True)

    def tell(self, story: Story, said: Callable[[Job], str] = no_remark) -> None:
        """Print the story's new lines, and on a terminal the running jobs with the last line of each log."""
        for line in story.lines[self._told :]:
            self.say(line)
        self._told = len(story.lines)
        running = story.running
        if self._terminal and running:
            now = time.time()
            width = shutil.get_terminal_size((100, 24)).columns - 1  # a wrapped line cannot be erased
            room = max(0, width // len(running) - 24)
            text = " · ".join(f"{job.state} {now - job.started:.0f} s{_words(said(job), room)}" for job in running)
            self.done()
            self._stream.write(f"  {now - story.started:7.1f} s  {text}"[:width])
            self._stream.flush()
            self._open = True

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
        if self._open:
            self._stream.write("\r\033[K")
            self._open = False

    def _coloured(self, line: str) -> str:
        if self._colour:
            for word, code in _COLOURS.items():
                if word in line:
                    return line.replace(word, f"\033[{code}m{word}\033[0m", 1)
        return line


def _words(line: str, room: int) -> str:
    """A log line that fits after its job's name: without its timestamp and control characters."""
    text = "".join(c if c.isprintable() else " " for c in re.sub(r"^\d\d:\d\d:\d\d ", "", line)).strip()
    return f": {text[:room]}" if text and room > 8 else ""
