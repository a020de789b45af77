"""The decisions about a group of models, as JSONata. For the variables, see group_states.py.

The models of a group are judged and chosen by the same rules as those with a branch each: decisions.py.
"""

from __future__ import annotations

import json

from stepgluon.config.schema import PipelineConfig
from stepgluon.workflow import decisions, mails
from stepgluon.workflow.expressions import NOT_RETRIED, quoted, sentence, text, words_of_job

MOST = 256  # models of a group (code/partitions.py), and entries of its marker
_HASH = 32  # characters of a hash in a group's folders
_BY_NAME = "$merge($append([{{}}], $map({}, function($e) {{{{$e.name: $e}}}})))"
# Bytes of a group's choices ([sfn] a request takes 256 KiB), bytes of one choice without its words, and characters of
# its words, which are kept twice: in the failure and in the reason.
_CHOICES, _CHOICE, _WORDS = 230_000, 700, 1000


def by_name(entries: str) -> str:
    return _BY_NAME.format(entries)


def known(body: str) -> str:
    """The models of the group's marker, of this run or earlier ones."""
    return f"[$filter({body}.models, function($k) {{$type($k.name) = 'string'}})]"


def found(known: str, image: str) -> str:
    """Which models are known, and which are to be trained, in which folder: the same for the same models."""
    mark = f"$hash($m.train & '|' & {image}, 'SHA-256')"
    place = f"$substring($hash($join([$todo.fingerprint], '|'), 'SHA-256'), 0, {_HASH})"
    return f"""($of := {by_name(known)};
$all := [$map($models, function($m) {{$type($m.train) = 'string' ? {{'name': $m.name, 'fingerprint': {mark}}}}})];
$is := function($t) {{$lookup($of, $t.name).fingerprint = $t.fingerprint}};
$todo := [$filter($all, function($t) {{$not($is($t))}})];
{{'cached': [$filter($all, $is).name], 'todo': $todo, 'place': 'models/groups/' & $group & '/' & {place}}})"""


def results() -> str:
    """By name: what the training job reported about each model, as the group's marker keeps it, or why it failed."""
    key = "$found.place & '/' & $own.job & '/output/model/' & $t.name & '.tar.gz'"
    kept = "$merge([$sift($r, function($v, $k) {$k in $scored}), "
    kept += f"{{'name': $t.name, 'fingerprint': $t.fingerprint, 'key': {key}, 'run': $run}}])"
    lacking = quoted("The training job reported nothing about this model.")
    failure = (
        f"{{'name': $t.name, 'Error': 'TrainingFailed', 'Cause': $type($r.Cause) = 'string' ? $r.Cause : {lacking}}}"
    )
    each = f"""$map($found.todo, function($t) {{($r := $lookup($of, $t.name);
$type($r.manifest) = 'string' and $not($exists($r.Error)) ? {kept} : {failure})}})"""
    return f"($of := {by_name('$parse($states.result.Body).models')}; {by_name(each)})"


def remembered() -> str:
    """The models of the group's marker: the trained ones, the others of this run, and those of earlier runs."""
    return f"""($all := $map($found.todo, function($t) {{$lookup($results, $t.name)}});
$new := $filter($all, function($r) {{$exists($r.key)}});
$old := $filter($known, function($k) {{$not($k.name in $new.name)}});
$used := $filter($old, function($k) {{$k.name in $found.cached}});
$all := $append($append($new, $used), $filter($old, function($k) {{$not($k.name in $found.cached)}}));
[$filter($all, function($k, $i) {{$i < {MOST}}})])"""


def verdicts(config: PipelineConfig) -> str:
    """The verdict of each model, with the fields of those with a branch each."""
    model = config.models[0]
    before, threshold, judged = decisions.judged(config, "$model")
    good = decisions.good_enough("$model", model.metric, config.limit_of(model), "$f")
    said = sentence("$own.Error", f"({words_of_job('$own.Cause', _WORDS)})")
    less = "$exists($f.Cause) ? $f.Cause : $exists($f.reason) ? 'No score: ' & $f.reason : ''"
    less = f"$substring($replace({less}, /^{NOT_RETRIED}/, ''), 0, $words)"
    more = "" if config.only_mae else f", {judged}"
    return f"""($of := {by_name("$known")}; $said := {said};
$words := $max([40, $min([{_WORDS}, $floor(({_CHOICES} / ($count($models) + 1) - {_CHOICE}) / 3)])]);
[$map($models, function($m) {{(
$cached := $m.name in $found.cached;
$f := $cached ? $lookup($of, $m.name) : $lookup($results, $m.name);
$f := $exists($f) ? $f : $type($m.train) = 'string' ? {{'Error': $own.Error, 'Cause': $said}} :
{{'Error': 'TooFewRows', 'Cause': $m.reason & ''}};
$verdict := ({good}) ? 'accepted' : 'rejected';
{before}$v := {{'name': $m.name, 'verdict': $verdict, 'mae': $type($f.mae) = 'number' ? $f.mae : null,
'mae_of_median': $type($f.mae_of_median) = 'number' ? $f.mae_of_median : null,
'threshold': {threshold}, 'unit': $model.unit, 'failure': {{'Error': $f.Error & '', 'Cause': {less}}},
'key': $f.key & '', 'manifest': $f.manifest & '', 'cached': $cached, 'run': $f.run & ''{more}}};
$merge([$v, {{'reason': {mails.reason("$v", config.only_thresholds, config.only_mae)}}}])
)}})])"""


