"""The states used in pipeline.py: one method for each kind of state.

Variables of the machine:

    run, id       the execution's name, and ten random characters for the names of its jobs
    input         {data, note, overrides, fresh}: the defaults merged with the execution's input
    bucket        the work bucket; work: s3://<bucket>/; folder: the run's folder in it, with a trailing slash
    jobs, places  the shared parts of the jobs of a kind
    job_failures  how often Prepare data or Post-process has failed so far; job_failure: why
    markers       the folder of the markers to look up; with `fresh`, an empty one
    untried       the initial value of `found`
    models, gaps  from Read fingerprints: for each model its name, threshold, place (models/<name>/<fingerprint>), ...;
                  and the number of empty labels, as text
    chosen        from Choose models: for each model its verdict, what predicts, and the place of its predictions
    verdicts      from Predict: the same, with each prediction's outcome

A branch has one variable, found. For a training: the job, its score, and Error, Cause and tries of a failure. For a
prediction: its outcome, the folder below its place, and the same of a failure.

A model's state takes its model as data (`Item`), so it works in a branch of a Parallel and for the items of a Map.
A Pass or Choice has no Catch: its expressions must not fail, unless ending the run is their purpose ($error).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.names import PROMOTED, Names, short
from stepgluon.workflow import decisions, mails
from stepgluon.workflow.expressions import (
    expression,
    literal,
    quoted,
    sentence,
    text,
    words_of_job,
    worth_another_try,
)
from stepgluon.workflow.jobs import Jobs, longest_training
from stepgluon.workflow.retries import STARTUP_SECONDS, Waiting
from stepgluon.workflow.sdk import Catch, Choice, Fail, Parallel, Pass, Retry, Rule, Succeed, Task

SMALL_CALL_SECONDS = 60  # how long S3 and SNS may take
ALL = ["States.ALL"]
_TRAINING, _PROCESSING = "sagemaker:createTrainingJob.sync", "sagemaker:createProcessingJob.sync"
_READ, _WRITE = "aws-sdk:s3:getObject", "aws-sdk:s3:putObject"
SCORE_BYTES = 64 * 1024
_MISSING = "$filter($verdicts, function($v) {$v.outcome = 'failed'})"


@dataclass(frozen=True)
class Item:
    """A model in its states' expressions: in a branch an index into the lists, in a Map a variable."""

    ending: str  # suffix of its states' names
    name: str  # these three are expressions: its name, its entry in `models`, and its entry in `chosen`
    data: str
    chosen: str
    training_seconds: int

    def state(self, words: str) -> str:
        return words.replace("*", self.ending)


