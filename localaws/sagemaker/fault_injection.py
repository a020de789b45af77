"""Hooks for tests, called at moments of a job's life; by default they do nothing."""

from __future__ import annotations

from pathlib import Path


class Faults:
    def refuse(self, kind: str, name: str) -> tuple[str, str] | None:
        """The error to refuse a job's creation with: code and message, like ("ThrottlingException", "...")."""
        return None

    def capacity(self, kind: str, name: str) -> str | None:
        """The reason to fail a created job for, like a lost instance."""
        return None

    def upload(self, kind: str, name: str, file: Path) -> None:
        """Called before an upload; may raise OSError or change the file."""
