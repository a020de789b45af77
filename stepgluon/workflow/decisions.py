"""The run's decisions, as JSONata: its input, its models, their verdicts, and which of them predict.

Each function returns the expression that a state assigns or outputs. For variables and their fields, see states.py.
"""

from __future__ import annotations

import json

from stepgluon import limits
from stepgluon.config.metrics import named
from stepgluon.config.schema import PipelineConfig
from stepgluon.names import Names
from stepgluon.programs import program_of
from stepgluon.workflow import mails
from stepgluon.workflow.expressions import jsonata, once, quoted, sentence, text
from stepgluon.workflow.jobs import Jobs

_UNLIMITED = "1e308"
NONE_PROMOTED = "'{}'"  # the text of promoted.json if there is none
UNUSABLE = "The input of this execution cannot be used: "  # ends a run at Begin
_INPUT = {"data": "string", "note": "string", "overrides": "object", "fresh": "boolean"}
_INPUT |= {
    "estimate": "string",
    "run_file": "string",
    "token": "string",
}  # the token identifies the request that started the run


def checked_input(raw_bucket: str) -> str:
    """The execution's input, merged over its defaults. After a manual start, it may be anything."""
    defaults = jsonata({"data": f"s3://{raw_bucket}/", "note": "", "estimate": "", "overrides": {}, "fresh": False})
    unknown = text("{} is not a key (the keys are {})", "$key", quoted(", ".join(_INPUT)))
    return f"""($given := $states.input; $kinds := {jsonata(_INPUT)};
$refuse := function($why) {{$error({quoted(UNUSABLE)} & $why)}};
$type($given) != 'object' ? $refuse('an object is expected');
$each($given, function($value, $key) {{
$not($exists($lookup($kinds, $key))) ? $refuse({unknown}) :
$type($value) != $lookup($kinds, $key) ? $refuse($key & ' must be of type ' & $lookup($kinds, $key))}});
$limit := $given.overrides.threshold;
$exists($limit) ? $type($limit) != 'number' ? $refuse('overrides.threshold must be a number');
$merge([{defaults}, $given]))"""


def models(config: PipelineConfig, jobs: Jobs) -> str:
    """The models with their fingerprints from prepare, and the folders derived from fingerprint and image.

    A threshold in the execution's input is an error in the label's unit, so it applies only to models judged by MAE.
    """
    overridden = "$exists($limit)" if config.only_mae else "$exists($limit) and $not($exists($m.metric))"
    data = ", 'data': $exists($m.group) ? $found.train" if config.registers else ""
    asked = ", 'columns': $found.columns" if jobs.transforms else ""
    script = ", 'serving': $m.serving" if jobs.scripted else ""
    lacking = text("fingerprints.json lacks the model {}; run the pipeline again", "$m.name")
    return f"""($all := $parse($states.result.Body).models; $limit := $input.overrides.threshold;
[$map($models, function($m) {{(
$found := $filter($all, function($a) {{$a.name = $m.name}});
$exists($found.train) ? true : $error({lacking});
$place := 'models/' & $m.name & '/' & $hash($found.train & '|' & {jobs.depends("$m")}, 'SHA-256');
$merge([$m, {{'place': $place, 'threshold': {overridden} ? $limit : $m.threshold,
'job': {jobs.name("train", "$m")}, 'train': {jobs.training("$m", "$place")},
'trained': {{'run': $run, 'image': {jobs.image("$m")}{script}}},
'rows': $found.predict, 'files': $found.files, 'gaps': $found.rows{data}{asked}}}{jobs.tuned_by_classes("$m")}])
)}})])"""


def good_enough(model: str, metric: str, given: tuple[str, float] | None, found: str = "$own") -> str:
    """Whether a training's score is a number, possible, and within the limit; `found` is the result that was read."""
    if metric == "mae":
        score, within = f"{found}.mae", f"{found}.mae >= 0 and {found}.mae <= {limit(model, found, given)}"
    else:
        score, known = f"{found}.score", named(metric, higher=given is None or given[0] == "at_least")
        possible = f"{score} <= 1" if known.highest == 1 else f"{score} >= 0" if known.lowest == 0 else ""
        wanted = f"{score} {'>=' if known.higher else '<='} {model}.{given[0]}" if given else ""
        within = " and ".join(filter(None, (possible, wanted))) or "true"
    return f"$type({score}) = 'number' ? {within} : false"


def limit(model: str, score: str, given: tuple[str, float] | None) -> str:
    """The highest error that a model may have. The execution's input may give a threshold to any model."""
    key = given[0] if given else ""
    if key == "threshold":
        return f"{model}.threshold"
    median = f"{score}.mae_of_median"
    relative = f"$type({median}) = 'number' ? {median} * (100 - {model}.{key}) / 100 : -1"  # -1: not comparable
    return f"($exists({model}.threshold) ? {model}.threshold : {relative if key else _UNLIMITED})"


