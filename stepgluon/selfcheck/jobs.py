"""What SageMaker and SNS ask for beyond botocore's model: fresh job names, names within a job, subjects of mails."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stepgluon import limits
from stepgluon.selfcheck.report import Report, is_number
from stepgluon.selfcheck.values import EXECUTION, REDRIVE, RETRY, Text, Unknown, Value

_NAMES = {
    "createTrainingJob": "TrainingJobName",
    "createProcessingJob": "ProcessingJobName",
    "createTransformJob": "TransformJobName",
    "createHyperParameterTuningJob": "HyperParameterTuningJobName",
}
# Within one job: (where the list is, the entry's name, where the entry is in the container)
_LISTS = (
    (("ProcessingInputs",), "InputName", ("S3Input", "LocalPath"), limits.JOB_INPUTS),
    (("ProcessingOutputConfig", "Outputs"), "OutputName", ("S3Output", "LocalPath"), limits.JOB_OUTPUTS),
    (("InputDataConfig",), "ChannelName", (), limits.JOB_CHANNELS),
)
_SUBJECT = re.compile(r"[ -~]*")
_ROOT = "/opt/ml/processing/"
_FRESH = (
    (RETRY, "job-name-retry", "a retry would use a name that SageMaker has seen", "$$.State.RetryCount"),
    (REDRIVE, "job-name-redrive", "a redrive would use a name that SageMaker has seen", "$$.Execution.RedriveCount"),
    (EXECUTION, "job-name-execution", "the next run would use a name that SageMaker has seen", "$.id"),
)


class Names:
    """The jobs' names of one machine."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._jobs: dict[tuple[str, tuple[str, ...]], str] = {}

    def check(self, state: str, task: Mapping[str, Any], sent: Value, action: str) -> None:
        """Report what is wrong with the job or mail of one Task."""
        if type(sent) is not dict:
            return
        if action == "publish":
            self._subject(state, sent.get("Subject"))
        elif action in _NAMES:
            self._job_name(state, task, sent.get(_NAMES[action]), _NAMES[action])
            for place, key, path, most in _LISTS:
                self._list(state, _at(sent, place), ".".join(place), key, path, most)
            self._environment(state, sent.get("Environment"))
            self._spot(state, sent)

    def _job_name(self, state: str, task: Mapping[str, Any], value: Value, key: str) -> None:
        if value is None:
            return  # the check against the API names it
        if isinstance(value, str):
            message = (
                f"{key} is always {value!r}; SageMaker takes a name once: build it from $.id and the counts of attempts"
            )
            self._report.add("job-name-fixed", state, message)
        elif isinstance(value, (Text, Unknown)):
            for mark, code, message, source in _FRESH:
                if mark in value.marks or (mark == RETRY and "Retry" not in task):
                    continue
                if mark != EXECUTION or (isinstance(value, Text) and value.exact):
                    self._report.add(code, state, f"{message}: put {source} into {key}")
            if isinstance(value, Text) and value.exact:
                other = self._jobs.setdefault((key, value.samples), state)
                if other != state:
                    message = f"{key} is always the same as that of {other}; SageMaker takes a name once"
                    self._report.add("job-name-shared", state, message)

    def _list(self, state: str, entries: Value, where: str, key: str, path: tuple[str, ...], most: int) -> None:
        if type(entries) is not list:
            return
        names: set[str] = set()
        for entry in entries:
            name = entry.get(key) if isinstance(entry, dict) else None
            if isinstance(name, str):
                if name in names:
                    self._report.add("job-part-name", state, f"{where} has two entries with {key} {name!r}")
                names.add(name)
            local = _at(entry, path) if path else None
            if isinstance(local, str) and not local.startswith(_ROOT):
                self._report.add(
                    "job-path", state, f"{where} {name!r}: LocalPath must begin with {_ROOT}, not {local!r}"
                )

    def _environment(self, state: str, environment: Value) -> None:
        """Training takes longer values; processing does not, and the config promises the same for both."""
        for key, value in environment.items() if isinstance(environment, dict) else ():
            length = value.length if isinstance(value, Text) else len(value) if isinstance(value, str) else 0
            if length > limits.ENVIRONMENT_VALUE:
                message = f"the value of the environment variable {key} can have {length} characters"
                self._report.add("environment-value", state, f"{message}, and {limits.ENVIRONMENT_VALUE} are allowed")

    def _spot(self, state: str, sent: dict[str, Any]) -> None:
        condition, spot = sent.get("StoppingCondition"), sent.get("EnableManagedSpotTraining")
        if not isinstance(condition, dict) or "TrainingJobName" not in sent:
            return
        wait, runtime = condition.get("MaxWaitTimeInSeconds"), condition.get("MaxRuntimeInSeconds")
        if spot is True and wait is None:
            self._report.add("spot", state, "spot training needs StoppingCondition.MaxWaitTimeInSeconds")
        elif wait is not None and not spot:
            self._report.add(
                "spot", state, "MaxWaitTimeInSeconds is only for spot training (EnableManagedSpotTraining)"
            )
        elif is_number(wait) and is_number(runtime) and wait < runtime:
            self._report.add(
                "spot", state, f"MaxWaitTimeInSeconds {wait} must be at least MaxRuntimeInSeconds {runtime}"
            )

    def _subject(self, state: str, subject: Value) -> None:
        """https://docs.aws.amazon.com/sns/latest/api/API_Publish.html: ASCII that begins with a visible character."""
        if isinstance(subject, str):
            subject = Text((subject,))
        if not isinstance(subject, Text):
            return
        length = max(subject.length, *map(len, subject.samples))
        if length > limits.SUBJECT:
            message = f"the Subject can have {length} characters, and {limits.SUBJECT} are allowed"
            self._report.add("subject-length", state, f"{message}: {subject.samples[0][:60]!r}")
        for sample in subject.samples:
            if not _SUBJECT.fullmatch(sample) or (subject.exact and not sample.strip()) or sample.startswith(" "):
                message = "the Subject must be printable ASCII on one line that begins with a letter or sign"
                self._report.add("subject-text", state, f"{message}: {sample[:60]!r}")
                return


def _at(value: Value, path: tuple[str, ...]) -> Value:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
