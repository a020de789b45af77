"""What all states are made of: a model as data, SageMaker's jobs, small files in S3, and `own` of a branch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.config.serving_schema import APPROVAL
from stepgluon.config.units import unit_of
from stepgluon.names import Names, short
from stepgluon.programs import Program, answers, builds_in_runs, program_of, transforms
from stepgluon.workflow import decisions, endpoints, tuning
from stepgluon.workflow.expressions import expression, jsonata
from stepgluon.workflow.file_jobs import FileJobs
from stepgluon.workflow.jobs import Jobs
from stepgluon.workflow.retries import STARTUP_SECONDS, Waiting, longest_search
from stepgluon.workflow.sdk import Catch, Retry, Task

SMALL_CALL_SECONDS = 60  # how long S3 and SNS may take
ALL = ["States.ALL"]
TRAINING, PROCESSING = "sagemaker:createTrainingJob.sync", "sagemaker:createProcessingJob.sync"
MODEL, TRANSFORM = "sagemaker:createModel", "sagemaker:createTransformJob.sync"
TUNING = "sagemaker:createHyperParameterTuningJob.sync"
LIST_TRIALS = "aws-sdk:sagemaker:listTrainingJobsForHyperParameterTuningJob"
READ, WRITE, LIST = "aws-sdk:s3:getObject", "aws-sdk:s3:putObject", "aws-sdk:s3:listObjectsV2"
REGISTER, DELETE_MODEL = "aws-sdk:sagemaker:createModelPackage", "aws-sdk:sagemaker:deleteModel"
FIND_IMAGE, BUILD = "aws-sdk:ecr:describeImages", "codebuild:startBuild.sync"
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
    shown_trainings: dict[str, Any]  # the request that lists those of its tuning for the report
    model: Model
    scripted: bool  # an AWS image trains and serves it with a script of the user's

    @property
    def scaled(self) -> bool:
        return bool(self.model.serve and self.model.serve.scale)

    @property
    def shared(self) -> bool:
        """Whether its endpoint is that of many models."""
        return bool(self.model.serve and self.model.serve.shared)

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


class Parts:
    def __init__(self, config: PipelineConfig) -> None:
        self.config = config
        self.names = Names(config)
        self.jobs = (FileJobs if config.data.files else Jobs)(config, self.names)
        waiting = Waiting(config)
        self._job_retries = [Retry(**fields) for fields in waiting.job_retries()]
        self._retries_of = {
            service: [Retry(**fields) for fields in waiting.small_call_retries(service)]
            for service in ("S3", "SNS", "SageMaker", "Registry", "SdkSageMaker", "Ecr", "CodeBuild", "Scaling")
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
                tuning.shown_trainings(model, f"$models[{place}]"),
                model,
                bool(model.algorithm and model.algorithm.script),
            )
            for place, model in enumerate(config.models)
        ]
        waiting_for_approval = [item for item in self.items if item.model in config.served_after_approval]
        self.approved_items = [replace(item, entry=f"$*[{i}]") for i, item in enumerate(waiting_for_approval)]

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
            **endpoints.settings(self.names, model),
        }
        # With a trailing slash: the S3 prefix `models/v1` would also match `models/v10`.
        return settings if default == "promoted" else {**settings, "default": f"{default.rstrip('/')}/"}

    def _marker_of(self, name: str, entry: str, found: str, otherwise: str, then: Any) -> Task:
        key = expression(f"$markers & {entry}.place & '.json'")
        task = self._s3(name, READ, key, retry=False, assign=assign_own(found))
        task.add_catch(self._failed(otherwise, then))
        return task

    def _remember(self, name: str, entry: str) -> Task:
        key = expression(f"'markers/' & {entry}.place & '.json'")
        return self._s3(name, WRITE, key, given={"Body": expression("$own")}, retry=False)

    def _failed(self, own: str, then: Any) -> Catch:
        """Keep a failure, for the verdict."""
        return Catch(error_equals=ALL, assign=assign_own(own), next_step=then)

    def _job(self, name: str, action: str, request: Any, seconds: int, assign: Any = None) -> Task:
        """A SageMaker job. Only the assigned parts of its description are passed on."""
        more = {"output": {}, **({"assign": assign} if assign else {})}
        return self._task(name, action, request, seconds + STARTUP_SECONDS, self._job_retries, **more)

    def _model(self, item: Item, name: str, image: str, archive: str, manifest: str = "") -> Task:
        model, chosen = item.of("models"), image.startswith("$chosen")
        model_name = self.jobs.model_name(model, chosen)
        own = f"$merge([$own, {{'model': {model_name}}}])"
        source = item.of("chosen") if chosen else "$own"
        request = expression(self.jobs.create_model(source, model_name, image, archive, manifest))
        return self._task(
            *(item.state(name), MODEL, request, SMALL_CALL_SECONDS, self._retries_of["SageMaker"]),
            output={},
            assign=assign_own(own),
        )

    def _transform(self, name: str, request: str, assign: Any = None) -> Task:
        return self._job(name, TRANSFORM, expression(request), self.config.predict.max_runtime, assign)

    def _trials(self, name: str, arguments: Any, assign: Any) -> Task:
        retries = self._retries_of["SdkSageMaker"]
        return self._task(name, LIST_TRIALS, arguments, SMALL_CALL_SECONDS, retries, output={}, assign=assign)

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
OF_OTHER_METRICS = ["score", "baseline", "reason"]
UNTRIED = {"job": "", "mae": None, "Error": "", "Cause": "", "tries": 0}
# Its Error makes the Choice before Predict start the job; an outcome without one does not.
_UNPREDICTED = {"outcome": "failed", "folder": "{% $id %}", "Error": "States.TaskFailed", "Cause": "", "tries": 0}
_PREDICTED = {**_UNPREDICTED, "outcome": "predicted", "Error": ""}
OUTCOMES = {"unpredicted": expression(jsonata(_UNPREDICTED)), "predicted": expression(jsonata(_PREDICTED))}


ANSWERED = "$merge([{}, {{'answered': true}}])"  # `own` after a transform job, until its model is deleted

# CreateModel and jobs refuse an archive that is not there; a failed transform job points at its log.
OF_CONTAINER = (
    "($e := $states.errorOutput; $contains($e.Cause & '', "
    "/Could not find model data|No S3 objects found .*model\\.tar\\.gz/) ? {"
    "'Error': 'States.TaskFailed', "
    "'Cause': 'Not retried: The training saved nothing in /opt/ml/model, so there is no model.'} : "
    "{'Error': $e.Error, 'Cause': $replace($e.Cause & '', ': See job logs for more information', "
    "': The container failed during prediction; see the job\\u0027s log')})"
)


def assign_own(value: str) -> dict[str, str]:
    return {"own": expression(value)}
