"""The mails of a run: subjects and messages, as JSONata. lambda/tell_failure.py mails a failed run.

A subject is limited to 99 characters of printable ASCII, so a very long run name is reduced to its end. A run's name
begins with the pipeline's, unless someone else chose it.
"""

from __future__ import annotations

import re

from stepgluon import limits
from stepgluon.advice import EXAMPLE, asking
from stepgluon.config.schema import PipelineConfig
from stepgluon.names import Names
from stepgluon.workflow.expressions import jsonata, quoted, text

Mail = tuple[str, str]
FOLLOW = ("$run", "$states.context.Execution.Id")
# How many gaps are filled, and by how many models.
_FILLED = """$filled := $map($verdicts, function($v, $i) {$v.outcome = 'predicted' ? $models[$i].gaps : 0});
$f := $sum($filled); $n := $count($filter($filled, function($v) {$v > 0}));"""
BAD_RELEASES = ["rolled back", "failed", "stuck"]
UNRELEASED = f"$filter($verdicts, function($v) {{$v.release.outcome in {jsonata(BAD_RELEASES)}}})"
MISSING = "$filter($verdicts, function($v) {$v.outcome = 'failed'})"

_WHICH = (
    "($m.uses = 'trained' ? 'This run\\u0027s model' : "
    "$m.run != '' ? 'The model promoted from run ' & $m.run : 'The default model')"
)
_PREDICTS = f"($models[$i].gaps = 0 ? 'It has no gaps to fill.' : {_WHICH} & ' predicts.')"
_PREDICTED = (
    "($g := $models[$i].gaps; $g = 0 ? 'It has no gaps to fill.' : $m.outcome = 'failed' ? 'Its gaps stay open.' : "
    f"{_WHICH} & ' filled ' & ($exists($g) ? $g & ($g = 1 ? ' gap.' : ' gaps.') : 'its gaps.'))"
)
_PROMOTABLE = "$filter($verdicts, function($v) {$v.verdict = 'accepted' and $not($exists($v.promoted))})"


def started(config: PipelineConfig, names: Names) -> Mail:
    message = f"""Run {{}} of the pipeline {names.prefix} has started.

Data:   {{}}
Models: {", ".join(model.name for model in config.models)}
{{}}
{follow(names)}"""
    return subject(names, "'started'"), text(message, "$run", "$input.data", cost_and_note(), *FOLLOW)


def cost_and_note() -> str:
    """The amount comes with the input: in the definition, it would change it with every refresh of the prices."""
    lines = {"estimate": "Cost:   {}\n", "note": "Note:   {}\n"}
    return " & ".join(f"($input.{key} = '' ? '' : {text(line, f'$input.{key}')})" for key, line in lines.items())


def models(config: PipelineConfig, names: Names) -> Mail:
    message = f"""The models of run {{}} of the pipeline {names.prefix}:

{{}}

{follow(names)}"""
    lines = listed_lines("$chosen", text("- {}: {} {}", "$m.name", "$m.reason", _worded(config, _PREDICTS)))
    return subject(names, "'models'"), text(message, "$run", lines, *FOLLOW)


def finished(config: PipelineConfig, names: Names) -> Mail:
    folder = f"s3://{names.work_bucket}/runs/{{}}/result/"
    message = f"""Run {{}} of the pipeline {names.prefix} has finished{{}}

{{}}
{{}}
Report:  {folder}report.html
Results: {folder}
         predictions.csv, predictions.parquet, summary.json

Fetch them:
  {names.pipeline_py("fetch {}")}
{{}}"""
    lines = listed_lines("$missing", text("- {}: {}", "$m.name", "$m.outcome_failure.Cause"))
    incomplete = "\nThe result is incomplete. These models could not predict their rows:\n\n{}\n\n{}\n{}\n"
    again = text(f"Repeat only these predictions: {names.pipeline_py('redrive {}')}", "$run")
    listed = text(incomplete, lines, again, "''")
    judged = listed_lines("$verdicts", text("- {}: {} {}", "$m.name", "$m.reason", _worded(config, _PREDICTED)))
    more = f"($count($missing) = 0 ? '' : {listed})"
    offer = f"($count({_PROMOTABLE}) = 0 ? '' : {promotion(names)})"
    missing = MISSING
    if config.served:
        missing = f"$append({MISSING}, {UNRELEASED})"
        judged = f"{judged} & {_released(config, names)}"
    whole = text(message, "$run", gaps(), judged, more, *["$run"] * 3, offer)
    word = f"($count({missing}) = 0 ? 'finished' : 'incomplete')"
    return subject(names, word), f"($missing := {MISSING}; {whole})"


def released(config: PipelineConfig, names: Names) -> Mail:
    """About an approved version; `released` is a machine of its own, so `show` does not know its execution."""
    message = f"""A version of the pipeline {names.prefix} was approved: {{}}{{}}

Look closer: {names.console}{{}}"""
    word = f"($count({UNRELEASED}) = 0 ? 'released' : 'unreleased')"
    console = "$states.context.Execution.Id"
    return subject(names, word), text(message, "$version", _released(config, names), console)


