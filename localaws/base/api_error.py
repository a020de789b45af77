"""The error that refuses a call."""

from __future__ import annotations


class ApiError(Exception):
    """The service refuses a call."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
