"""The jobs that SageMaker runs: requests for CreateProcessingJob, CreateTrainingJob, CreateModel, CreateTransformJob.

A request is a JSON value with expressions in it. The part that is the same for all models is assigned once, by Begin
(`settings()`), and each job merges its own part over it: a definition may have hundreds of jobs, and has a limit.

docs/decisions/0001-what-a-job-sees.md is the contract with the scripts in code/.
"""

from __future__ import annotations

from typing import Any

from stepgluon.config.job_schema import Job
from stepgluon.config.kinds import as_text
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.names import Names
from stepgluon.programs import (
    DATA,
    Program,
    channels_of,
    program_of,
    settings_of,
    transforms,
    used_programs,
    usual_program,
    waits_for_classes,
)
from stepgluon.workflow import tuning
from stepgluon.workflow.expressions import expression, jsonata, literal, quoted
from stepgluon.workflow.request_parts import ATTEMPT, Request, RequestParts, channel, input_of, merged

PREDICTING = "$jobs.predict.AppSpecification.ImageUri"  # the image that predicts with this run's models

TRIALS_KEY = "{}.place & '/' & $own.job & '/trials.json'"


class Jobs(RequestParts):
    checks = True  # whether a job checks the answers of transform jobs

    def __init__(self, config: PipelineConfig, names: Names) -> None:
        super().__init__(config, names)
        self.program = usual_program(config)
        self._scored = [program for program in used_programs(config) if program.scoring_image]
        asked = [transforms(config, model) for model in config.models]
        self.transforms, self.predicts = any(asked), not all(asked)
        self.scripted = any(self._script_mode(model) for model in config.models)

    # The whole run's jobs

    def prepare(self) -> Request:
        inputs = {"raw": expression("$input.data"), "config": self.names.config_uri}
        return self._of_run("prepare", self.config.prepare, "prepare", inputs, "prepared")

    def postprocess(self) -> Request:
        files = {
            "rows": "prepared/rows/",
            "numbers": "prepared/numbers/",
            "predictions": "predictions.manifest",
            "verdicts": "verdicts.json",
            "profile": "prepared/profile.json",
        }
        inputs = {name: expression(f"$folder & {quoted(file)}") for name, file in files.items()}
        inputs["config"] = self.names.config_uri
        return self._of_run("postprocess", self.config.postprocess, "post", inputs, "result")

    # A model's jobs

    def settings(self) -> Request:
        """The part of a request that is the same for all models."""
        training = {
            "AlgorithmSpecification": self._algorithm(self._usual_model),
            **self._network(),
            **self._of_all(),
            **self._train_fields(self.config.train),
        }
        found = {"train": literal(training)}
        if self.predicts:
            found["predict"] = literal(self._processing(self.program.predicting_image, "predict", self.config.predict))
        if self._scored:
            found["score"] = {program.name: literal(self._scoring(program)) for program in self._scored}
        if self.transforms or self.config.served:
            found |= self.release_settings()
        if self.transforms:
            found["transform"] = literal(self._transform())
            if self.checks:
                found["check"] = literal(self._processing(DATA, "check_answers", self.config.postprocess))
        return found

    def _scoring(self, program: Program) -> Request:
        if program.scoring_image == DATA:
            return self._processing(DATA, program.scoring_script, self.config.postprocess)
        scoring = self._processing(program.scoring_image, program.scoring_script, self.config.predict)
        scoring["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 1
        return scoring

    def release_settings(self) -> Request:
        """What all models have that are served."""
        return {"model": literal(self._model())}

    def _model(self) -> Request:
        shared, network = self._of_all(), self._network()
        network.pop("EnableInterContainerTrafficEncryption", None)  # a model has no such field
        return {"ExecutionRoleArn": shared["RoleArn"], "Tags": shared["Tags"], **network}

    def _transform(self) -> Request:
        one = self.config.predict.instance
        key = self._disk_key
        return {
            "TransformResources": {"InstanceType": one.type, "InstanceCount": one.count, **key},
            **({"MaxPayloadInMB": payload} if (payload := self.config.predict.payload) else {}),
            **({"BatchStrategy": f"{strategy.title()}Record"} if (strategy := self.config.predict.strategy) else {}),
            "Tags": self._of_all()["Tags"],
        }

    def of_model(self, model: Model) -> Request:
        """A model's own part of its requests: of its training, and what another program than the usual one needs."""
        program, algorithm = program_of(model), self._algorithm(model)
        shared, own = self._train_fields(self.config.train), self._train_fields(model.train)
        training = {field: value for field, value in own.items() if shared.get(field) != value}
        if algorithm != self._algorithm(self._usual_model):
            training["AlgorithmSpecification"] = algorithm
        if model.algorithm:
            searched = model.tune.ranges if model.tune else {}
            training["HyperParameters"] = {
                name: as_text(value) for name, value in settings_of(model).items() if name not in searched
            } | {name.lower(): value for name, value in self._script_mode(model).items()}
        other = transforms(self.config, model) or program.predicting_image != self.program.predicting_image
        return {
            "train": training,
            **({"channels": channels_of(model), "program": program.name} if program.channels else {}),
            **({"image": self.names.predicting_image(model)} if other else {}),
            **({"serving": self._script_mode(model)} if self._script_mode(model) else {}),
            **({"tune": tuning.settings(self.config, self.names, model)} if model.tune else {}),
        }

    def logged(self, model: Model) -> str:
        return ""

    @property
    def _usual_model(self) -> Model:
        return next(model for model in self.config.models if program_of(model) is self.program)

    def train(self, model: str) -> str:
        """`model` is the expression of the model's data."""
        return f"$merge([$jobs.train, {model}.train, {{'TrainingJobName': {model}.job & $own.tries & {ATTEMPT}}}])"

    def tune(self, model: str) -> str:
        return tuning.request(model, f"$own.tries & {ATTEMPT}")

    def training(self, model: str, place: str) -> str:
        """The value that Read fingerprints assigns as a model's `train`; `$found` is its entry in fingerprints.json."""
        folder = f"$folder & 'prepared/models/' & {model}.name & '/'"
        data = channel("data", folder)
        usual = {
            "HyperParameters": {"model": expression(f"{model}.name")},
            "InputDataConfig": [data],
            "OutputDataConfig": self._trained(place, "NONE"),
        }
        if not self._scored:
            return f"$merge([{model}.train, {jsonata(usual)}])"
        # A channel of CSV files for each that the program reads.
        each = channel("{% $c %}", f"{folder} & 'channels/' & $c & '/'")
        channels = f"[$map({model}.channels, function($c) {{{jsonata({**each, 'ContentType': 'text/csv'})}}})]"
        archived = {"InputDataConfig": expression(channels), "OutputDataConfig": self._trained(place, "GZIP")}
        if any(map(waits_for_classes, self.config.models)):
            archived["HyperParameters"] = expression(f"$merge([{model}.train.HyperParameters, $found.set])")
        own = f"$exists({model}.channels) ? {jsonata(archived)} : {jsonata(usual)}"
        return f"$merge([{model}.train, {jsonata(archived) if self.program.channels else own}])"

    def tuned_by_classes(self, model: str) -> str:
        """What Read fingerprints adds to a model whose classes decide what its tuning is judged by."""
        if not any(one.tune and not one.tune.objective and waits_for_classes(one) for one in self.config.models):
            return ""
        objective = "{'HyperParameterTuningJobObjective': $found.objective}"
        tune = f"$merge([{model}.tune, {{'config': $merge([{model}.tune.config, {objective}])}}])"
        return f", $exists($found.objective) ? {{'tune': {tune}}} : {{}}"

    def scoring_job(self, answered: bool) -> Job:
        """The part of the config with the machine that measures a model."""
        return self.config.postprocess if answered else self.config.predict

    def score(self, model: str, answered: bool, tuned: bool) -> str:
        """The request for the job that takes a training's archive and measures the model."""
        trained = f"$work & {model}.place & '/' & $own.job & '/output/"
        inputs = [
            input_of("archive", expression(f"{trained}model.tar.gz'")),
            input_of("data", expression(f"$folder & 'prepared/models/' & {model}.name & '/'")),
        ]
        if answered:
            inputs.append(input_of("answers", expression(f"{trained}answers/'")))
        if tuned:
            inputs.append(input_of("trials", expression(f"$work & {TRIALS_KEY.format(model)}")))
        request = {
            "ProcessingJobName": expression(f"{self.name('score', model)} & $own.tries & {ATTEMPT}"),
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": self._output(f"{trained}model'"),
        }
        own = {"STEPGLUON_MODEL": expression(f"{model}.name")}
        return merged(f"$lookup($jobs.score, {model}.program)", self.scoring_job(answered), request, own)

    # A container's models and transform jobs

    def model_name(self, model: str, chosen: bool) -> str:
        """The name of this try's model. A throttled call has created none, so a retry may use the name again."""
        kind = " & 'chosen-'" if chosen else ""
        return f"{self.name('model', model)}{kind} & $own.tries & '-' & $states.context.Execution.RedriveCount"

    def create_model(self, source: str, name: str, image: str, archive: str, manifest: str = "") -> str:
        """`source` has the variables by which an AWS image finds the model's script: $own, or an entry of $chosen.

        `manifest` is the checksum that our server compares; a container of the user's has none to compare.
        """
        environment: Any = literal(self.config.predict.environment)
        if manifest:
            environment = {**environment, "STEPGLUON_MANIFEST": expression(manifest)}
        container = {"Image": expression(image), "ModelDataUrl": expression(archive)}
        if self.scripted or source != "$own":  # a promoted model may have a script though no model of the config has
            environment = expression(f"$merge([{jsonata(environment)}, {source}.serving])")
        container |= {"Environment": environment} if environment else {}
        request = {"ModelName": expression(name), "PrimaryContainer": container}
        return f"$merge([$jobs.model, {jsonata(request)}])"

    def transform(self, step: str, model: str, rows: str, answers: str) -> str:
        """The request for a transform job over CSV files without a header; each line is a row."""
        request = {
            "TransformJobName": expression(f"{self.name(step, model)} & $own.tries & {ATTEMPT}"),
            "ModelName": expression("$own.model"),
            "TransformInput": {
                "ContentType": "text/csv",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": expression(rows)}},
                "SplitType": "Line",
            },
            "TransformOutput": {
                "Accept": "text/csv",
                "AssembleWith": "Line",
                "S3OutputPath": expression(answers),
                **self._output_key,
            },
        }
        return f"$merge([$jobs.transform, {jsonata(request)}])"

    def asked(self, chosen: str) -> str:
        """Where the rows to predict are."""
        return f"$folder & 'prepared/predict/' & {chosen}.name & '/'"

    def answers(self, chosen: str) -> str:
        """Where a transform job writes the answers to the rows to predict."""
        return f"$work & {chosen}.place & '/' & $id & '-answers/'"

    def check(self, model: str, chosen: str) -> str:
        """The request for the job that makes predictions of the answers."""
        request = {
            "ProcessingJobName": expression(f"{self.name('check', model)} & $own.tries & {ATTEMPT}"),
            "ProcessingInputs": [
                input_of("answers", expression(self.answers(chosen))),
                input_of("numbers", expression(f"$folder & 'prepared/numbers/' & {chosen}.name & '/'")),
                input_of("manifest", expression(f"{chosen}.model_uri & 'manifest.json'")),
            ],
            "ProcessingOutputConfig": self._output(f"$work & {chosen}.place & '/' & $id"),
        }
        own = {
            "STEPGLUON_MODEL": expression(f"{chosen}.name"),
            "STEPGLUON_MANIFEST": expression(f"{chosen}.manifest"),
        }
        return merged("$jobs.check", self.config.postprocess, request, own)

    def monitoring(self) -> Request:
        """The part of a monitor's request that is the same for all models."""
        return self._processing(DATA, "monitor", self.config.postprocess)

    def monitor(self, model: str, rows: dict[str, str], limit: float, unique: str) -> str:
        """The request for the job that compares rows with a model's; `own` says which of `rows` there are."""
        inputs = [
            input_of("config", self.names.config_uri),
            *(input_of(name, expression(f"$own.folder & '{name}.json'")) for name in ("profile", "manifest")),
        ]
        listed = [f"[{', '.join(map(jsonata, inputs))}]"]
        there = {"captured": "$count($own.captured) > 0", "tables": "$own.tables"}
        listed += [f"{there[name]} ? [{jsonata(input_of(name, expression(uri)))}] : []" for name, uri in rows.items()]
        request = {
            "ProcessingJobName": expression(f"{self.name('monitor', model)} & {unique}"),
            "ProcessingInputs": expression(f"$append($append({listed[0]}, {listed[1]}), {listed[2]})"),
            "ProcessingOutputConfig": self._output(f"$work & 'monitor/' & {model}.name & '/' & $run"),
        }
        own = {
            "STEPGLUON_MODEL": expression(f"{model}.name"),
            "STEPGLUON_DRIFT": f"{limit:g}",
        }
        return merged("$jobs.monitor", self.config.postprocess, request, own)

    def image(self, model: str) -> str:
        """The image that predicts with the model."""
        own = f"{model}.image"
        if not self.predicts:
            return own
        return f"($exists({own}) ? {own} : {PREDICTING})" if self._several else PREDICTING

    def depends(self, model: str) -> str:
        """What a trained model depends on besides its rows and settings: the images that train and measure it."""
        if not self._scored:
            return "$jobs.train.AlgorithmSpecification.TrainingImage"
        training = f"$merge([$jobs.train, {model}.train]).AlgorithmSpecification.TrainingImage"
        measured = f"{training} & '|' & $lookup($jobs.score, {model}.program).AppSpecification.ImageUri"
        return f"($exists({model}.channels) ? {measured} : {training})"

    @property
    def _several(self) -> bool:
        return any(program_of(model) is not self.program for model in self.config.models)

    def predict(self, own: str, chosen: str) -> str:
        name = f"{{'ProcessingJobName': {chosen}.predict_job & $own.tries & {ATTEMPT}}}"
        if not self.config.predict.environment:
            return f"$merge([$jobs.predict, {own}, {name}])"
        environment = f"{{'Environment': $merge([$jobs.predict.Environment, {own}.Environment])}}"
        return f"$merge([$jobs.predict, {own}, {environment}, {name}])"

    def prediction(self, chosen: str) -> str:
        """The value that Announce models assigns as a model's entry in `predictions`."""
        rows = input_of("rows", expression(f"$folder & 'prepared/predict/' & {chosen}.name & '/'"))
        if self.config.predict.instance.count > 1:
            rows["S3Input"]["S3DataDistributionType"] = "ShardedByS3Key"
        return jsonata(
            {
                "AppSpecification": expression(
                    f"$merge([$jobs.predict.AppSpecification, {{'ImageUri': {chosen}.image}}])"
                ),
                "ProcessingInputs": [rows, input_of("model", expression(f"{chosen}.model_uri"))],
                "ProcessingOutputConfig": self._output(f"$work & {chosen}.place & '/' & $id"),
                "Environment": {
                    "STEPGLUON_MODEL": expression(f"{chosen}.name"),
                    "STEPGLUON_MANIFEST": expression(f"{chosen}.manifest"),
                },
            }
        )
