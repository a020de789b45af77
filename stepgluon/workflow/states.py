"""The states that pipeline.py tells its story with: one method for each kind of state. Those of failures: failures.py.

What flows from state to state (`$`):

    run, id       the execution's name, and twelve random characters of its own for the names of its jobs
    input         {data, note, overrides, resume}: the config's defaults merged with the execution's input
    home          the run in whose folder it works: its own, or the one that it takes up (resume.py)
    folder        s3://<work bucket>/runs/<home>: where everything of this run is
    jobs          what the jobs of a kind have in common
    thresholds    {threshold} by each model's key
    promoted      {models}: {uses, model_uri} by each promoted model's key; `external`: of defaults named in the config
    models        after "Train models", one object per model: name, mae, threshold, verdict, reason, failure, uses,
                  model_uri
    predictions   after "Predict", one object per model: name, outcome, failure
    job, score    of a training: its name, and its metrics
    failure       {Error, Cause} that a Catch caught; of a timeout it may be {Error} alone
    failed        on the failure path: {state, failure, details}

Nothing here may fail on odd data, because a Pass or a Choice cannot be caught: whatever came from outside is merged
over an object that has each key that is used.
"""

from __future__ import annotations

from typing import Any

from stepgluon import limits
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.names import PROMOTED, Names
from stepgluon.workflow import mails, resume
from stepgluon.workflow.failures import BLANK, Failures
from stepgluon.workflow.intrinsics import constant, merged, parsed, text
from stepgluon.workflow.jobs import Jobs, longest_training
from stepgluon.workflow.retries import STARTUP_SECONDS, Waiting
from stepgluon.workflow.sdk import Chain, ChoiceRule, Map, Parallel, Pass, Retry, Succeed, Task

SMALL_CALL_SECONDS = 60  # how long S3 and SNS may take
SMALL_FILE = "bytes=0-65535"  # more than metrics.json or promoted.json can be; a longer file is cut, and so is no JSON