def judged(config: PipelineConfig, model: str) -> tuple[str, str, str]:
    """What a verdict takes from the score `$f`: assignments, `threshold`, and the fields for any metric."""
    threshold, own = f"{model}.threshold", ""
    if not config.only_thresholds:
        # A share is rounded for mails: 388.141 * 0.8 has 17 digits.
        median, share = "$f.mae_of_median", f"{model}.better_than_median"
        relative = f"($l := {median} * (100 - {share}) / 100; $l > 0.001 ? $round($l, 9) : $l)"
        relative = f"$exists({share}) and $type({median}) = 'number' ? {relative} : null"
        shown = f"$not($exists({threshold})) ? {share}"
        threshold = f"$exists({threshold}) ? {threshold} : {relative}, 'better_than_median': {shown}"
    if config.only_mae:
        return own, threshold, "'metric': 'mae', 'score': $v.mae, 'baseline': $v.mae_of_median"
    # The errors of a model that another metric judges are not shown as its MAE.
    own = f"""$k := {model}.metric;
$f := $merge([$f, $exists($k) ? {{'mae': null, 'mae_of_median': null}} :
{{'score': $f.mae, 'baseline': $f.mae_of_median}}]);
"""
    scored = f"""'metric': $exists($k) ? $k : 'mae', 'score': $type($f.score) = 'number' ? $f.score : null,
'baseline': $type($f.baseline) = 'number' ? $f.baseline : null,
'at_most': {model}.at_most, 'at_least': {model}.at_least"""
    return own, threshold, scored


def verdicts(config: PipelineConfig, jobs: Jobs) -> str:
    """The branches' verdicts, with the same fields in each."""
    said, reason = sentence("$f.Error", "$f.Cause"), mails.reason("$v", config.only_thresholds, config.only_mae)
    if any(program_of(model).scoring_image for model in config.models):  # trained in a container of AWS
        said = once(said)
    own, threshold, scored = judged(config, "$models[$i]")
    if not config.only_mae:
        said = f"$f.Error = '' and $exists($f.reason) ? 'No score: ' & $f.reason : {said}"
    if any(model.score and model.score.log for model in config.models):
        reason += " & ($exists($f.logged) ? ' Its own training measured it.' : '')"
    registered = ""
    if config.registers:
        registered = ", 'version': $f.version, 'unregistered': $f.unregistered"
        reason += f" & {mails.registered('$v')}"
    if jobs.transforms:
        scored += ", 'columns': $models[$i].columns"
    if jobs.scripted:  # a marker of an earlier version names no script
        scored += ", 'serving': $exists($f.serving) ? $f.serving : $models[$i].serving"
    return f"""[$map($states.result, function($f, $i) {{(
{own}$failure := {{'Error': $f.Error, 'Cause': {said}}};
$v := {{'name': $models[$i].name, 'verdict': $f.verdict, 'mae': $type($f.mae) = 'number' ? $f.mae : null,
'mae_of_median': $type($f.mae_of_median) = 'number' ? $f.mae_of_median : null,
'threshold': {threshold}, 'unit': $models[$i].unit, 'failure': $failure, 'job': $f.job, 'manifest': $f.manifest & '',
'cached': $exists($f.cached), 'run': $f.run & '', 'image': $exists($f.image) ? $f.image : $models[$i].trained.image}};
$v := $merge([$v, {{{scored}{registered}}}]);
$merge([$v, {{'reason': {reason}}}])
)}})]"""


