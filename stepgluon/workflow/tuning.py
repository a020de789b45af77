"""The requests for a tuned model: a tuning job in place of its training, and what is read of the tuning's trainings."""

from __future__ import annotations

from typing import Any

from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.config.tuning_rules import LONGEST_PREFIX
from stepgluon.names import Names, short
from stepgluon.programs import program_of, waits_for_classes
from stepgluon.workflow.expressions import expression, jsonata

Request = dict[str, Any]
SHOWN = 100  # [sm] MaxResults of a list: the trainings that the report shows
_SEEDS = 2**31  # [sm] RandomSeed is an Integer
_REASON = 300  # characters
_NAME = '"HyperParameterTuningJobName":"'


def settings(config: PipelineConfig, names: Names, model: Model) -> Request:
    """What a tuned model's data have for its tuning."""
    tune = model.tune
    assert tune
    rules = program_of(model).rules
    ranges: dict[str, list[Request]] = {}
    for name, one in tune.ranges.items():
        if one.values:
            ranges.setdefault("CategoricalParameterRanges", []).append({"Name": name, "Values": list(one.values)})
            continue
        kind = "IntegerParameterRanges" if rules.is_integer(model, name) else "ContinuousParameterRanges"
        scale = {"ScalingType": "Logarithmic"} if one.log else {}
        ranges.setdefault(kind, []).append({"Name": name, "MinValue": one.low, "MaxValue": one.high, **scale})
    judge = {}
    if tune.objective or not waits_for_classes(model):
        metric, goal = rules.objective(model)
        judge["HyperParameterTuningJobObjective"] = {"Type": goal, "MetricName": metric}
    return {
        # With a dash and 10 characters of a hash, see `request`; [sm] 32 in all.
        "name": f"{names.prefix}-train-{short(model)}"[: LONGEST_PREFIX + len("-train")].rstrip("-"),
        "config": {
            "Strategy": tune.strategy.title(),
            "RandomSeed": config.data.seed % _SEEDS,
            **judge,
            "ResourceLimits": {"MaxNumberOfTrainingJobs": tune.jobs, "MaxParallelTrainingJobs": tune.parallel},
            "ParameterRanges": ranges,
        },
    }


def metric_definitions(model: Model) -> Request:
    """How a container's metric is found in its log, for its AlgorithmSpecification."""
    given = model.tune.objective if model.tune else None
    if given is None or given.regex is None:
        return {}
    return {"MetricDefinitions": [{"Name": given.metric, "Regex": given.regex}]}


def request(model: str, attempt: str) -> str:
    """The request for the tuning job, as an expression; its name has a hash of what is different in each attempt."""
    hashed = f"$substring($hash({model}.job & {attempt}, 'SHA-256'), 0, 10)"
    training = "$sift($t, function($v, $k) {$k != 'Tags' and $k != 'HyperParameters'})"
    asked = {
        "HyperParameterTuningJobName": expression(f"{model}.tune.name & '-' & {hashed}"),
        "HyperParameterTuningJobConfig": expression(f"{model}.tune.config"),
        "TrainingJobDefinition": expression(f"$merge([{training}, {{'StaticHyperParameters': $t.HyperParameters}}])"),
        "Tags": expression("$t.Tags"),
    }
    return f"($t := $merge([$jobs.train, {model}.train]); {jsonata(asked)})"


def shown_trainings(model: Model, entry: str) -> Request:
    """Lists the trainings for the report: all, or the best if a list cannot have all.

    [sm] In the order of their metric, those without one are left out, so this does not happen to few.
    """
    asked: Request = {"HyperParameterTuningJobName": "{% $own.tuning %}", "MaxResults": SHOWN}
    if model.tune is None or model.tune.jobs <= SHOWN:
        return asked
    if waits_for_classes(model) and not model.tune.objective:
        goal = f"{entry}.tune.config.HyperParameterTuningJobObjective.Type"
        order = expression(f"{goal} = 'Maximize' ? 'Descending' : 'Ascending'")
    else:
        order = "Descending" if program_of(model).rules.objective(model)[1] == "Maximize" else "Ascending"
    return {**asked, "SortBy": "FinalObjectiveMetricValue", "SortOrder": order}


def failed_trainings() -> Request:
    """Asks for a failed training of a failed tuning, whose own description does not say why they failed."""
    name = f"$substringBefore($substringAfter($own.Cause, '{_NAME}'), '\"')"
    known = f"$contains($own.Cause, '{_NAME}') ? {name} : 'none'"
    return {"HyperParameterTuningJobName": expression(known), "StatusEquals": "Failed", "MaxResults": 1}


CAUSE = (
    "($r := $states.result.TrainingJobSummaries[0].FailureReason; $exists($r) ? $merge([$own, {'Cause': $r}]) : $own)"
)
TRIALS = f"""[$map($states.result.TrainingJobSummaries, function($t) {{{{
'job': $t.TrainingJobName, 'status': $t.TrainingJobStatus, 'set': $t.TunedHyperParameters,
'score': $t.FinalHyperParameterTuningJobObjectiveMetric.Value,
'reason': $substring($t.FailureReason, 0, {_REASON})}}}})]"""


def trials(model: str) -> str:
    """The content of trials.json, for the report."""
    config = f"{model}.tune.config"
    found = {
        "metric": expression(f"{config}.HyperParameterTuningJobObjective.MetricName"),
        "goal": expression(f"{config}.HyperParameterTuningJobObjective.Type"),
        "strategy": expression(f"{config}.Strategy"),
        "of": expression(f"{config}.ResourceLimits.MaxNumberOfTrainingJobs"),
        "chosen": expression("$own.job"),
        "trials": expression("$trials"),
    }
    return jsonata(found)
