"""The log of a tuning job, made from SageMaker's answers."""

from __future__ import annotations

from typing import Any

from stepgluon.runs.trials import trial_lines


class SageMaker:
    def __init__(self, goal: str, *trials: dict[str, Any]) -> None:
        self._goal, self._trials = goal, trials

    def describe_hyper_parameter_tuning_job(self, HyperParameterTuningJobName: str) -> dict[str, Any]:
        objective = {"Type": self._goal, "MetricName": "validation:mae"}
        limits = {"MaxNumberOfTrainingJobs": 20}
        return {
            "HyperParameterTuningJobConfig": {"HyperParameterTuningJobObjective": objective, "ResourceLimits": limits}
        }

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_training_jobs_for_hyper_parameter_tuning_job"
        return self

    def paginate(self, HyperParameterTuningJobName: str) -> Any:
        yield from ({"TrainingJobSummaries": [one]} for one in self._trials)


def trial(ended: int | None, score: float | None = None, **more: Any) -> dict[str, Any]:
    found = {"TrainingJobStatus": "Completed", "TunedHyperParameters": {"max_depth": "5", "eta": "0.123456789"}, **more}
    if ended is not None:
        found["TrainingEndTime"] = ended
    if score is not None:
        found["FinalHyperParameterTuningJobObjectiveMetric"] = {"MetricName": "validation:mae", "Value": score}
    return found


def test_each_ended_training_has_a_line_in_the_order_of_their_ends() -> None:
    failed = trial(2, TrainingJobStatus="Failed", FailureReason="too deep", TunedHyperParameters={"kind": "dart"})
    given = (trial(3, 31.5), trial(None), trial(1, 30.25), failed)
    assert trial_lines(SageMaker("Minimize", *given), "t") == [
        "Trial 1 of 20: validation:mae 30.25, best so far 30.25 (eta 0.1235, max_depth 5)",
        "Trial 2 of 20: failed too deep (kind dart)",
        "Trial 3 of 20: validation:mae 31.5, best so far 30.25 (eta 0.1235, max_depth 5)",
    ]
    assert "best so far 31.5 " in trial_lines(SageMaker("Maximize", *given), "t")[-1]