def chosen(config: PipelineConfig, verdict: str, replace_all: str) -> str:
    """The verdict of the model $m with what predicts: the trained model, the promoted one, or the rejected one anyway.

    Nothing predicts a partition with too few rows, unless `otherwise: promoted`.
    """
    anyway = "$v.key != ''" if config.fallback.if_missing == "use_trained" else "false"
    small = (
        "$type($m.train) = 'string' or " if config.partitioned and config.partitioned.otherwise != "promoted" else ""
    )
    promoted = f"({small or 'true or '}false) and $type($m.promoted.key) = 'string'"
    return f"""($v := {verdict};
$v.verdict = 'accepted' and $not({replace_all}) ? $merge([$v, {{'uses': 'trained'}}]) :
{promoted} ? $merge([$v, {{'uses': 'default', 'key': $m.promoted.key, 'manifest': $m.promoted.manifest & '',
'run': $m.promoted.run & ''}}]) :
{anyway} ? $merge([$v, {{'uses': 'trained'}}]) : $merge([$v, {{'uses': 'nothing'}}]))"""


def choices(config: PipelineConfig) -> str:
    """The verdicts with what predicts, where each model has its own default."""
    return f"""($verdicts := {by_name(verdicts(config))};
[$map($models, function($m) {{{chosen(config, "$lookup($verdicts, $m.name)", "false")}}})])"""


def choices_of_all(config: PipelineConfig) -> str:
    """The same for recorded verdicts, if one rejected model of any group replaces all models."""
    return f"""($verdicts := {by_name("$parse($states.result.Body).models")};
[$map($models, function($m) {{{chosen(config, "$lookup($verdicts, $m.name)", "$bad")}}})])"""


def due(environment: dict[str, str]) -> str:
    """The models that have rows to predict, and the folder of their predictions: the same for the same models."""
    setting = f"$jobs.predict.AppSpecification.ImageUri & {quoted(json.dumps(environment))}"
    return f"""($of := {by_name("$choices")}; $setting := $hash({setting}, 'SHA-256');
$due := [$map($models, function($m) {{($c := $lookup($of, $m.name); $m.rows_predict > 0 and $c.uses != 'nothing' ?
{{'name': $m.name, 'rows': $m.predict, 'key': $c.key, 'manifest': $c.manifest}})}})];
$depends := $join([$map($due, function($d) {{$d.rows & ' ' & $d.key & ' ' & $d.manifest}})], '|') & $setting;
$hash := $substring($hash($depends, 'SHA-256'), 0, {_HASH});
{{'names': [$due.name], 'keys': [$due.key], 'place': 'predictions/groups/' & $group & '/' & $hash,
'setting': $setting}})"""


def predicted_before() -> tuple[str, str]:
    """From the marker of the group's last predictions: `own` with them, if exactly these models have all predicted
    exactly these rows; and otherwise their files, from which the job takes those of unchanged models.
    """
    own = """($r := $parse($states.result.Body);
$r.place = $due.place and $r.predicted = $count($due.keys) and $type($r.folder) = 'string' ?
$merge([$own, {'folder': $r.folder, 'predicted': $r.predicted}]) : $own)"""
    place = "$r.place & '/' & $r.folder"
    files = f"[{place} & '/predictions.parquet', {place} & '/result.json']"
    return own, f"($r := $parse($states.result.Body); $r.setting = $due.setting ? {files} : [])"


def report() -> str:
    """The group's counts: accepted, rejected and failed trainings; models that predicted, and that should have."""
    rejected = "$filter($choices, function($c) {$c.verdict = 'rejected'})"
    failed = f"$filter({rejected}, function($c) {{$not($c.failure.Error in ['', 'TooFewRows'])}})"
    return f"""{{'group': $group, 'accepted': $count($choices) - $count({rejected}), 'rejected': $count({rejected}),
'failed': $count({failed}), 'predicted': $own.predicted, 'missing': $count($due.keys) - $own.predicted,
'folder': $own.predicted > 0 ? $substringAfter($due.place, $group & '/') & '/' & $own.folder : ''}}"""


def report_training() -> str:
    """The number of rejected models, without those that have too few rows to be trained."""
    rejected = "$filter($choices, function($c) {$c.verdict = 'rejected' and $c.failure.Error != 'TooFewRows'})"
    return f"{{'group': $group, 'rejected': $count($choices) = 0 ? 1 : $count({rejected})}}"


def manifest() -> str:
    """The manifest of all groups' predictions. `$g` is a child's report; a failed child's may be anything."""
    place = "'predictions/groups/' & $g.group & '/' & $g.folder"
    each = f"$g.folder & '' = '' ? [] : [{place} & '/predictions.parquet', {place} & '/result.json']"
    return f"""$append([{{'prefix': $work}}, 'runs/' & $run & '/prepared/profile.json'],
$reduce($map($states.input.groups, function($g) {{{each}}}), $append, []))"""


def incomplete() -> str:
    line = text("{}: {}", "$m.name", "$m.reason")
    listed = f"$join([$map($headline.missing_models, function($m) {{{line}}})], ' ')"
    count = "$headline.missing & ($headline.missing = 1 ? ' model could' : ' models could')"
    return text("{} not predict their rows. {}", count, listed)