class States:
    def __init__(self, config: PipelineConfig) -> None:
        self.config = config
        self.names = Names(config)
        self.jobs = Jobs(config, self.names)
        self.waiting = Waiting(config)
        self._words_kept = decisions.words_kept(len(config.models))
        self._places = {model.name: place for place, model in enumerate(config.models)}

    def item(self, model: Model) -> Item:
        place = self._places[model.name]
        seconds = longest_training(model.train)
        return Item(model.name, quoted(model.name), f"$models[{place}]", f"$chosen[{place}]", seconds)

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
                "jobs": literal(self.jobs.settings()),
                "places": self.jobs.places(),
                "models": literal([self._settings_of(model) for model in self.config.models]),
                "markers": expression("$states.input.fresh = true ? 'markers/fresh/' : 'markers/'"),
                "untried": expression("{'job': '', 'mae': null, 'Error': '', 'Cause': '', 'tries': 0}"),
                "job_failures": 0,
            },
            output={},
        )

    def mail(self, name: str, kind: str) -> Task:
        """A mail. One that cannot be sent neither stops nor hides a run: its Catch continues."""
        subject, message = mails.MAILS[kind](self.config, self.names)
        arguments = {
            "TopicArn": self.names.topic_arn,
            "Subject": expression(subject),
            "Message": expression(message),
        }
        return self._task(name, "sns:publish", arguments, SMALL_CALL_SECONDS, self.waiting.small_call_retries("SNS"))

    def ignored(self, then: Any) -> Catch:
        return Catch(error_equals=ALL, output={}, next_step=then)

    def prepare(self, name: str) -> Task:
        return self._job(name, _PROCESSING, self.jobs.prepare(), self.config.prepare.max_runtime)

    def postprocess(self, name: str) -> Task:
        return self._job(name, _PROCESSING, self.jobs.postprocess(), self.config.postprocess.max_runtime)

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
        models, gaps = expression(decisions.models(self.jobs)), expression("$parse($states.result.Body).gaps & ''")
        return self._s3(name, _READ, key, assign={"models": models, "gaps": gaps, "job_failures": 0})

    def train_models(self, name: str) -> Parallel:
        return Parallel(name, arguments={}, output={"models": expression(decisions.verdicts())})

    def choose_models(self, name: str, then: Any) -> Task:
        def choose(promoted: str) -> dict[str, str]:
            return {"chosen": expression(decisions.chosen(self.config, self.names, self.jobs, promoted))}

        task = self._s3(name, _READ, PROMOTED, assign=choose("$parse($states.result.Body)"))
        nothing_promoted = {"assign": choose("{}"), "output": {}, "next_step": then}
        task.add_catch(Catch(error_equals=["S3.NoSuchKeyException"], **nothing_promoted))
        return task

    def predict_models(self, name: str) -> Parallel:
        return Parallel(name, arguments={}, assign={"verdicts": expression(decisions.outcomes())}, output={})

    def record_verdicts(self, name: str) -> Task:
        """Write the verdicts to the run's folder, for post-process, `promote RUN` and `show RUN`."""
        listed = expression("$verdicts")
        key = expression("'runs/' & $run & '/verdicts.json'")
        return self._s3(name, _WRITE, key, given={"Body": listed}, output={"models": listed})

    def list_predictions(self, name: str) -> Task:
        key = expression("'runs/' & $run & '/predictions.manifest'")
        return self._s3(name, _WRITE, key, given={"Body": expression(decisions.manifest())}, assign={"job_failures": 0})

    def nothing_is_missing(self) -> Rule:
        return Rule(expression(f"$count({_MISSING}) = 0"))

    def done(self, name: str) -> Succeed:
        return Succeed(name, output={"models": expression("$verdicts")})

    def incomplete(self, name: str) -> Fail:
        line = text("{}: {}", "$v.name", "$v.outcome_failure.Cause")
        listed = f"$join($map({_MISSING}, function($v) {{{line}}}), ' ')"
        return Fail(
            name, error="Incomplete", cause=expression(f"'Some models could not predict their rows. ' & {listed}")
        )

    # Train models: one branch per model

    def look_up(self, item: Item, name: str, then_train: Any) -> Task:
        """Check whether exactly this was trained before. An unreadable marker counts as none."""
        found = "$merge([$untried, $parse($states.result.Body), {'cached': true}])"
        return self._marker_of(item.state(name), item.data, found, "$untried", then_train)

    def train(self, item: Item, name: str) -> Task:
        found = "$merge([$untried, {'job': $states.result.TrainingJobName, 'run': $run}])"
        return self._job(item.state(name), _TRAINING, self.jobs.train(item.data), item.training_seconds, found)

    def read_score(self, item: Item, name: str) -> Task:
        """Read the score: only objects have one; Judge checks whether its mae is a number."""
        key = f"{item.data}.place & '/' & $found.job & '/output/model/metrics.json'"
        numbers = "{'mae': $s.mae, 'mae_of_median': $s.mae_of_median, 'manifest': $s.manifest}"
        found = f"($s := $parse($states.result.Body); $type($s) = 'object' ? $merge([$found, {numbers}]) : $found)"
        score = {"Range": f"bytes=0-{SCORE_BYTES - 1}"}  # exceeding a state's limit would end the run, uncaught
        return self._s3(item.state(name), _READ, expression(key), score, assign={"found": expression(found)})

    def failed(self, then: Any) -> Catch:
        """Keep a failure for the verdict, and count it."""
        found = "$merge([$found, {'Cause': ''}, $states.errorOutput, {'tries': $found.tries + 1}])"
        return Catch(error_equals=ALL, assign={"found": expression(found)}, output={}, next_step=then)

    def remember(self, item: Item, name: str) -> Task:
        """Write the marker, which says that the model is complete. If that fails, a later run trains it again."""
        return self._remember(item.state(name), item.data)

    def good_enough(self, item: Item) -> Rule:
        """Only a number is accepted: not a missing file or key, null or text."""
        mae, threshold = "$found.mae", f"{item.data}.threshold"
        return Rule(expression(f"$type({mae}) = 'number' ? {mae} >= 0 and {mae} <= {threshold} : false"))

    def worth_another_try(self) -> Rule:
        return Rule(expression(worth_another_try("$found", "$found.tries", self.config.retries.job)))

    def accept(self, item: Item, name: str) -> Pass:
        return Pass(
            item.state(name), output=expression(f"$merge([$found, {{'name': {item.name}, 'verdict': 'accepted'}}])")
        )

    def reject(self, item: Item, name: str) -> Pass:
        words = words_of_job("$found.Cause", self._words_kept)
        rejected = f"{{'name': {item.name}, 'verdict': 'rejected', 'Cause': {words}}}"
        return Pass(item.state(name), output=expression(f"$merge([$found, {rejected}])"))

    # Predict: one branch per model

    def look_up_result(self, item: Item, name: str, then_predict: Any) -> Task:
        found = "$merge([$parse($states.result.Body), {'outcome': 'predicted', 'cached': true}])"
        return self._marker_of(item.state(name), item.chosen, found, _UNPREDICTED, then_predict)

    def predict(self, item: Item, name: str) -> Task:
        found = "$merge([$found, {'outcome': 'predicted', 'Error': '', 'Cause': ''}])"
        request = self.jobs.predict(item.name, item.chosen)
        return self._job(item.state(name), _PROCESSING, request, self.config.predict.max_runtime, found)

    def remember_result(self, item: Item, name: str) -> Task:
        return self._remember(item.state(name), item.chosen)

    def report(self, item: Item, name: str) -> Pass:
        words = words_of_job("$found.Cause", self._words_kept)
        return Pass(item.state(name), output=expression(f"$merge([$found, {{'Cause': {words}}}])"))

    # Small parts

    def _settings_of(self, model: Model) -> dict[str, Any]:
        settings = {
            "name": model.name,
            "short": short(model),
            "threshold": _short(self.config.threshold_of(model)),
            "train": self.jobs.of_model(model),
        }
        default = self.config.default_model_of(model)
        # With a trailing slash: the S3 prefix `models/v1` would also match `models/v10`.
        return settings if default == "promoted" else {**settings, "default": f"{default.rstrip('/')}/"}

    def _marker_of(self, name: str, data: str, found: str, otherwise: str, then: Any) -> Task:
        key = expression(f"$markers & {data}.place & '.json'")
        task = self._s3(name, _READ, key, retry=False, assign={"found": expression(found)})
        assign = {"found": expression(otherwise)}
        task.add_catch(Catch(error_equals=ALL, assign=assign, output={}, next_step=then))
        return task

    def _remember(self, name: str, data: str) -> Task:
        key = expression(f"'markers/' & {data}.place & '.json'")
        return self._s3(name, _WRITE, key, given={"Body": expression("$found")}, retry=False)

    def _job(self, name: str, action: str, request: str, seconds: int, found: str = "") -> Task:
        """A SageMaker job. Only the assigned parts of its description are passed on."""
        assign = {"assign": {"found": expression(found)}} if found else {}
        retries = self.waiting.job_retries()
        return self._task(name, action, expression(request), seconds + STARTUP_SECONDS, retries, **assign)

    def _s3(self, name: str, action: str, key: str, given: Any = None, retry: bool = True, **more: Any) -> Task:
        """A small JSON object. Step Functions would write a text as a JSON string, with quotes."""
        arguments = {"Bucket": expression("$bucket"), "Key": key, **(given or {})}
        retries = self.waiting.small_call_retries("S3") if retry else []
        return self._task(name, action, arguments, SMALL_CALL_SECONDS, retries, **more)

    def _task(
        self, name: str, action: str, arguments: Any, seconds: int, retries: list[dict[str, Any]], **more: Any
    ) -> Task:
        return Task(
            name,
            resource=self.names.integration(action),
            arguments=arguments,
            timeout_seconds=seconds,
            retry=[Retry(**fields) for fields in retries],
            **{"output": {}, **more},
        )


_UNPREDICTED = "{'outcome': 'failed', 'folder': $id, 'Error': '', 'Cause': '', 'tries': 0}"


def _short(number: float) -> float:
    """350.0 as 350, for mails."""
    return int(number) if number == int(number) else number
