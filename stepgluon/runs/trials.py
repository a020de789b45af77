"""The log of a tuning job, which SageMaker does not write: a line for each of its trainings that has ended."""

from __future__ import annotations

from typing import Any


def trial_lines(sagemaker: Any, tuning: str) -> list[str]:
    """`Trial 7 of 20: validation:mae 31.2, best so far 30.1 (eta 0.1, max_depth 5)`; trainings in the order they ended.

    `sagemaker` is a client.
    """
    name = {"HyperParameterTuningJobName": tuning}
    config = sagemaker.describe_hyper_parameter_tuning_job(**name)["HyperParameterTuningJobConfig"]
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(**name)
    ended = [one for page in pages for one in page["TrainingJobSummaries"] if "TrainingEndTime" in one]
    ended.sort(key=lambda one: one["TrainingEndTime"])
    better = max if config["HyperParameterTuningJobObjective"]["Type"] == "Maximize" else min
    of, best, lines = config["ResourceLimits"]["MaxNumberOfTrainingJobs"], None, []
    for number, one in enumerate(ended, 1):
        values = ", ".join(f"{key} {_short(value)}" for key, value in sorted(one["TunedHyperParameters"].items()))
        metric = one.get("FinalHyperParameterTuningJobObjectiveMetric")
        if metric is None:
            said = f"{one['TrainingJobStatus'].lower()} {one.get('FailureReason', '')}".strip()
        else:
            best = metric["Value"] if best is None else better(best, metric["Value"])
            said = f"{metric['MetricName']} {metric['Value']:.6g}, best so far {best:.6g}"
        lines.append(f"Trial {number} of {of}: {said} ({values})")
    return lines


def _short(value: str) -> str:
    """A number with at most four digits."""
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value
