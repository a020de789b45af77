"""The states used in pipeline.py: one method for each kind of state.

Variables of the machine:

    run, id       the execution's name, and ten random characters for the names of its jobs
    input         {data, note, estimate, overrides, fresh}: the defaults merged with the execution's input
    bucket        the work bucket; work: s3://<bucket>/; folder: the run's folder in it, with a trailing slash
    jobs          the part of a request for a training and for a prediction that is the same for all models
    job_failures  how often Prepare data or Post-process has failed so far; job_failure: why
    markers       the folder of the markers to look up; with `fresh`, an empty one
    models, gaps  from Read fingerprints: for each model its name, limit, place (models/<name>/<fingerprint>), ...;
                  what is kept of its training, the run and the image that predicts with it, in trained;
                  and the number of empty labels, as text. The limit is in threshold, in better_than_median (a
                  percentage), or for other metrics in at_most or at_least, or absent; the execution's
                  input may add a threshold to all models judged by mae
    chosen        from Choose models: for each model its verdict, what predicts in which image, and the place of its
                  predictions
    starts        from Choose models: for each model `own` before its prediction; without gaps it is predicted already,
                  because a job would take minutes
    predictions   from Announce models: for each model its own part of the request for its prediction job
    verdicts      from Predict: as `chosen`, with each prediction's outcome; from Release models also with the release:
                  its endpoint, outcome, and said, the sentence for mails

A branch has one variable, own; that of a tuned model also `trials`, what its trainings tried. For a training: the job,
its score, and Error, Cause and tries of a failure. For a prediction: its outcome, the folder below its place, and the
same of a failure. Values of `own` that are the same in all branches are variables of the machine: untried, unpredicted,
cached, cached_result and predicted. `scored` has the keys of a score that are kept.

A model's state takes its model as data (`Item`), so it works in a branch of a Parallel and for the items of a Map.
A Pass or Choice has no Catch: its expressions must not fail, unless ending the run is their purpose ($error).
"""

from __future__ import annotations

from typing import Any, ClassVar

from stepgluon import limits
from stepgluon.names import PROMOTED
from stepgluon.workflow import decisions, mails
from stepgluon.workflow.branch_states import BranchStates
from stepgluon.workflow.endpoint_states import EndpointStates
from stepgluon.workflow.expressions import expression, jsonata, literal, sentence, text, words_of_job, worth_another_try
from stepgluon.workflow.parts import (
    ALL,
    BUILD,
    FIND_IMAGE,
    OF_OTHER_METRICS,
    OUTCOMES,
    PROCESSING,
    READ,
    SMALL_CALL_SECONDS,
    UNTRIED,
    WRITE,
    Item,
)
from stepgluon.workflow.retries import STARTUP_SECONDS
from stepgluon.workflow.sdk import Catch, Choice, Fail, Parallel, Pass, Rule, Succeed, Task


