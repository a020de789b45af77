"""The states of a pipeline with one model for each value found in the data. pipeline.py connects them.

A Distributed Map starts a child execution for each group of models, which prepare wrote. A child does not see the
machine's variables, so ItemSelector hands it those of _HANDED, and Begin group assigns them. Its own:

    group     its id, like g0007
    models    the group's models, as prepare wrote them: name, train and predict (the fingerprints; train is null if
              the model has too few rows to be trained), rows_predict, promoted (its entry of promoted-partitions.json)
    known     the models of the group's marker, trained by this run or earlier ones
    found     {cached, todo, place}: the names of models that need no training, the models to train with their
              fingerprints, and the folder for the latter
    results   by name, what the training job reported about each model, or why it failed
    choices   for each model its verdict, and what predicts: {uses, key, manifest, run}, see group_decisions.py
    due       {names, keys, place, setting}: the models that have rows to predict, their archives, the predictions'
              folder, and a hash of the prediction job's image and environment
    earlier   the files of the group's last predictions
    own       of the current training or prediction job: its name and tries, or Error and Cause; for a prediction job
              also its folder and the number of models that predicted

With `when: any`, the models of all groups are trained before any predicts: $bad says whether one was rejected.

A child reports failures and succeeds, so the other groups finish. Only an error that cannot be caught (a state's data
exceed 256 KiB) fails the child; its models are then missing.
"""

from __future__ import annotations

from typing import Any, ClassVar

from stepgluon.config.schema import PipelineConfig
from stepgluon.names import PROMOTED_PARTITIONS
from stepgluon.workflow import group_decisions, group_mails
from stepgluon.workflow.expressions import expression, jsonata, sentence, words_of_job
from stepgluon.workflow.group_jobs import ARCHIVES, CHOICES, FAILURE, PREDICTED, TODO, GroupJobs
from stepgluon.workflow.parts import ALL, LIST, PROCESSING, READ, SMALL_CALL_SECONDS, TRAINING, WRITE, assign_own
from stepgluon.workflow.retries import longest_training
from stepgluon.workflow.sdk import Catch, Chain, Fail, Map, Pass, Rule, Succeed, Task
from stepgluon.workflow.shared_release import SharedRelease

GROUPS = "'runs/' & $run & '/prepared/groups.json'"
# Of a job's results. A larger file is cut off, an error that can be caught; exceeding a state's limit cannot.
READ_BYTES = 200_000
_HANDED = ("run", "id", "bucket", "work", "folder", "jobs", "markers", "scored", "untried")
_UNPREDICTED = assign_own(jsonata({"folder": "", "predicted": 0, "tries": 0, "Error": "", "Cause": ""}))
_NONE_DUE = {"due": expression(jsonata({"names": [], "keys": [], "place": "", "setting": ""}))}


