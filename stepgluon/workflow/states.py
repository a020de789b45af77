"""The states used in pipeline.py: one method for each kind of state.

Variables of the machine:

    run, id       the execution's name, and ten random characters for the names of its jobs
    input         {data, note, overrides, fresh}: the defaults merged with the execution's input
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
    verdicts      from Predict: as `chosen`, with each prediction's outcome

A branch has one variable, own; that of a tuned model also `trials`, what its trainings tried. For a training: the job,
its score, and Error, Cause and tries of a failure. For a prediction: its outcome, the folder below its place, and the
same of a failure. Values of `own` that are the same in all branches are variables of the machine: untried, unpredicted,
cached, cached_result and predicted. `scored` has the keys of a score that are kept.

A model's state takes its model as data (`Item`), so it works in a branch of a Parallel and for the items of a Map.
A Pass or Choice has no Catch: its expressions must not fail, unless ending the run is their purpose ($error).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stepgluon import limits
from stepgluon.config.schema import APPROVAL, Model, PipelineConfig
from stepgluon.config.units import unit_of
from stepgluon.names import PROMOTED, Names, short
from stepgluon.programs import Program, answers, builds_in_runs, program_of, transforms
from stepgluon.workflow import decisions, mails, registration, tuning
from stepgluon.workflow.expressions import (
    expression,
    jsonata,
    literal,
    sentence,
    text,
    words_of_job,
    worth_another_try,
)
from stepgluon.workflow.file_jobs import FileJobs
from stepgluon.workflow.jobs import TRIALS_KEY, Jobs
from stepgluon.workflow.retries import STARTUP_SECONDS, Waiting, longest_search
from stepgluon.workflow.sdk import Catch, Choice, Fail, Parallel, Pass, Retry, Rule, Succeed, Task

SMALL_CALL_SECONDS = 60  # how long S3 and SNS may take
ALL = ["States.ALL"]
_TRAINING, _PROCESSING = "sagemaker:createTrainingJob.sync", "sagemaker:createProcessingJob.sync"
_MODEL, _TRANSFORM = "sagemaker:createModel", "sagemaker:createTransformJob.sync"
_TUNING = "sagemaker:createHyperParameterTuningJob.sync"
_LIST_TRIALS = "aws-sdk:sagemaker:listTrainingJobsForHyperParameterTuningJob"
_READ, _WRITE = "aws-sdk:s3:getObject", "aws-sdk:s3:putObject"
_REGISTER = "aws-sdk:sagemaker:createModelPackage"
_FIND_IMAGE, _BUILD = "aws-sdk:ecr:describeImages", "codebuild:startBuild.sync"
SCORE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Item:
    """A model in its states' expressions: in a branch an index into the lists, in a Map a variable."""

    name: str  # in its states' names
    entry: str  # the expression of its entry in a list, whose name replaces *
    training_seconds: int
    limit: tuple[str, float] | None  # the key and value that limit its score
    metric: str
    archived: bool  # its training leaves an archive, which our score job measures
    answers: bool  # a container of the user's answers its rows, or files
    transforms: bool  # a server answers those to predict, in a transform job
    logged: str  # what its training's state keeps of the training's own metrics
    program: Program
    approval: str  # the status of its versions in the registry; empty if it is not registered
    tuned: bool  # a tuning job searches its hyperparameters

    @property
    def tested(self) -> bool:
        """Whether the container answers the held-out rows too."""
        return self.answers and not self.program.files

    @property
    def checked(self) -> bool:
        """Whether a job makes predictions of the answers to its rows."""
        return self.transforms and not self.program.files

    def state(self, words: str) -> str:
        return words.replace("*", self.name)

    def of(self, list_name: str) -> str:
        return self.entry.replace("*", list_name)


