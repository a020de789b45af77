"""The jobs of a pipeline whose data are files: they run in the models' own containers, with the user's scripts."""

from __future__ import annotations

from stepgluon.config.job_schema import Job
from stepgluon.config.schema import Model
from stepgluon.programs import DATA, Program
from stepgluon.scripts import OURS
from stepgluon.workflow.expressions import expression, jsonata, quoted
from stepgluon.workflow.jobs import TRIALS_KEY, Jobs
from stepgluon.workflow.request_parts import ATTEMPT, PROCESSING, Request, channel, input_of, merged

MOST_MEGABYTES = 100  # [sm] of a file to predict: MaxPayloadInMB


class FileJobs(Jobs):
    checks = False  # a file's answer is its prediction

    def prepare(self) -> Request:
        inputs = {"raw": expression("$input.data"), "config": self.names.config_uri, "code": self.names.code_uri}
        request = self._of_run("prepare", self.config.prepare, "prepare", inputs, "prepared")
        image = self.names.training_image(self.config.models[0])
        return {**request, "AppSpecification": {"ImageUri": image, "ContainerEntrypoint": _script("prepare_files")}}

    def postprocess(self) -> Request:
        request = super().postprocess()
        unused = ("rows", "numbers")  # of tables
        inputs = [one for one in request["ProcessingInputs"] if one["InputName"] not in unused]
        # A folder of answers for each model: a manifest of 100,000 answers would not fit into a state.
        answered = "$filter($verdicts, function($v, $i) {$v.outcome = 'predicted' and $not($models[$i].gaps = 0)})"
        answers = input_of("{% 'answers-' & $i %}", expression("$work & $v.place & '/' & $v.folder & '/'"))
        answers["S3Input"]["LocalPath"] = expression(f"'{PROCESSING}/input/answers/' & $v.name")
        found = f"$append({jsonata(inputs)}, $map({answered}, function($v, $i) {{{jsonata(answers)}}}))"
        return {**request, "ProcessingInputs": expression(found)}

    def _scoring(self, program: Program) -> Request:
        request = self._processing(DATA, "", self.config.predict)
        del request["AppSpecification"]
        request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 1
        return request

    def training(self, model: str, place: str) -> str:
        channels = channel("{% $c %}", "$folder & 'prepared/files/' & $c & '/'")
        given = f"[$map($found.channels, function($c) {{{jsonata(channels)}}})]"
        own = {"InputDataConfig": expression(given), "OutputDataConfig": self._trained(place, "GZIP")}
        return f"$merge([{model}.train, {jsonata(own)}])"

    def score(self, model: str, answered: bool, tuned: bool) -> str:
        """The request for the job in which the user's script measures the model, in the model's image."""
        trained = f"$work & {model}.place & '/' & $own.job & '/output/"
        trials = [input_of("trials", expression(f"$work & {TRIALS_KEY.format(model)}"))] if tuned else []
        request = {
            "ProcessingJobName": expression(f"{self.name('score', model)} & $own.tries & {ATTEMPT}"),
            "AppSpecification": {
                "ImageUri": expression(f"{model}.image"),
                "ContainerEntrypoint": _script("score_files"),
            },
            "ProcessingInputs": [
                input_of("archive", expression(f"{trained}model.tar.gz'")),
                input_of("test", expression("$folder & 'prepared/files/test/'")),
                input_of("config", self.names.config_uri),
                input_of("code", self.names.code_uri),
                *trials,
            ],
            "ProcessingOutputConfig": self._output(f"{trained}model'"),
        }
        own = {"STEPGLUON_MODEL": expression(f"{model}.name"), "STEPGLUON_LOGGED": expression("$own.logged & ''")}
        return merged("$jobs.score.files", self.config.predict, request, own)

    def scoring_job(self, answered: bool) -> Job:
        return self.config.predict

    def depends(self, model: str) -> str:
        return f"{model}.image"

    def asked(self, chosen: str) -> str:
        return "$folder & 'prepared/files/predict/'"

    def answers(self, chosen: str) -> str:
        return f"$work & {chosen}.place & '/' & $id"

    def transform(self, step: str, model: str, rows: str, answers: str) -> str:
        """The request for a transform job with a request for each file."""
        source = {"S3DataType": "S3Prefix", "S3Uri": expression(rows)}
        request = {
            "TransformJobName": expression(f"{self.name(step, model)} & $own.tries & {ATTEMPT}"),
            "ModelName": expression("$own.model"),
            "MaxPayloadInMB": MOST_MEGABYTES,
            "MaxConcurrentTransforms": 1,  # [sm] the product of the two is limited to the same
            "TransformInput": {
                "ContentType": "application/octet-stream",
                "DataSource": {"S3DataSource": source},
            },
            "TransformOutput": {"S3OutputPath": expression(answers), **self._output_key},
        }
        return f"$merge([$jobs.transform, {jsonata(request)}])"

    def _algorithm(self, model: Model) -> Request:
        found = super()._algorithm(model)
        if model.score and model.score.log:
            found["MetricDefinitions"] = [{"Name": model.metric, "Regex": model.score.log}]
        return found

    def logged(self, model: Model) -> str:
        """The training's own metric, as a part of what its state keeps; nothing if a script measures the model."""
        if not model.score or not model.score.log:
            return ""
        return f", 'logged': $states.result.FinalMetricDataList[MetricName = {quoted(model.metric)}].Value"


def _script(name: str) -> list[str]:
    return ["python3", f"{PROCESSING}/input/code/{OURS}/{name}.py"]
