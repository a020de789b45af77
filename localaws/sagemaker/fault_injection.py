"""Where tests break things. Each method is asked at one moment of a job's life, and by itself breaks nothing."""

from __future__ import annotations

from pathlib import Path


class Faults:
    def refuse(self, kind: str, name: str) -> tuple[str, str] | None:
        """The error's code and message with which creating a job is refused, like ("ThrottlingException", "...")."""
        return None

    def capacity(self, kind: str, name: str) -> str | None:
        """Why SageMaker itself fails a job that was created, like a lost instance."""
        return None

    def upload(self, kind: str, name: str, file: Path) -> None:
        """Called before an output is uploaded; may raise OSError or change the file."""