def _released(config: PipelineConfig, names: Names) -> str:
    """What each endpoint serves, and how it is called."""
    line = text("- {}: {}", "$v.name", "$v.release.said")
    found = "$filter($verdicts, function($v) {$exists($v.release)})"
    call = asking("{}", region=config.region, files=config.data.files)
    lines = f"$join($map($found, function($v) {{{line}}}), {quoted(chr(10))})"
    block = text(f"\n\nEndpoints:\n\n{{}}\n\n{EXAMPLE}\n  {call}", lines, "$found[0].release.endpoint")
    return f"($found := [{found}]; $count($found) = 0 ? '' : {block})"


def _worded(config: PipelineConfig, predicted: str) -> str:
    """With data.files, models predict files in place of gaps."""
    if not config.data.files:
        return predicted
    words = {"It has no gaps to fill.": "It has no files to predict.", "Its gaps stay open.": "It predicted none."}
    words |= {" filled ": " predicted ", " gap.": " file.", " gaps.": " files.", "its gaps.": "its files."}
    return re.sub("'([^']*)'", lambda found: f"'{words.get(found[1], found[1])}'", predicted)


def promotion(names: Names) -> str:
    command = names.pipeline_py("promote {}")
    return text(f"\nUse its models whenever a later one is not good enough:\n  {command}\n", "$run")


def gaps(filled: str = _FILLED) -> str:
    """`: 89 of 99 gaps filled by 3 models in 21 s; 10 left open.`; the user's own prepare.py may not count the gaps."""
    took = "$round(($millis() - $toMillis($states.context.Execution.StartTime)) / 1000)"
    words = "$s < 60 ? $s & ' s' : $s < 3600 ? $floor($s / 60) & ' min ' & $s % 60 & ' s' : "
    words += "$floor($s / 3600) & ' h ' & $floor($s % 3600 / 60) & ' min'"
    counted = text(
        ": {} gap{} filled by {} in {}; {} left open.",
        "($f = $g ? $f : $f & ' of ' & $g)",
        "($g = 1 ? '' : 's')",
        "($n = 1 ? '1 model' : $n & ' models')",
        "$took",
        "($f = $g ? 'none' : $g - $f)",
    )
    return f"""($s := {took}; $took := ({words});
{filled}
$gaps = '' ? ' after ' & $took & '.' : $gaps = '0' ? ' after ' & $took & '. There were no gaps to fill.' :
($g := $number($gaps); {counted}))"""


MAILS = {"started": started, "models": models, "finished": finished, "released": released}


def reason(model: str, only_thresholds: bool = True, only_mae: bool = True) -> str:
    """The verdict on a model and its reason, in the words of runs/history.py."""
    median = f"$type({model}.mae_of_median) = 'number' ? '; always guessing the median: ' & {model}.mae_of_median : ''"
    error = f"{model}.mae & ($exists({model}.unit) ? ' ' & {model}.unit : '')"
    score = text("MAE {} (limit {}{}).", error, f"{model}.threshold", f"({median})")
    if not only_thresholds:
        share = f"{model}.better_than_median"
        relative = text(", {} % better than always guessing the median: {}", share, f"{model}.mae_of_median")
        compared = f"'limit ' & {model}.threshold & ($exists({share}) ? {relative} : {median})"
        unknown = text("limit {} % better than always guessing the median, whose error is missing", share)
        without = f"$exists({share}) ? {unknown} : 'no limit' & ({median})"
        limit = f"($type({model}.threshold) = 'number' ? {compared} : {without})"
        score = text("MAE {} ({}).", error, limit)
    unscored = f"{model}.failure.Cause = '' or $contains({model}.failure.Error, /NoSuchKey|QueryEvaluation/)"
    failed = f"({unscored} ? 'No score' : $replace({model}.failure.Cause, /\\.$/, '')) & '.'"
    scored = f"$type({model}.mae) = 'number' ? {score}"
    if not only_mae:
        limit = f"$exists({model}.at_least) ? 'at least ' & {model}.at_least : "
        limit += f"$exists({model}.at_most) ? 'at most ' & {model}.at_most : 'no limit'"
        baseline = f"($type({model}.baseline) = 'number' ? '; baseline ' & {model}.baseline : '')"
        other = text("{} {} ({}{}).", f"{model}.metric", f"{model}.score", f"({limit})", baseline)
        scored += f" : $type({model}.score) = 'number' ? {other}"
    return f"{model}.verdict & '. ' & ({scored} : {failed})"


def registered(model: str) -> str:
    """What happened to the model in the registry, after its reason."""
    version, failed = text(" Registered as version {}.", f"{model}.version"), f"{model}.unregistered"
    return f"($exists({model}.version) ? {version} : $exists({failed}) ? {text(' Not registered: {}', failed)} : '')"


def listed_lines(models: str, line: str) -> str:
    return f"$join($map({models}, function($m, $i) {{{line}}}), {quoted(chr(10))})"


def follow(names: Names) -> str:
    """Where to look; its two gaps are filled in from FOLLOW."""
    return f"Look closer: {names.pipeline_py('show {}')}\n             {names.console}{{}}"


def subject(names: Names, word: str) -> str:
    room = limits.SUBJECT - len(names.prefix) - len(" : incomplete")
    end = f"($length($run) > {room} ? '..' & $substring($run, $length($run) - {room - 2}) : $run)"
    whose = f"($substring($run, 0, {len(names.prefix) + 1}) = {quoted(names.prefix + '-')} and $length($run) <= {room}"
    whose += f" ? '' : {quoted(names.prefix + ' ')})"
    return f"{whose} & $replace({end}, /[^ -~]/, '?') & ': ' & {word}"
