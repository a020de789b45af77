"""What SageMaker refuses, loses or has no room for, as a test orders it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from localaws.base.api_error import ApiError
from localaws.iam.required_rights import KINDS
from localaws.sagemaker.api import SageMaker
from localaws.sagemaker.job import Job


class Faults:
    """Called at moments of a job's life; by itself it does nothing."""

    def refuse(self, kind: str, name: str) -> tuple[str, str] | None:
        """The code and the message with which a job's creation is refused."""
        return None

    def capacity(self, kind: str, name: str) -> str | None:
        """The reason for which a created job fails, like a lost instance."""
        return None

    def upload(self, kind: str, name: str) -> None:
        """Called before an upload; may raise OSError."""

    def install(self, set_attribute: Callable[[Any, str, Any], None]) -> None:
        check, run, upload = SageMaker._check_surroundings, Job._run, Job._upload

        def checked(sagemaker: SageMaker, kind: str, request: dict[str, Any]) -> None:
            if refused := self.refuse(kind, request[f"{KINDS[kind]}JobName"]):
                raise ApiError(*refused)
            check(sagemaker, kind, request)

        def ran(job: Job) -> tuple[str, str, str]:
            lost = self.capacity(job.kind, job.name)
            return ("Failed", "Failed", lost) if lost else run(job)

        def uploaded(job: Job, roots: list[Path]) -> Any:
            self.upload(job.kind, job.name)
            return upload(job, roots)

        set_attribute(SageMaker, "_check_surroundings", checked)
        set_attribute(Job, "_run", ran)
        set_attribute(Job, "_upload", uploaded)

    @contextmanager
    def active(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patches:
            self.install(patches.setattr)
            yield