class States(EndpointStates, BranchStates):
    _mails: ClassVar[dict[str, Any]] = mails.MAILS

    # The run

    def begin(self, name: str) -> Pass:
        work = f"s3://{self.names.work_bucket}/"
        folder = text(f"{work}runs/{{}}/", "$states.context.Execution.Name")
        return Pass(
            name,
            assign={
                "run": expression("$states.context.Execution.Name"),
                "id": expression("$substring($uuid(), 24, 10)"),
                "input": expression(decisions.checked_input(self.names.raw_bucket)),
                "bucket": self.names.work_bucket,
                "work": work,
                "folder": expression(folder),
                "jobs": self.jobs.settings(),
                "models": literal([self._settings_of(model) for model in self.config.models]),
                "markers": expression("$states.input.fresh = true ? 'markers/fresh/' : 'markers/'"),
                "scored": ["mae", "mae_of_median", "manifest"] + ([] if self.config.only_mae else OF_OTHER_METRICS),
                "untried": expression(jsonata(UNTRIED)),
                "cached": expression(jsonata({**UNTRIED, "cached": True})),
                "cached_result": {"outcome": "predicted", "cached": True},
                "job_failures": 0,
            },
            output={},
        )

    def mail(self, name: str, kind: str) -> Task:
        """A mail. One that cannot be sent neither stops nor hides a run: its Catch continues.

        The mail between Choose models and Predict also assigns the predictions, which depend on the chosen models.
        """
        subject, message = map(expression, self._mails[kind](self.config, self.names))
        predictions = f"[$map($chosen, function($c) {{{self.jobs.prediction('$c')}}})]"
        own = kind == "models" and self.jobs.predicts and not self.config.partitioned
        assign = {"assign": {"predictions": expression(predictions)}} if own else {}
        arguments = {"TopicArn": self.names.topic_arn, "Subject": subject, "Message": message}
        retries = self._retries_of["SNS"]
        return self._task(name, "sns:publish", arguments, SMALL_CALL_SECONDS, retries, output={}, **assign)

    def ignored(self, task: Task) -> Catch:
        """Continue after a failure of the task as after its success."""
        assign = {"assign": task.fields["assign"]} if "assign" in task.fields else {}
        return Catch(error_equals=ALL, **assign, next_step=task.next_step)

    # Images that runs build

    def look_for_image(self, image: str, name: str) -> Task:
        tag = {"ImageTag": self.names.image_tag(image)}
        request = {"RepositoryName": self.names.repository(image), "ImageIds": [tag]}
        return self._task(name, FIND_IMAGE, request, SMALL_CALL_SECONDS, self._retries_of["Ecr"], output={})

    def without_image(self, build: Task) -> Catch:
        return Catch(error_equals=["Ecr.ImageNotFoundException"], output={}, next_step=build)

    def build_image(self, image: str, name: str) -> Task:
        """The source is the folder as it was deployed. A build that fails ends the run; a redrive tries again."""
        source = f"{self.names.work_bucket}/builds/{image}/{self.names.image_tag(image)}.zip"
        request = {
            "ProjectName": self.names.image_build,
            "SourceTypeOverride": "S3",
            "SourceLocationOverride": source,
            "EnvironmentVariablesOverride": [{"Name": "IMAGE", "Value": self.names.image(image)}],
        }
        retries = self._retries_of["CodeBuild"]
        return self._task(name, BUILD, request, limits.IMAGE_BUILD_SECONDS + STARTUP_SECONDS, retries, output={})

    # The whole run's jobs

    def prepare(self, name: str) -> Task:
        return self._job(name, PROCESSING, self.jobs.prepare(), self.config.prepare.max_runtime)

    def postprocess(self, name: str) -> Task:
        return self._job(name, PROCESSING, self.jobs.postprocess(), self.config.postprocess.max_runtime)

    def failed_job(self, then: Any) -> Catch:
        """Catches a failed job of the whole run: its message, whether to retry, and how often the run was redriven.

        What `again` raises is in one short variable, because AWS quotes the expression in the execution's cause.
        """
        failure, tries = "$merge([{'Cause': ''}, $states.errorOutput])", "$job_failures + 1"
        said = sentence("$f.Error", f"({words_of_job('$f.Cause', 1000)})")
        again = worth_another_try("$f", tries, self.config.retries.job)
        redrives = "$states.context.Execution.RedriveCount"
        kept = f"($f := {failure}; {{'sentence': {said}, 'again': {again}, 'redrives': {redrives}}})"
        assign = {"job_failure": expression(kept), "job_failures": expression(tries)}
        return Catch(error_equals=["States.TaskFailed"], assign=assign, output={}, next_step=then)

    def again(self, name: str, job: Task) -> Choice:
        """Retry the job if that may help; otherwise the run ends here, with the job's own sentence.

        Step Functions' own redrive returns to this state with another RedriveCount; then the job runs again.
        """
        redriven = "$states.context.Execution.RedriveCount > $job_failure.redrives"
        choice = Choice(name)
        rule = Rule(expression(f"$job_failure.again or {redriven} ? true : $error($job_failure.sentence)"))
        choice.add_choice(rule, job)
        return choice

    def read_fingerprints(self, name: str) -> Task:
        key = expression("'runs/' & $run & '/prepared/fingerprints.json'")
        gaps = expression("$parse($states.result.Body).gaps & ''")
        assign = {
            "models": expression(decisions.models(self.config, self.jobs)),
            "gaps": gaps,
            **OUTCOMES,
            "job_failures": 0,
        }
        return self._s3(name, READ, key, assign=assign, output={})

    def train_models(self, name: str) -> Parallel:
        return Parallel(name, arguments={}, output={"models": expression(decisions.verdicts(self.config, self.jobs))})

    def choose_models(self, name: str, then: Any) -> Task:
        def choose(promoted: str) -> dict[str, str]:
            starts = "[$map($models, function($m) {$m.gaps = 0 ? $predicted : $unpredicted})]"
            chosen = decisions.chosen(self.config, self.names, self.jobs, promoted)
            return {"chosen": expression(chosen), "starts": expression(starts)}

        task = self._s3(name, READ, PROMOTED, assign=choose("$states.result.Body"), output={})
        task.add_catch(
            Catch(error_equals=["S3.NoSuchKeyException"], assign=choose(decisions.NONE_PROMOTED), next_step=then)
        )
        return task

    def predict_models(self, name: str) -> Parallel:
        return Parallel(name, arguments={}, assign={"verdicts": expression(decisions.outcomes())}, output={})

    def record_verdicts(self, name: str) -> Task:
        """Write the verdicts to the run's folder, for post-process, `promote RUN` and `show RUN`."""
        listed = expression("$verdicts")
        key = expression("'runs/' & $run & '/verdicts.json'")
        return self._s3(name, WRITE, key, given={"Body": listed}, output={"models": listed})

    def list_predictions(self, name: str) -> Task:
        key = expression("'runs/' & $run & '/predictions.manifest'")
        return self._s3(
            name,
            WRITE,
            key,
            given={"Body": expression(decisions.manifest(self.config.data.files))},
            assign={"job_failures": 0},
            output={},
        )

    def nothing_is_missing(self) -> Rule:
        released = f" and $count({mails.UNRELEASED}) = 0" if self.config.served else ""
        return Rule(expression(f"$count({mails.MISSING}) = 0{released}"))

    def done(self, name: str) -> Succeed:
        return Succeed(name, output={"models": expression("$verdicts")})

    def incomplete(self, name: str) -> Fail:
        line = text("{}: {}", "$v.name", "$v.outcome_failure.Cause")
        listed = f"$join($map({mails.MISSING}, function($v) {{{line}}}), ' ')"
        listed = f"'Some models could not predict their rows. ' & {listed}"
        if self.config.served:
            listed = f"$count({mails.MISSING}) = 0 ? {self._unreleased()} : {listed}"
        return Fail(name, error="Incomplete", cause=expression(listed))

    # Releases

    def release_models(self, name: str) -> Parallel:
        found = "$states.result[$i]"
        release = f"$merge([$v, $exists({found}.endpoint) ? {{'release': {found}}}])"
        verdicts = f"[$map($verdicts, function($v, $i) {{{release}}})]"
        return Parallel(name, arguments={}, assign={"verdicts": expression(verdicts)}, output={})

    def begin_release(self, name: str) -> Pass:
        """The machine of approved versions starts with the registry's event about one."""
        no_version = "$error('The input is not an event about a version of the model registry.')"
        version = "$states.input.detail.ModelPackageArn"
        return Pass(
            name,
            assign={
                "run": expression("$states.context.Execution.Name"),
                "version": expression(f"$type({version}) = 'string' ? {version} : {no_version}"),
                "bucket": self.names.work_bucket,
                "work": f"s3://{self.names.work_bucket}/",
                "jobs": self.jobs.release_settings(),
                "models": literal([self._settings_of(model) for model in self.config.served_after_approval]),
            },
            output={},
        )

    def is_of(self, item: Item) -> Rule:
        return Rule(expression(f"$contains($version, ':model-package/' & {item.of('models')}.group & '/')"))

    def not_served(self, name: str) -> Fail:
        cause = "$version & ' is not a version of a model that this pipeline serves after approval.'"
        return Fail(name, error="NotServed", cause=expression(cause))

    def all_released(self) -> Rule:
        return Rule(expression(f"$count({mails.UNRELEASED}) = 0"))

    def not_released(self, name: str) -> Fail:
        return Fail(name, error="Incomplete", cause=expression(self._unreleased()))

    def endpoint_is_stuck(self) -> Rule:
        return Rule(expression("'stuck' in $verdicts.release.outcome"))

    def stuck(self, name: str) -> Fail:
        return Fail(name, error="UpdateRollbackFailed", cause=expression(self._unreleased()))

    def _unreleased(self) -> str:
        line = text("{}: {}", "$v.name", "$v.release.said")
        return f"$join($map({mails.UNRELEASED}, function($v) {{{line}}}), ' ')"
