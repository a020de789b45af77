"""The error for problems that keep the local AWS from working at all."""

from __future__ import annotations


class ComputerError(Exception):
    """A problem of this computer: one sentence, with the fix."""
