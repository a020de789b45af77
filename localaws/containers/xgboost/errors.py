"""The two kinds of errors that end a training, with the names that the container's failures show."""

from __future__ import annotations


class ToolkitError(Exception):
    pass


class UserError(ToolkitError):
    """A mistake in the settings or the data."""


class AlgorithmError(ToolkitError):
    """Anything else."""


def unknown_locally(what: str, instead: str) -> UserError:
    return UserError(f"{what} is not available locally; {instead}.")