class GroupStates(SharedRelease):
    _mails: ClassVar[dict[str, Any]] = group_mails.MAILS

    def __init__(self, config: PipelineConfig) -> None:
        super().__init__(config)
        self.jobs: GroupJobs = GroupJobs(config, self.names)
        self.waits = config.fallback.when == "any"  # for all groups' verdicts before any model predicts

    # The run

    def begin(self, name: str) -> Pass:
        begin = super().begin(name)
        (model,) = begin.fields["assign"].pop("models")
        begin.fields["assign"] |= {"model": model, "bad": False}
        return begin

    def look_for_promoted(self, name: str) -> Task:
        """List instead of HeadObject, which fails without the object, as would a job with it as its input."""
        request = {"Bucket": expression("$bucket"), "Prefix": PROMOTED_PARTITIONS, "MaxKeys": 1}
        assign = {"promoted": expression("$states.result.KeyCount > 0")}
        retries = self._retries_of["S3"]
        return self._task(name, LIST, request, SMALL_CALL_SECONDS, retries, assign=assign, output={})

    def read_fingerprints(self, name: str) -> Task:
        key = expression("'runs/' & $run & '/prepared/fingerprints.json'")
        limit = "$input.overrides.threshold"
        model = (
            f"$exists({limit}) and $not($exists($model.metric)) ? $merge([$model, {{'threshold': {limit}}}]) : $model"
        )
        assign = {"model": expression(model), "job_failures": 0}
        assign["counts"] = expression("$parse($states.result.Body).partitioned")
        return self._s3(name, READ, key, assign=assign, output={})

    def _groups(self, name: str, label: str, child: Chain, **more: Any) -> Map:
        """A child execution for each group. One that fails costs only its own models, which post-process names.

        `label` is a part of the children's names: https://docs.aws.amazon.com/step-functions/latest/dg/state-map.html
        """
        handed = {variable: expression(f"${variable}") for variable in (*_HANDED, "model", "bad")}
        return Map(
            name,
            label=label,
            item_reader={
                "Resource": self.names.integration("s3:getObject"),
                "ReaderConfig": {"InputType": "JSON"},
                "Arguments": {"Bucket": expression("$bucket"), "Key": expression(GROUPS)},
            },
            item_selector={**handed, "group": expression("$states.context.Map.Item.Value.group")},
            iterator=child,
            max_concurrency=self.config.fan_out.jobs_at_once,
            tolerated_failure_percentage=100,
            **more,
        )

    def train_groups(self, name: str, child: Chain) -> Map:
        """A child that failed counts as one rejected model."""
        rejected = "$sum([$map($states.result, function($g) {$exists($g.rejected) ? $g.rejected : 1})])"
        assign = {"rejected": expression(rejected), "bad": expression(f"{rejected} > 0")}
        return self._groups(name, "Train", child, assign=assign, output={})

    def predict_groups(self, name: str, label: str, child: Chain) -> Map:
        """Keep only what List predictions needs of each child's output."""
        listed = "$filter($states.result, function($g) {$exists($g.folder)})"
        kept = f"[$map({listed}, function($g) {{{{'group': $g.group, 'folder': $g.folder}}}})]"
        return self._groups(name, label, child, output={"groups": expression(kept)})

    def list_predictions(self, name: str) -> Task:
        key = expression("'runs/' & $run & '/predictions.manifest'")
        body = {"Body": expression(group_decisions.manifest())}
        return self._s3(name, WRITE, key, given=body, assign={"job_failures": 0}, output={})

    def read_headline(self, name: str) -> Task:
        key = expression("'runs/' & $run & '/result/headline.json'")
        assign = {"headline": expression("$parse($states.result.Body)")}
        return self._s3(name, READ, key, assign=assign, output={})

    def nothing_is_missing(self) -> Rule:
        return Rule(expression(f"$headline.missing = 0{self._released()}"))

    def done(self, name: str) -> Succeed:
        return Succeed(name, output={"models": [], "headline": expression("$headline")})

    def incomplete(self, name: str) -> Fail:
        cause = f"($headline.missing = 0 ? '' : {group_decisions.incomplete()}) & {self._unreleased()}"
        return Fail(name, error="Incomplete", cause=expression(cause))

    # A group

    def begin_group(self, name: str) -> Pass:
        """Assign what the machine hands in: a child execution sees no variables of its parent."""
        assign = {variable: expression(f"$states.input.{variable}") for variable in (*_HANDED, "model", "bad", "group")}
        return Pass(name, assign={**assign, "choices": [], **_NONE_DUE, **_UNPREDICTED}, output={})

    def read_group(self, name: str) -> Task:
        key = expression("'runs/' & $run & '/prepared/groups/' & $group & '/group.json'")
        models = expression("$parse($states.result.Body).models")
        return self._s3(name, READ, key, assign={"models": models}, output={})

    def look_up_group(self, name: str, then: Any) -> Task:
        """Read from the group's marker which models were trained before. An unreadable marker counts as none."""

        def assign(known: str) -> dict[str, Any]:
            found = group_decisions.found(known, self.jobs.depends("$model"))
            own = {"own": expression("$untried"), "results": expression("{}")}
            return {"known": expression(known), "found": expression(found), **own}

        known = group_decisions.known("$parse($states.result.Body)")
        key = expression("$markers & 'groups/' & $group & '.json'")
        task = self._s3(name, READ, key, retry=False, assign=assign(known), output={})
        task.add_catch(Catch(error_equals=ALL, assign=assign("[]"), output={}, next_step=then))
        return task

    def models_to_train(self) -> Rule:
        return Rule(expression("$count($found.todo) > 0"))

    def list_models_to_train(self, name: str) -> Task:
        body = {"Body": {"models": expression("[$found.todo.name]")}}
        return self._s3(name, WRITE, expression(TODO), body, output={})

    def train_group(self, name: str) -> Task:
        own = "$merge([$untried, {'job': $states.result.TrainingJobName, 'tries': $own.tries}])"
        request, seconds = expression(self.jobs.train_group()), longest_training(self.config.models[0].train)
        return self._job(name, TRAINING, request, seconds, assign_own(own))

    def read_results(self, name: str) -> Task:
        key = expression("$found.place & '/' & $own.job & '/output/model/group.json'")
        part = {"Range": f"bytes=0-{READ_BYTES - 1}"}
        assign = {"results": expression(group_decisions.results())}
        return self._s3(name, READ, key, part, assign=assign, output={})

    def remember_group(self, name: str) -> Task:
        """Write the marker, which says that the models are complete. If that fails, a later run trains them again."""
        body = {"Body": {"models": expression(group_decisions.remembered())}}
        return self._s3(name, WRITE, expression("'markers/groups/' & $group & '.json'"), body, retry=False, output={})

    def judge_group(self, name: str) -> Pass:
        """Give each model its verdict and, unless the other groups decide that, choose what predicts."""
        choices = group_decisions.verdicts if self.waits else group_decisions.choices
        return Pass(name, assign={"choices": expression(choices(self.config))}, output={})

    def record_judged(self, name: str, then: Any) -> Task:
        task = self._record(name)
        task.add_catch(self.reported(then))
        return task

    def report_training(self, name: str) -> Pass:
        """How many models are rejected; 1 if the group could not be read or its verdicts could not be written."""
        return Pass(name, output=expression(group_decisions.report_training()))

    def read_verdicts(self, name: str, then: Any) -> Task:
        """Choose what predicts. If the group's training ended without verdicts, its models are missing."""
        assign = {"choices": expression(group_decisions.choices_of_all(self.config))}
        task = self._s3(name, READ, expression(CHOICES), assign=assign, output={})
        task.add_catch(self.reported(then))
        return task

    def record_choices(self, name: str, then: Any) -> Task:
        """Write the choices, for the prediction job, post-process and `promote RUN`."""
        due = {"due": expression(group_decisions.due(self.config.predict.environment)), **_UNPREDICTED}
        task = self._record(name, assign=due)
        task.add_catch(self.reported(then))
        return task

    def reported(self, then: Any) -> Catch:
        """The group has no predictions; post-process reports that for each of its models."""
        return Catch(error_equals=ALL, assign=_UNPREDICTED, output={}, next_step=then)

    def _record(self, name: str, **more: Any) -> Task:
        body = {"group": "$group", "run": "$run", "image": self.jobs.image("$model"), "models": "$choices"}
        given = {"Body": {key: expression(value) for key, value in body.items()}}
        return self._s3(name, WRITE, expression(CHOICES), given, output={}, **more)

    def models_to_predict(self) -> Rule:
        return Rule(expression("$count($due.keys) > 0"))

    def look_up_predictions(self, name: str, then: Any) -> Task:
        """Read from the group's marker what it predicted last. An unreadable marker counts as none."""
        own, earlier = group_decisions.predicted_before()
        key, assign = expression(f"$markers & {PREDICTED}"), {**assign_own(own), "earlier": expression(earlier)}
        task = self._s3(name, READ, key, retry=False, assign=assign, output={})
        task.add_catch(Catch(error_equals=ALL, assign={"earlier": expression("[]")}, output={}, next_step=then))
        return task

    def predicted_before(self) -> Rule:
        return Rule(expression("$own.predicted > 0"))

    def list_archives(self, name: str) -> Task:
        """For the prediction job: also the group's last predictions, which stay valid for unchanged models."""
        listed = "$append([{'prefix': $work}], $append($distinct($due.keys), $earlier))"
        return self._s3(name, WRITE, expression(ARCHIVES), {"Body": expression(listed)}, output={})

    def predict_group(self, name: str) -> Task:
        request, seconds = expression(self.jobs.predict_group()), self.config.predict.max_runtime
        return self._job(name, PROCESSING, request, seconds)

    def read_predictions(self, name: str) -> Task:
        key = expression("$due.place & '/' & $id & '/result.json'")
        part = {"Range": f"bytes=0-{READ_BYTES - 1}"}
        is_good = "$type($m.row_group) = 'number' and $m.name in $due.names"
        good = f"$count($filter($parse($states.result.Body).models, function($m) {{{is_good}}}))"
        own = assign_own(f"$merge([$own, {{'folder': $id, 'predicted': {good}}}])")
        return self._s3(name, READ, key, part, assign=own, output={})

    def remember_predictions(self, name: str) -> Task:
        kept = "'setting': $due.setting, 'folder': $own.folder, 'predicted': $own.predicted"
        body = {"Body": expression(f"{{'place': $due.place, {kept}}}")}
        return self._s3(name, WRITE, expression(f"'markers/' & {PREDICTED}"), body, retry=False, output={})

    def record_failure(self, name: str) -> Task:
        """Write why the group's models did not predict, for post-process."""
        said = sentence("$own.Error", f"({words_of_job('$own.Cause', 1000)})")
        body = {"Body": {"Error": expression("$own.Error"), "Cause": expression(said)}}
        return self._s3(name, WRITE, expression(FAILURE), body, output={})

    def report_group(self, name: str) -> Pass:
        return Pass(name, output=expression(group_decisions.report()))

    def failed_of_group(self, then: Any) -> Catch:
        """Keep a failure and count the try."""
        return self._failed("$merge([$own, {'Cause': ''}, $states.errorOutput, {'tries': $own.tries + 1}])", then)