class States:
    def __init__(self, config: PipelineConfig) -> None:
        self.config = config
        self.names = Names(config)
        self.jobs = (FileJobs if config.data.files else Jobs)(config, self.names)
        waiting = Waiting(config)
        self._job_retries = [Retry(**fields) for fields in waiting.job_retries()]
        self._retries_of = {
            service: [Retry(**fields) for fields in waiting.small_call_retries(service)]
            for service in ("S3", "SNS", "SageMaker", "Registry", "Trials", "Ecr", "CodeBuild")
        }
        self._words_kept = decisions.words_kept(len(config.models))
        self.images = list(builds_in_runs(config))
        self.items = [
            Item(
                model.name,
                f"$*[{place}]",
                longest_search(model),
                config.limit_of(model),
                model.metric,
                bool(program_of(model).scoring_image),
                answers(model),
                transforms(config, model),
                self.jobs.logged(model),
                program_of(model),
                APPROVAL[model.register.approval] if model.register else "",
                model.tune is not None,
            )
            for place, model in enumerate(config.models)
        ]

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
                "scored": ["mae", "mae_of_median", "manifest"] + ([] if self.config.only_mae else _OF_OTHER_METRICS),
                "untried": expression(jsonata(_UNTRIED)),
                "cached": expression(jsonata({**_UNTRIED, "cached": True})),
                "cached_result": {"outcome": "predicted", "cached": True},
                "job_failures": 0,
            },
            output={},
        )

    def mail(self, name: str, kind: str) -> Task:
        """A mail. One that cannot be sent neither stops nor hides a run: its Catch continues.

        The mail between Choose models and Predict also assigns the predictions, which depend on the chosen models.
        """
        subject, message = map(expression, mails.MAILS[kind](self.config, self.names))
        predictions = f"[$map($chosen, function($c) {{{self.jobs.prediction('$c')}}})]"
        own = kind == "models" and self.jobs.predicts
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
        return self._task(name, _FIND_IMAGE, request, SMALL_CALL_SECONDS, self._retries_of["Ecr"], output={})

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
        return self._task(name, _BUILD, request, limits.IMAGE_BUILD_SECONDS + STARTUP_SECONDS, retries, output={})

    # The whole run's jobs

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
        gaps = expression("$parse($states.result.Body).gaps & ''")
        assign = {
            "models": expression(decisions.models(self.config, self.jobs)),
            "gaps": gaps,
            **OUTCOMES,
            "job_failures": 0,
        }
        return self._s3(name, _READ, key, assign=assign, output={})

    def train_models(self, name: str) -> Parallel:
        return Parallel(name, arguments={}, output={"models": expression(decisions.verdicts(self.config, self.jobs))})

    def choose_models(self, name: str, then: Any) -> Task:
        def choose(promoted: str) -> dict[str, str]:
            starts = "[$map($models, function($m) {$m.gaps = 0 ? $predicted : $unpredicted})]"
            chosen = decisions.chosen(self.config, self.names, self.jobs, promoted)
            return {"chosen": expression(chosen), "starts": expression(starts)}

        task = self._s3(name, _READ, PROMOTED, assign=choose("$states.result.Body"), output={})
        task.add_catch(Catch(error_equals=["S3.NoSuchKeyException"], assign=choose("'{}'"), next_step=then))
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
        return self._s3(
            name, _WRITE, key, given={"Body": expression(decisions.manifest())}, assign={"job_failures": 0}, output={}
        )

    def nothing_is_missing(self) -> Rule:
        return Rule(expression(f"$count({mails.MISSING}) = 0"))

    def done(self, name: str) -> Succeed:
        return Succeed(name, output={"models": expression("$verdicts")})

    def incomplete(self, name: str) -> Fail:
        line = text("{}: {}", "$v.name", "$v.outcome_failure.Cause")
        listed = f"$join($map({mails.MISSING}, function($v) {{{line}}}), ' ')"
        return Fail(
            name, error="Incomplete", cause=expression(f"'Some models could not predict their rows. ' & {listed}")
        )

    # Train models: one branch per model

    def look_up(self, item: Item, name: str, then_train: Any) -> Task:
        """Check whether exactly this was trained before. An unreadable marker counts as none."""
        found = "$merge([$cached, $parse($states.result.Body)])"
        return self._marker_of(item.state(name), item.of("models"), found, "$untried", then_train)

    def train(self, item: Item, name: str) -> Task:
        model = item.of("models")
        # The tries count for the score job too, whose name has their number.
        tries = ", 'tries': $own.tries" if item.archived else ""
        own = f"$merge([$untried, {model}.trained, {{'job': $states.result.TrainingJobName{tries}{item.logged}}}])"
        request = expression(self.jobs.train(model))
        return self._job(item.state(name), _TRAINING, request, item.training_seconds, _own(own))

    def tune(self, item: Item, name: str) -> Task:
        """Train the model with several values of its hyperparameters; the best training goes on."""
        model, best = item.of("models"), "$states.result.BestTrainingJob.TrainingJobName"
        found = f"{{'job': {best}, 'tuning': $states.result.HyperParameterTuningJobName, 'tries': $own.tries}}"
        own = _own(f"$merge([$untried, {model}.trained, {found}])")
        return self._job(item.state(name), _TUNING, expression(self.jobs.tune(model)), item.training_seconds, own)

    def list_trials(self, item: Item, name: str) -> Task:
        """List the tuning's trainings, for the report."""
        return self._trials(item.state(name), tuning.TRAININGS, {"trials": expression(tuning.TRIALS)})

    def write_trials(self, item: Item, name: str) -> Task:
        model = item.of("models")
        body = {"Body": expression(tuning.trials(model))}
        return self._s3(item.state(name), _WRITE, expression(TRIALS_KEY.format(model)), body, output={})

    def no_trials(self, then: Any) -> Catch:
        return Catch(error_equals=ALL, assign={"trials": []}, next_step=then)

    def find_failure(self, item: Item, name: str) -> Task:
        """Find why the trainings of a failed tuning failed: its own message does not say."""
        return self._trials(item.state(name), tuning.failed_trainings(), _own(tuning.CAUSE))

    def unknown_failure(self, then: Any) -> Catch:
        return Catch(error_equals=ALL, next_step=then)

    def score(self, item: Item, name: str) -> Task:
        """Make a model's folder of the training's archive, and measure the model on the held-out rows."""
        request = expression(self.jobs.score(item.of("models"), item.tested, item.tuned))
        return self._job(item.state(name), _PROCESSING, request, self.jobs.scoring_job(item.tested).max_runtime)

    def create_model(self, item: Item, name: str) -> Task:
        """Register the trained archive with its image, so that a transform job can start the container."""
        model = item.of("models")
        return self._model(
            item, name, f"{model}.image", f"$work & {model}.place & '/' & $own.job & '/output/model.tar.gz'"
        )

    def ask(self, item: Item, name: str) -> Task:
        """Let the container answer the held-out rows, of which it sees everything but the label."""
        model = item.of("models")
        rows = f"$folder & 'prepared/models/' & {model}.name & '/asked/'"
        said = f"$work & {model}.place & '/' & $own.job & '/output/answers/'"
        return self._transform(item.state(name), self.jobs.transform("test", model, rows, said))

    def read_score(self, item: Item, name: str) -> Task:
        """Read the score: only objects have one; Judge checks whether it is a number."""
        key = f"{item.of('models')}.place & '/' & $own.job & '/output/model/metrics.json'"
        score = "$sift($s, function($v, $k) {$k in $scored})"
        own = f"($s := $parse($states.result.Body); $type($s) = 'object' ? $merge([$own, {score}]) : $own)"
        part = {"Range": f"bytes=0-{SCORE_BYTES - 1}"}  # exceeding a state's limit would end the run, uncaught
        return self._s3(item.state(name), _READ, expression(key), part, assign=_own(own), output={})

    def failed_training(self, then: Any) -> Catch:
        return self._failed("$merge([$untried, $states.errorOutput, {'tries': $own.tries + 1}])", then)

    def failed_container(self, then: Any) -> Catch:
        """As failed_training, with plain words where the service has none of its own."""
        return self._failed(f"$merge([$untried, {_OF_CONTAINER}, {{'tries': $own.tries + 1}}])", then)

    def failed_score(self, then: Any) -> Catch:
        return self._failed("$merge([$own, $states.errorOutput])", then)

    def remember(self, item: Item, name: str) -> Task:
        """Write the marker, which says that the model is complete. If that fails, a later run trains it again."""
        return self._remember(item.state(name), item.of("models"))

    def good_enough(self, item: Item) -> Rule:
        """Only a number is accepted: not a missing file or key, null or text."""
        return Rule(expression(decisions.good_enough(item.of("models"), item.metric, item.limit)))

    def registered(self, item: Item) -> Rule:
        good = decisions.good_enough(item.of("models"), item.metric, item.limit)
        return Rule(expression(f"$exists($own.version) ? ({good}) : false"))

    def register(self, item: Item, name: str) -> Task:
        """Make the model a version of its group. AWS returns the same version if this is called again."""
        request = registration.request(item.of("models"), item.metric, item.program, item.approval)
        own = "$merge([$own, {'version': $number($split($states.result.ModelPackageArn, '/')[2])}])"
        retries = self._retries_of["Registry"]
        given = expression(request)
        return self._task(item.state(name), _REGISTER, given, SMALL_CALL_SECONDS, retries, assign=_own(own), output={})

    def unregistered(self, then: Any) -> Catch:
        """The model predicts all the same, and the next run registers it."""
        return self._failed("$merge([$own, {'unregistered': $states.errorOutput}])", then)

    def worth_another_try(self, of_aws: bool = False) -> Rule:
        return Rule(expression(worth_another_try("$own", "$own.tries", self.config.retries.job, of_aws)))

    def accept(self, item: Item, name: str) -> Pass:
        own = "$own"
        if item.approval:
            words = f"$substring($own.unregistered.Error & ': ' & $own.unregistered.Cause, 0, {self._words_kept})"
            own = f"$exists($own.unregistered) ? $merge([$own, {{'unregistered': {words}}}]) : $own"
        return Pass(item.state(name), output=expression(f"$merge([{own}, {{'verdict': 'accepted'}}])"))

    def reject(self, item: Item, name: str) -> Pass:
        words = words_of_job("$own.Cause", self._words_kept)
        return Pass(item.state(name), output=expression(f"$merge([$own, {{'verdict': 'rejected', 'Cause': {words}}}])"))

    # Predict: one branch per model

    def look_up_result(self, item: Item, name: str, then: Any) -> Task:
        found = "$merge([$parse($states.result.Body), $cached_result])"
        return self._marker_of(item.state(name), item.of("chosen"), found, item.of("starts"), then)

    def predict(self, item: Item, name: str) -> Task:
        request = expression(self.jobs.predict(item.of("predictions"), item.of("chosen")))
        return self._job(item.state(name), _PROCESSING, request, self.config.predict.max_runtime, _own("$predicted"))

    def create_chosen(self, item: Item, name: str) -> Task:
        chosen = item.of("chosen")
        manifest = "" if item.answers else f"{chosen}.manifest"
        return self._model(item, name, f"{chosen}.image", f"{chosen}.model_uri & 'model.tar.gz'", manifest)

    def transform(self, item: Item, name: str) -> Task:
        chosen = item.of("chosen")
        asked, answers = self.jobs.asked(chosen), self.jobs.answers(chosen)
        request = self.jobs.transform("predict", item.of("models"), asked, answers)
        return self._transform(item.state(name), request, None if self.jobs.checks else _own("$predicted"))

    def check(self, item: Item, name: str) -> Task:
        """Make predictions of the answers, if there is one for each row."""
        request = expression(self.jobs.check(item.of("models"), item.of("chosen")))
        return self._job(
            item.state(name), _PROCESSING, request, self.config.postprocess.max_runtime, _own("$predicted")
        )

    def failed_prediction(self, then: Any) -> Catch:
        return self._failed("$merge([$unpredicted, $states.errorOutput, {'tries': $own.tries + 1}])", then)

    def failed_answers(self, then: Any) -> Catch:
        return self._failed(f"$merge([$unpredicted, {_OF_CONTAINER}, {{'tries': $own.tries + 1}}])", then)

    def remember_result(self, item: Item, name: str) -> Task:
        return self._remember(item.state(name), item.of("chosen"))

    def report(self, item: Item, name: str) -> Pass:
        words = words_of_job("$own.Cause", self._words_kept)
        return Pass(item.state(name), output=expression(f"$merge([$own, {{'Cause': {words}}}])"))

    # Small parts

    def _settings_of(self, model: Model) -> dict[str, Any]:
        limit, default = self.config.limit_of(model), self.config.default_model_of(model)
        settings = {
            "name": model.name,
            "short": short(model),
            **({"group": self.names.model_group(model)} if model.register else {}),
            **({} if model.metric == "mae" else {"metric": model.metric}),
            **({"classes": True} if model.judged.classes and not model.score else {}),
            **({"unit": unit} if model.metric == "mae" and (unit := unit_of(model.label)) else {}),
            **(
                {limit[0]: int(limit[1]) if float(limit[1]).is_integer() else limit[1]} if limit else {}
            ),  # 350, for mails
            **self.jobs.of_model(model),
        }
        # With a trailing slash: the S3 prefix `models/v1` would also match `models/v10`.
        return settings if default == "promoted" else {**settings, "default": f"{default.rstrip('/')}/"}

    def _marker_of(self, name: str, entry: str, found: str, otherwise: str, then: Any) -> Task:
        key = expression(f"$markers & {entry}.place & '.json'")
        task = self._s3(name, _READ, key, retry=False, assign=_own(found))
        task.add_catch(self._failed(otherwise, then))
        return task

    def _remember(self, name: str, entry: str) -> Task:
        key = expression(f"'markers/' & {entry}.place & '.json'")
        return self._s3(name, _WRITE, key, given={"Body": expression("$own")}, retry=False)

    def _failed(self, own: str, then: Any) -> Catch:
        """Keep a failure, for the verdict."""
        return Catch(error_equals=ALL, assign=_own(own), next_step=then)

    def _job(self, name: str, action: str, request: Any, seconds: int, assign: Any = None) -> Task:
        """A SageMaker job. Only the assigned parts of its description are passed on."""
        more = {"output": {}, **({"assign": assign} if assign else {})}
        return self._task(name, action, request, seconds + STARTUP_SECONDS, self._job_retries, **more)

    def _model(self, item: Item, name: str, image: str, archive: str, manifest: str = "") -> Task:
        model = item.of("models")
        model_name = self.jobs.model_name(model, image.startswith("$chosen"))
        own = f"$merge([$own, {{'model': {model_name}}}])"
        request = expression(self.jobs.create_model(model, model_name, image, archive, manifest))
        return self._task(
            *(item.state(name), _MODEL, request, SMALL_CALL_SECONDS, self._retries_of["SageMaker"]),
            output={},
            assign=_own(own),
        )

    def _transform(self, name: str, request: str, assign: Any = None) -> Task:
        return self._job(name, _TRANSFORM, expression(request), self.config.predict.max_runtime, assign)

    def _trials(self, name: str, arguments: Any, assign: Any) -> Task:
        retries = self._retries_of["Trials"]
        return self._task(name, _LIST_TRIALS, arguments, SMALL_CALL_SECONDS, retries, output={}, assign=assign)

    def _s3(self, name: str, action: str, key: str, given: Any = None, retry: bool = True, **more: Any) -> Task:
        """A small JSON object. Step Functions would write a text as a JSON string, with quotes."""
        arguments = {"Bucket": expression("$bucket"), "Key": key, **(given or {})}
        retries = self._retries_of["S3"] if retry else []
        return self._task(name, action, arguments, SMALL_CALL_SECONDS, retries, **more)

    def _task(self, name: str, action: str, arguments: Any, seconds: int, retries: list[Retry], **more: Any) -> Task:
        return Task(
            name,
            resource=self.names.integration(action),
            arguments=arguments,
            timeout_seconds=seconds,
            retry=retries,
            **more,
        )