def chosen(config: PipelineConfig, names: Names, jobs: Jobs, promoted: str) -> str:
    """The trained model, its default, or the rejected one anyway; without any, the run ends here, to be redriven.

    A default predicts in the image that its own run used; one that names none, in that of the model's program. One that
    the model's jobs cannot run counts as none, and the model's reason says why.
    `promoted` is the text of promoted.json, which is parsed only if a model is rejected: it may be damaged.
    """
    why_not = "''" if promoted == NONE_PROMOTED else unfit(config, jobs)
    fallback = config.fallback
    replace_all = "$bad" if fallback.when == "any" else "false"
    good = f"promote the models of a good run ({names.pipeline_py('promote RUN')})"
    if fallback.if_missing == "use_trained":
        anyway = "$m.job != ''"
        why = f"training or testing failed, and no model is promoted. Fix its cause, or {good}."
    else:
        anyway = "false"
        why = "the trained one was not good enough, and no default model takes its place. Improve the data, "
        why += f"{good}, or set fallback.if_missing: use_trained."
    missing = text(f"No model can predict for {{}}: {why}", "$join($missing.name, ', ')") + " & $join($missing.unfit)"
    of_config = "{'model_uri': $s.default, 'run': ''}"
    # The predictions' other dependencies, besides the model's rows.
    depends = f"$s.rows, $u.model_uri, $u.manifest, $u.image, {quoted(json.dumps(config.predict.environment))}"
    script = ""
    if jobs.transforms:
        depends += ", $u.serving.SAGEMAKER_PROGRAM, $u.serving.SAGEMAKER_SUBMIT_DIRECTORY"
        # An entry of an earlier version names neither program nor script: the config's script serves its model.
        script = ", 'serving': $exists($d.program) ? $merge([{}, $d.serving]) : $m.serving"
    return f"""($verdicts := $states.input.models;
$bad := $count($filter($verdicts, function($m) {{$m.verdict = 'rejected'}})) > 0;
$promoted := $bad ? $parse({promoted}) : {{}};
$all := $map($verdicts, function($m, $i) {{(
$s := $models[$i]; $p := $type($promoted) = 'object' ? $lookup($promoted, 'm_' & $replace($s.name, '-', '_'));
$p := $type($p) = 'object' ? $type($p.model_uri) = 'string' ? $p;
$unfit := $exists($s.default) or $not($exists($p)) ? '' : {why_not};
$d := $exists($s.default) ? {of_config} : $unfit = '' ? $p;
$trained := {{'uses': 'trained', 'model_uri': $work & $s.place & '/' & $m.job & '/output/model/'}};
$u := $m.verdict = 'accepted' and $not({replace_all}) ? $trained :
$exists($d) ? $merge([$d, {{'uses': 'default', 'manifest': $d.manifest & '',
'image': $type($d.image) = 'string' ? $d.image : $m.image{script}}}]) :
{anyway} ? $trained : {{'uses': 'nothing', 'model_uri': ''}};
$u := $merge([$m, $u, $unfit != '' and ($m.verdict = 'rejected' or {replace_all}) ?
{{'reason': $m.reason & $unfit, 'unfit': $unfit}}]);
$merge([$u, {{'promoted': $contains({promoted}, '/' & $m.name & '/' & $m.job & '/') ? true,
'place': 'predictions/' & $m.name & '/' & $hash($join([{depends}], '|'), 'SHA-256'),
'predict_job': {jobs.name("predict", "$s")}}}])
)}});
$missing := $filter($all, function($m) {{$m.uses = 'nothing'}});
$count($missing) > 0 ? $error({missing}) : [$all])"""


def unfit(config: PipelineConfig, jobs: Jobs) -> str:
    """Why the jobs of the model $s cannot predict with its promoted model $p; an empty text if they can.

    An entry of promoted.json of an earlier version does not name the program that trained its model.
    """
    if config.data.files:
        kind = "$exists($p.program) ? $p.program = 'files' : $not($exists($p.columns))"
    else:  # a container answers rows over HTTP only
        kind = "$exists($s.columns) or ($exists($p.program) ? $not($p.program in ['container', 'files']) : "
        kind += "$not($exists($p.columns)))"
    # A container gets the columns without their names, so it answers only rows of those that it was trained with.
    same = "$exists($s.columns) and $p.columns & '' != $s.columns ? 'learnt from other columns' : "
    said = text(" The model promoted from run {} was not used: it {}.", "$p.run", "$w")
    return f"""($w := $exists($p.classes) and $not($exists($s.classes)) ? 'predicts classes' :
$exists($s.classes) and $not($exists($p.classes)) ? 'predicts numbers' :
$not({kind}) ? 'was made by another algorithm, whose models the jobs of this config cannot run' :
{same if jobs.transforms else ""}''; $w = '' ? '' : {said})"""


def outcomes() -> str:
    """The chosen models, with the outcome of each prediction."""
    said = sentence("$f.Error", "$f.Cause")
    return f"""[$map($chosen, function($m, $i) {{(
$f := $states.result[$i];
$merge([$m, {{'outcome': $f.outcome, 'folder': $f.folder & '', 'predictions_cached': $exists($f.cached),
'outcome_failure': {{'Error': $f.Error & '', 'Cause': {said}}}}}])
)}})]"""


def manifest(of_files: bool) -> str:
    """The manifest of all prediction files of this run or earlier ones, below their fingerprints, and of the trained
    models' evaluations for the report. It is never empty. With data.files, the predictions are inputs of their own.

    SageMaker refuses a manifest with a missing file, so an evaluation is listed only if there is also a manifest of the
    model: code/train.py wrote both.
    """
    files = "$map($models[$i].files, function($f) {$v.place & '/' & $v.folder & '/' & $f})"
    evaluated = "$type($v.score) = 'number' and $v.manifest != ''"
    evaluation = "$models[$i].place & '/' & $v.job & '/output/model/evaluation.json'"
    predicted = "$v.outcome = 'predicted' and $not($models[$i].gaps = 0)"
    each = (
        f"[{evaluated} ? {evaluation}]" if of_files else f"$append({predicted} ? {files}, {evaluated} ? {evaluation})"
    )
    return f"""$append([{{'prefix': $work}}, 'runs/' & $run & '/prepared/profile.json'],
$reduce($map($verdicts, function($v, $i) {{{each}}}), $append, []))"""


def words_kept(models: int) -> int:
    """How many characters of each failure's message fit into the state data if every model fails in training and in
    prediction: the verdicts contain the training's message twice, in the failure and in the reason.
    """
    return max(40, min(1000, (limits.PAYLOAD_BYTES * 9 // 10 // models - 800) // 3))
