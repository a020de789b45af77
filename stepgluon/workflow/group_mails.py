"""The mails of a run with one model for each value found in the data: counts and the worst models, not all of them."""

from __future__ import annotations

from stepgluon import limits
from stepgluon.config.found_models import OTHERS
from stepgluon.config.schema import PipelineConfig
from stepgluon.names import Names
from stepgluon.workflow.expressions import jsonata, quoted, text
from stepgluon.workflow.mails import (
    BAD_RELEASES,
    FOLLOW,
    Mail,
    cost_and_note,
    follow,
    gaps,
    listed_lines,
    promotion,
    subject,
)


def started(config: PipelineConfig, names: Names) -> Mail:
    assert config.partitioned
    message = f"""Run {{}} of the pipeline {names.prefix} has started.

Data:   {{}}
Models: one for each {{}}
{{}}
{follow(names)}"""
    whole = text(message, "$run", "$input.data", _partition(config), cost_and_note(), *FOLLOW)
    return subject(names, "'started'"), whole


def models(config: PipelineConfig, names: Names) -> Mail:
    """Sent with `when: any` only, before any model predicts."""
    message = f"""The models of run {{}} of the pipeline {names.prefix}, one for each {{}}:

{{}}

{follow(names)}"""
    all_good = text("All {} models were accepted and now predict.", "$counts.to_train")
    some = "{} of {} models {} rejected, so each partition that has a promoted model uses it. "
    if config.fallback.if_missing == "use_trained":
        some += "The other partitions use their own models, also rejected ones."
    else:
        some += "The gaps of the others stay open."
    some = text(some, "$rejected", "$counts.to_train", "($rejected = 1 ? 'was' : 'were')")
    each = _partition(config, "$counts.small > 0")
    return subject(names, "'models'"), text(message, "$run", each, f"($bad ? {some} : {all_good})", *FOLLOW)


def finished(config: PipelineConfig, names: Names) -> Mail:
    folder = f"s3://{names.work_bucket}/runs/{{}}/result/"
    message = f"""Run {{}} of the pipeline {names.prefix} has finished{{}}

{{}} models, one for each {{}}: {{}} trained, {{}} cached; {{}} accepted, {{}} rejected.
{{}}{{}}
Report:  {folder}report.html
Results: {folder}
         predictions.csv, predictions.parquet, models.csv, summary.json

Fetch them:
  {names.pipeline_py("fetch {}")}
{{}}"""
    counts = [f"$headline.{key}" for key in ("models", "trained", "cached", "accepted", "rejected")]
    counts.insert(1, _partition(config, "$headline.others"))
    offer = f"($headline.accepted = 0 ? '' : {promotion(names)})"
    filled = gaps("$f := $headline.filled; $n := $headline.predicting;")
    counted = f"($gaps := $headline.gaps & ''; {filled})"
    bad = f" or $release.outcome in {jsonata(BAD_RELEASES)}" if config.served else ""
    word = f"($headline.missing > 0{bad} ? 'incomplete' : 'finished')"
    details = f"({_others(config)} & {_worst()}{_released(config, names)})"
    message = text(message, "$run", counted, *counts, details, _missing(names), *["$run"] * 3, offer)
    return subject(names, word), message


def _others(config: PipelineConfig) -> str:
    """How many partitions other models than accepted ones predict, and how many stay open."""
    lines = {"default": "Predicted by promoted models: {}.\n"}
    if config.fallback.if_missing == "use_trained":
        lines["anyway"] = "Predicted by rejected models, because none is promoted: {}.\n"
    lines["open"] = "Left open, because too few rows have a label: {}.\n"
    return " & ".join(f"($headline.{key} > 0 ? {text(line, f'$headline.{key}')} : '')" for key, line in lines.items())


def _released(config: PipelineConfig, names: Names) -> str:
    """The outcome of the release, and the command that sends a model a request."""
    if not config.served:
        return ""
    call = f"aws sagemaker-runtime invoke-endpoint --endpoint-name {{}} --region {config.region} "
    call += "--target-model {} --content-type text/csv --body fileb://rows.csv answers.csv"
    pointer = f"s3://{names.work_bucket}/{names.pointer(config.models[0])}"
    message = (
        f"\nEndpoint: {{}}\nSend a request to a model, like {{}}:\n  {call}\nThe archives of all models: {pointer}\n"
    )
    served = "$headline.served"
    known = text(message, "$release.said", f"{served}.example", "$model.endpoint", f"{served}.target")
    none = text("\nEndpoint: {}\n", "$release.said")
    return f" & ({served}.models > 0 ? {known} : {none})"


def _worst() -> str:
    worst = listed_lines("$headline.worst", text("- {}{}: {}", "$m.name", _value(), "$m.reason"))
    block = text("\nThe worst models:\n\n{}\n", worst)
    return f"($count($headline.worst) = 0 ? '' : {block})"


def _missing(names: Names) -> str:
    named = listed_lines("$headline.missing_models", text("- {}{}: {}", "$m.name", _value(), "$m.reason"))
    count = "$count($headline.missing_models)"
    more = text("\n- and {} more", f"($headline.missing - {count})")
    redrive = text(f"Repeat only these predictions: {names.pipeline_py('redrive {}')}", "$run")
    final = (
        "Repeating the run would change nothing. Loosen the limit, set fallback.if_missing: use_trained, or promote "
    )
    final += "an earlier run."
    block = text(
        "\nThe result is incomplete. These models could not predict their rows:\n\n{}{}\n\n{}\n",
        named,
        f"($headline.missing > {count} ? {more} : '')",
        f"($headline.repeatable = false ? {quoted(final)} : {redrive})",
    )
    return f"($headline.missing = 0 ? '' : {block})"


def _value() -> str:
    """The partition's value, if its name does not show it."""
    return "($m.value = $m.name ? '' : ' (' & $m.value & ')')"


def _partition(config: PipelineConfig, others: str = "") -> str:
    """What each model is for; with `others`, small partitions share one only if this is true."""
    assert config.partitioned
    column = quoted(config.partitioned.column[: limits.SUBJECT])
    if config.partitioned.otherwise != "shared":
        return column
    return f"{column} & ({others} ? {quoted(OTHERS)} : '')" if others else f"{column} & {quoted(OTHERS)}"


MAILS = {"started": started, "models": models, "finished": finished}
