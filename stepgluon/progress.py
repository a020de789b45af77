"""Progress on stderr: a line for each thing that happened, and on a terminal one more for what happens now."""

from __future__ import annotations

import time
from typing import TextIO

from stepgluon.follow import Story

_COLOURS = {"failed": "31", "rejected": "33", "accepted": "32"}


class Progress:
    def __init__(self, stream: TextIO, colour: bool, terminal: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._terminal = terminal
        self._told = 0
        self._open = False

    def say(self, text: str) -> None:
        self._clear()
        print(self._coloured(text), file=self._stream, flush=True)

    def tell(self, story: Story) -> None:
        """Says what is new in the story."""
        for line in story.lines[self._told :]:
            self.say(line)
        self._told = len(story.lines)
        running = story.running
        if self._terminal and running:
            now = time.time()
            text = " · ".join(f"{job.state} {now - job.started:.0f} s" for job in running)
            self._clear()
            self._stream.write(f"  {now - story.started:7.1f} s  {text}"[:100])
            self._stream.flush()
            self._open = True

    def done(self) -> None:
        self._clear()

    def _clear(self) -> None:
        if self._open:
            self._stream.write("\r\033[K")
            self._open = False

    def _coloured(self, line: str) -> str:
        if self._colour:
            for word, code in _COLOURS.items():
                if word in line:
                    return line.replace(word, f"\033[{code}m{word}\033[0m", 1)
        return line