class States:
    def __init__(self, config: PipelineConfig) -> None:
        self.config = config
        self.names = Names(config)
        self.jobs = Jobs(config, self.names)
        self.waiting = Waiting(config)
        self.failures = Failures(config, self.names, self.mail)
        self._causes_fit = self.jobs.longest_description() * len(config.models) <= 0.9 * limits.PAYLOAD_BYTES
        self._index = {model.name: index for index, model in enumerate(config.models)}

    # Settings

    def defaults(self, name: str) -> Pass:
        place = f"s3://{self.names.raw_bucket}/"
        defaults = {"data": place, "note": "", "overrides": {}, "resume": resume.NOTHING}
        return Pass(
            name,
            parameters={
                "run.$": "$$.Execution.Name",
                "home.$": "$$.Execution.Name",
                # The last group of a UUID: enough to be unique, and short enough to leave room in a job's name.
                "id.$": "States.ArrayGetItem(States.StringSplit(States.UUID(), '-'), 4)",
                "newline": "\n",  # no function's text may have one
                "defaults": defaults,
                "given.$": "$",
            },
        )

    def bad_input(self) -> Any:
        """Whoever starts an execution by hand may give anything, and what a Pass cannot take could not be caught."""
        given, overrides, taken_up = "$.given", "$.given.overrides", "$.given.resume"
        return ChoiceRule.Or([
            _no_object(given),
            _present_and(f"{given}.data", ChoiceRule.IsString(f"{given}.data", False)),
            _present_and(f"{given}.note", ChoiceRule.IsString(f"{given}.note", False)),
            _present_and(overrides, _no_object(overrides)),
            _present_and(f"{overrides}.threshold", ChoiceRule.IsNumeric(f"{overrides}.threshold", False)),
            _present_and(taken_up, ChoiceRule.Or([_no_object(taken_up), *resume.bad(taken_up)])),
        ])  # fmt: skip

    def whole_input(self, name: str) -> Pass:
        return Pass(name, parameters={"input.$": merged("$.defaults", "$.given")}, result_path="$.whole")

    def settings(self, name: str) -> Pass:
        return Pass(
            name,
            parameters={
                "run.$": "$.run",
                "id.$": "$.id",
                "newline.$": "$.newline",
                "input.$": "$.whole.input",
                "home.$": "$.whole.input.resume.run",
                "folder.$": text(f"s3://{self.names.work_bucket}/runs/{{}}", "$.whole.input.resume.run"),
                "bucket": self.names.work_bucket,
                "jobs": self.jobs.settings(),
                "thresholds": {
                    self.names.key(m): {"threshold": _short(self.config.threshold_of(m))} for m in self.config.models
                },
                "every_default": False,
                # What a training leaves behind is there from the start, and empty.
                "job": {"name": ""},
                "score": {"metrics": {"mae": None}},
                "failure": BLANK,
                "blank": BLANK,
                "nothing": {"uses": "nothing", "model_uri": ""},
                "promoted": {"models": {}},
                "external": self._external_defaults(),
            },
        )

    def thresholds(self, name: str) -> Pass:
        """Each model's threshold, or the one that this execution was started with."""
        keys = [self.names.key(model) for model in self.config.models]
        parameters = {f"{key}.$": merged(f"$.thresholds.{key}", "$.input.overrides") for key in keys}
        return Pass(name, parameters=parameters, result_path="$.thresholds")

    # Mails

    def mail(self, name: str) -> Task:
        return self._mail(name, *mails.MAILS[name](self.config, self.names))

    def _mail(self, name: str, subject: str, message: str) -> Task:
        return Task(
            name,
            resource=self.names.integration("sns:publish"),
            parameters={"TopicArn": self.names.topic_arn, "Subject.$": subject, "Message.$": message},
            result_path=None,
            timeout_seconds=SMALL_CALL_SECONDS,
            retry=self._small_call_retries("SNS"),
        )

    # Jobs

    def processing_job(self, name: str) -> Task:
        """Prepare data or Post-process: a job of the whole run."""
        seconds, parameters = {
            "Prepare data": (self.config.prepare.max_runtime, self.jobs.prepare()),
            "Post-process": (self.config.postprocess.max_runtime, self.jobs.postprocess()),
        }[name]
        kept = {"job.$": "$.ProcessingJobName"}
        return self._job(name, "sagemaker:createProcessingJob.sync", parameters, seconds, kept, "$.done")

    def training_job(self, model: Model) -> Task:
        kept = {"name.$": "$.TrainingJobName"}
        seconds = longest_training(model.train)
        return self._job(
            f"Train {model.name}", "sagemaker:createTrainingJob.sync", self.jobs.train(model), seconds, kept, "$.job"
        )

    def prediction_job(self, model: Model) -> Task:
        parameters = self.jobs.predict(model, f"{self._of(model)}.model_uri")
        kept = {"name": model.name, "outcome": "predicted", "failure": BLANK}
        seconds = self.config.predict.max_runtime
        return self._job(f"Predict {model.name}", "sagemaker:createProcessingJob.sync", parameters, seconds, kept, "$")

    def _job(
        self, name: str, action: str, parameters: dict[str, Any], seconds: int, kept: dict[str, Any], result_path: str
    ) -> Task:
        """A SageMaker job; of its whole description only `kept` goes on."""
        return Task(
            name,
            resource=self.names.integration(action),
            parameters=parameters,
            result_selector=kept,
            result_path=result_path,
            timeout_seconds=seconds + STARTUP_SECONDS,
            retry=[Retry(**fields) for fields in self.waiting.job_retries()],
        )

    # Train models: one branch per model

    def read_score(self, model: Model) -> Task:
        key = text(f"runs/{{}}/models/{model.name}/{{}}/output/model/metrics.json", "$.home", "$.job.name")
        metrics = {"metrics.$": merged(constant({"mae": None}), parsed("$.Body"))}
        return self._read(f"Read score of {model.name}", {"Key.$": key}, metrics, "$.score")

    def good_enough(self, model: Model) -> Any:
        """Only a number decides. A missing file, a missing key, NaN or text is not one."""
        mae, threshold = "$.score.metrics.mae", self._threshold(model)
        return ChoiceRule.And([
            ChoiceRule.IsPresent(mae, True),
            ChoiceRule.IsNumeric(mae, True),
            ChoiceRule.NumericGreaterThanEquals(mae, 0),
            ChoiceRule.NumericLessThanEqualsPath(mae, threshold),
        ])  # fmt: skip

    def has_score(self) -> Any:
        """The path is there, whatever was read: see read_score."""
        return ChoiceRule.IsNumeric("$.score.metrics.mae", True)

    def accept(self, model: Model) -> Pass:
        verdict = self._verdict(model, "accepted", "good enough")
        return Pass(f"Accept {model.name}", parameters={**verdict, "failure.$": "$.blank"})

    def reject(self, model: Model) -> Pass:
        verdict = self._verdict(model, "rejected", "not good enough")
        return Pass(f"Reject {model.name}", parameters={**verdict, "failure.$": "$.blank"})

    def reject_without_score(self, model: Model) -> Pass:
        verdict = self._verdict(model, "rejected", "no score")
        return Pass(f"No score of {model.name}", parameters={**verdict, **self._caught()})

    def _verdict(self, model: Model, verdict: str, reason: str) -> dict[str, Any]:
        return {
            "name": model.name,
            "mae.$": "$.score.metrics.mae",
            "threshold.$": self._threshold(model),
            "verdict": verdict,
            "reason": reason,
            "uses": "trained",
            **self._trained(model, verdict),
        }

    def _trained(self, model: Model, verdict: str) -> dict[str, str]:
        """The trained model's place. Of a rejected one only `use_trained` asks for it, and whether there is one."""
        uri = {"model_uri.$": text(f"{{}}/models/{model.name}/{{}}/output/model/", "$.folder", "$.job.name")}
        if self.config.fallback.if_missing == "use_trained":
            return {**uri, "job.$": "$.job.name"}
        return uri if verdict == "accepted" else {"model_uri": ""}

    def _caught(self) -> dict[str, Any]:
        """What a branch tells of its failure.

        The cause of a failed job is its whole description, and those of many jobs at once would not fit into the state
        data. Then only the name of each error is kept, and `show RUN` tells the rest.
        """
        if self._causes_fit:
            return {"failure.$": merged("$.blank", "$.failure")}
        return {"failure": {"Error.$": "$.failure.Error", "Cause": ""}}

    # Choose models: one branch per model

    def a_model_is_rejected(self) -> Any:
        return self._any("models", "verdict", "rejected")

    def use_every_default(self, name: str) -> Pass:
        return Pass(name, result=True, result_path="$.every_default")

    def read_promoted(self, name: str) -> Task:
        """The models that `promote RUN` made the defaults, all in one small file."""
        return self._read(name, {"Key": PROMOTED}, {"models.$": parsed("$.Body")}, "$.promoted")

    def accepted(self, model: Model) -> Any:
        accepted = ChoiceRule.StringEquals(f"{self._of(model)}.verdict", "accepted")
        if self.config.fallback.when == "each":
            return accepted
        return ChoiceRule.And([accepted, ChoiceRule.BooleanEquals("$.every_default", False)])

    def has_default(self, model: Model) -> Any:
        uri = f"{self._default(model)}.model_uri"
        return ChoiceRule.And([ChoiceRule.IsPresent(uri, True), ChoiceRule.IsString(uri, True)])

    def keep(self, model: Model) -> Pass:
        return Pass(f"Keep {model.name}", input_path=self._of(model))

    def use_default(self, model: Model) -> Pass:
        return self._replaced(f"Use default of {model.name}", model, self._default(model))

    def no_model(self, model: Model) -> Pass:
        return self._replaced(f"No model for {model.name}", model, "$.nothing")

    def trained(self, model: Model) -> Any:
        return ChoiceRule.Not(ChoiceRule.StringEquals(f"{self._of(model)}.job", ""))

    def keep_anyway(self, model: Model) -> Pass:
        return Pass(f"Keep {model.name} anyway", input_path=self._of(model))

    def _replaced(self, name: str, model: Model, by: str) -> Pass:
        return Pass(name, parameters={"model.$": merged(self._of(model), by)}, output_path="$.model")

    def _default(self, model: Model) -> str:
        """Where the state data has {uses, model_uri} of the model's default."""
        default = self.config.default_model_of(model)
        return (
            f"$.promoted.models.{self.names.key(model)}"
            if default == "promoted"
            else f"$.external.{self.names.key(model)}"
        )

    def _external_defaults(self) -> dict[str, Any]:
        uris = {self.names.key(model): self.config.default_model_of(model) for model in self.config.models}
        # With its slash: `models/v1` as an S3 prefix would be `models/v10` too.
        folders = {key: f"{uri.rstrip('/')}/" for key, uri in uris.items() if uri != "promoted"}
        return {key: {"uses": "default", "model_uri": folder} for key, folder in folders.items()}

    def a_model_is_missing(self) -> Any:
        return self._any("models", "uses", "nothing")

    def record_verdicts(self, name: str) -> Task:
        """Kept beside the run's other files, for post-process and for `show RUN`."""
        return Task(
            name,
            resource=self.names.integration("aws-sdk:s3:putObject"),
            parameters={
                "Bucket.$": "$.bucket",
                "Key.$": resume.VERDICTS,
                "Body.$": "$.models",
                "ContentType": "application/json",
            },
            result_path=None,
            timeout_seconds=SMALL_CALL_SECONDS,
            retry=self._small_call_retries("S3"),
        )

    # Taking up another run

    def begins_with(self, stage: str) -> Any:
        return resume.begins_with(stage)

    def begins_later(self) -> Any:
        return ChoiceRule.Or([resume.begins_with("predict"), resume.begins_with("postprocess")])

    def read_verdicts(self, name: str) -> Task:
        return self._read(name, {"Key.$": resume.VERDICTS}, {"models.$": parsed("$.Body")}, "$.read")

    def take_up(self, read: Task, choose: Any, postprocess: Any, failure: Chain) -> Chain:
        """From the verdicts of the run that is taken up to its next stage."""
        kept = ["name", "job"] if self.config.fallback.if_missing == "use_trained" else ["name"]
        same = resume.same_models([model.name for model in self.config.models], kept)
        return resume.take_up(read, same, choose, postprocess, self.failures.other_models(read, failure))

    # Predict: one branch per model

    def not_predicted(self, model: Model) -> Pass:
        parameters = {"name": model.name, "outcome": "failed", **self._caught()}
        return Pass(f"{model.name} is not predicted", parameters=parameters)

    def a_prediction_is_missing(self) -> Any:
        return self._any("predictions", "outcome", "failed")

    def done(self, name: str) -> Succeed:
        return Succeed(name)

    # What a step is

    def is_mail(self, step: Any) -> bool:
        return isinstance(step, Task) and step.resource == self.names.integration("sns:publish")

    def can_fail(self, step: Any) -> bool:
        return isinstance(step, (Task, Parallel, Map))

    # Small parts

    def _of(self, model: Model) -> str:
        return f"$.models[{self._index[model.name]}]"

    def _threshold(self, model: Model) -> str:
        return f"$.thresholds.{self.names.key(model)}.threshold"

    def _any(self, what: str, key: str, value: str) -> Any:
        rules = [ChoiceRule.StringEquals(f"$.{what}[{i}].{key}", value) for i in range(len(self.config.models))]
        return ChoiceRule.Or(rules) if len(rules) > 1 else rules[0]

    def _read(self, name: str, place: dict[str, Any], kept: dict[str, Any], result_path: str) -> Task:
        """A small JSON object from S3."""
        return Task(
            name,
            resource=self.names.integration("aws-sdk:s3:getObject"),
            parameters={"Bucket.$": "$.bucket", **place, "Range": SMALL_FILE},
            result_selector=kept,
            result_path=result_path,
            timeout_seconds=SMALL_CALL_SECONDS,
            retry=self._small_call_retries("S3"),
        )

    def _small_call_retries(self, service: str) -> list[Retry]:
        return [Retry(**fields) for fields in self.waiting.small_call_retries(service)]


def _short(number: float) -> float:
    """350.0 as 350: it stands in mails."""
    return int(number) if number == int(number) else number


def _no_object(path: str) -> Any:
    """The language asks for no objects, so for everything else; an empty list is not noticed."""
    kinds = (ChoiceRule.IsString, ChoiceRule.IsNumeric, ChoiceRule.IsBoolean, ChoiceRule.IsNull)
    return ChoiceRule.Or([ChoiceRule.IsPresent(f"{path}[0]", True), *(kind(path, True) for kind in kinds)])


def _present_and(path: str, rule: Any) -> Any:
    return ChoiceRule.And([ChoiceRule.IsPresent(path, True), rule])