# The values of `own`: in a branch of Train models, and in one of Predict. Assigned as expressions, because
# asl-validator refuses an empty text elsewhere.
_OF_OTHER_METRICS = ["score", "baseline", "reason"]
_UNTRIED = {"job": "", "mae": None, "Error": "", "Cause": "", "tries": 0}
# Its Error makes the Choice before Predict start the job; an outcome without one does not.
_UNPREDICTED = {"outcome": "failed", "folder": "{% $id %}", "Error": "States.TaskFailed", "Cause": "", "tries": 0}
_PREDICTED = {**_UNPREDICTED, "outcome": "predicted", "Error": ""}
OUTCOMES = {"unpredicted": expression(jsonata(_UNPREDICTED)), "predicted": expression(jsonata(_PREDICTED))}


# CreateModel and jobs refuse an archive that is not there; a failed transform job points at its log.
_OF_CONTAINER = (
    "($e := $states.errorOutput; $contains($e.Cause & '', "
    "/Could not find model data|No S3 objects found .*model\\.tar\\.gz/) ? {"
    "'Error': 'States.TaskFailed', "
    "'Cause': 'Not retried: The training saved nothing in /opt/ml/model, so there is no model.'} : "
    "{'Error': $e.Error, 'Cause': $replace($e.Cause & '', ': See job logs for more information', "
    "': The container failed while it answered rows; see the log of its job')})"
)


def _own(value: str) -> dict[str, str]:
    return {"own": expression(value)}
