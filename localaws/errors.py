"""What keeps the local AWS from working at all."""

from __future__ import annotations


class ComputerError(Exception):
    """This computer is the problem: one sentence, with the way out."""
