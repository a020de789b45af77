"""The jobs that SageMaker runs: requests for CreateProcessingJob and CreateTrainingJob.

The shared part of all jobs of a kind is assigned once, by Begin (`settings()`), and each job merges its own part over
it: a definition may have hundreds of jobs, and its size is limited.

docs/decisions/0001-what-a-job-sees.md is the contract with the scripts in code/.
"""

from __future__ import annotations

from typing import Any

from stepgluon.config.schema import Job, Model, PipelineConfig, Train
from stepgluon.names import Names
from stepgluon.workflow.expressions import quoted

PROCESSING = "/opt/ml/processing"
# Names are unique: each has the run's id, the try, Step Functions' own retry, and the redrive.
ATTEMPT = "'-' & $states.context.State.RetryCount & '-' & $states.context.Execution.RedriveCount"


class Jobs:
    def __init__(self, config: PipelineConfig, names: Names) -> None:
        self.config = config
        self.names = names

    # Assigned by Begin

    def settings(self) -> dict[str, Any]:
        """The part of a request that all jobs of a kind share."""
        config = self.config
        return {
            "prepare": self._processing("data", "prepare", config.prepare),
            "train": self._training(),
            "predict": self._processing("autogluon", "predict", config.predict),
            "postprocess": self._processing("data", "postprocess", config.postprocess),
        }

    def of_model(self, model: Model) -> dict[str, Any]:
        """The part of a training request that is specific to this model."""
        shared, own = self._train_fields(self.config.train), self._train_fields(model.train)
        return {field: value for field, value in own.items() if shared.get(field) != value}

    def _training(self) -> dict[str, Any]:
        vpc = self._vpc()
        return {
            "AlgorithmSpecification": {
                "TrainingImage": self.names.image("autogluon"),
                "TrainingInputMode": "File",
                "ContainerEntrypoint": _script("train"),
            },
            "RoleArn": self.names.job_role_arn,
            "Tags": self._tags(),
            **({"VpcConfig": vpc} if vpc else {}),
            **self._switches(),
            **self._train_fields(self.config.train),
        }

    def _train_fields(self, job: Train) -> dict[str, Any]:
        stopping = {"MaxRuntimeInSeconds": job.max_runtime}
        if job.spot:
            stopping["MaxWaitTimeInSeconds"] = longest_training(job)
        return {
            "ResourceConfig": {**_cluster(job), **self._key("VolumeKmsKeyId")},
            "StoppingCondition": stopping,
            "EnableManagedSpotTraining": job.spot,
            "Environment": job.environment,
        }

    def _processing(self, image: str, script: str, job: Job) -> dict[str, Any]:
        network = {**self._switches(), **({"VpcConfig": vpc} if (vpc := self._vpc()) else {})}
        return {
            "AppSpecification": {"ImageUri": self.names.image(image), "ContainerEntrypoint": _script(script)},
            "ProcessingResources": {"ClusterConfig": {**_cluster(job), **self._key("VolumeKmsKeyId")}},
            "StoppingCondition": {"MaxRuntimeInSeconds": job.max_runtime},
            "RoleArn": self.names.job_role_arn,
            "Tags": self._tags(),
            **({"NetworkConfig": network} if network else {}),
            **({"Environment": job.environment} if job.environment else {}),
        }

    def places(self) -> dict[str, Any]:
        """The S3 locations of a prediction job's files."""
        share = {"S3DataDistributionType": "ShardedByS3Key"} if self.config.predict.instance.count > 1 else {}
        return {"rows": {**_input_place("rows"), **share}, "model": _input_place("model"), "output": _OUTPUT_PLACE}

    # Requests, as JSONata

    def prepare(self) -> str:
        inputs = {"raw": "$input.data", "config": quoted(self.names.config_uri)}
        return self._of_run("prepare", "prepare", inputs, "prepared")

    def postprocess(self) -> str:
        inputs = {
            "rows": "$folder & 'prepared/rows/'",
            "numbers": "$folder & 'prepared/numbers/'",
            "predictions": "$folder & 'predictions.manifest'",
            "verdicts": "$folder & 'verdicts.json'",
            "profile": "$folder & 'prepared/profile.json'",
            "config": quoted(self.names.config_uri),
        }
        return self._of_run("postprocess", "post", inputs, "result")

    def train(self, model: str) -> str:
        """`model` is the expression of the model's data."""
        return f"$merge([$jobs.train, {model}.train, {{'TrainingJobName': {model}.job & $found.tries & {ATTEMPT}}}])"

    def training(self, model: str, place: str) -> str:
        """The value that Read fingerprints assigns as a model's `train`."""
        data = f"$folder & 'prepared/models/' & {model}.name & '/'"
        source = _object(S3DataSource=_object(S3DataType="'S3Prefix'", S3Uri=data))
        channel = _object(ChannelName="'data'", DataSource=source)
        output = {"S3OutputPath": f"$work & {place}", "CompressionType": "'NONE'", **self._output_key()}
        request = _object(
            HyperParameters=_object(model=f"{model}.name"),
            InputDataConfig=f"[{channel}]",
            OutputDataConfig=_object(**output),
        )
        return f"$merge([{model}.train, {request}])"

    def predict(self, name: str, chosen: str) -> str:
        rows = _input("rows", f"$merge([$places.rows, {{'S3Uri': $folder & 'prepared/predict/' & {name} & '/'}}])")
        model = _input("model", f"$merge([$places.model, {{'S3Uri': {chosen}.model_uri}}])")
        output = f"$merge([$places.output, {{'S3Uri': $work & {chosen}.place & '/' & $found.folder}}])"
        own = _object(STEPGLUON_MODEL=name, STEPGLUON_MANIFEST=f"{chosen}.manifest")
        environment = f"$merge([$jobs.predict.Environment, {own}])" if self.config.predict.environment else own
        request = _object(
            ProcessingJobName=f"{chosen}.predict_job & $found.tries & {ATTEMPT}",
            ProcessingInputs=f"[{rows}, {model}]",
            ProcessingOutputConfig=self._outputs(output),
            Environment=environment,
        )
        return f"$merge([$jobs.predict, {request}])"

    def _of_run(self, kind: str, step: str, inputs: dict[str, str], folder: str) -> str:
        given = [
            _input(name, f"$merge([{_constant(_input_place(name))}, {{'S3Uri': {uri}}}])")
            for name, uri in inputs.items()
        ]
        output = f"$merge([{_constant(_OUTPUT_PLACE)}, {{'S3Uri': $folder & {quoted(folder)}}}])"
        request = _object(
            ProcessingJobName=f"{self.name(step)} & $job_failures & {ATTEMPT}",
            ProcessingInputs=f"[{', '.join(given)}]",
            ProcessingOutputConfig=self._outputs(output),
        )
        return f"$merge([$jobs.{kind}, {request}])"

    def _outputs(self, output: str) -> str:
        outputs = f"[{_object(OutputName=quoted('output'), S3Output=output)}]"
        return _object(Outputs=outputs, **self._output_key())

    def _output_key(self) -> dict[str, str]:
        return {"KmsKeyId": quoted(self.config.encryption.kms_key)} if self.config.encryption.kms_key else {}

    def name(self, step: str, model: str = "") -> str:
        """The beginning of a job's name, up to the number of the try."""
        own = f" & {model}.short & '-'" if model else ""
        return f"{quoted(f'{self.names.prefix}-{step}-')}{own} & $id & '-'"

    # Small parts

    def _tags(self) -> list[dict[str, str]]:
        own = [{"Key": "stepgluon", "Value": self.names.prefix}]
        return own + [{"Key": key, "Value": value} for key, value in self.config.tags.items()]

    def _key(self, field: str) -> dict[str, str]:
        return {field: self.config.encryption.kms_key} if self.config.encryption.kms_key else {}

    def _vpc(self) -> dict[str, Any]:
        network = self.config.network
        return {"SecurityGroupIds": network.security_groups, "Subnets": network.subnets} if network.subnets else {}

    def _switches(self) -> dict[str, Any]:
        network = self.config.network
        switches = {
            "EnableNetworkIsolation": network.isolate,
            "EnableInterContainerTrafficEncryption": network.encrypt_traffic,
        }
        return {name: True for name, on in switches.items() if on}


def longest_training(job: Train) -> int:
    """In seconds; a spot job may wait for its machines as long as it may run."""
    return 2 * job.max_runtime if job.spot else job.max_runtime


def _script(name: str) -> list[str]:
    return ["python3", f"/opt/program/{name}.py"]


def _object(**fields: str) -> str:
    return "{" + ", ".join(f"'{name}': {value}" for name, value in fields.items()) + "}"


def _input(name: str, source: str) -> str:
    return _object(InputName=quoted(name), S3Input=source)


def _input_place(name: str) -> dict[str, str]:
    kind = "ManifestFile" if name == "predictions" else "S3Prefix"
    return {"LocalPath": f"{PROCESSING}/input/{name}", "S3DataType": kind, "S3InputMode": "File"}


_OUTPUT_PLACE = {"LocalPath": f"{PROCESSING}/output", "S3UploadMode": "EndOfJob"}


def _constant(fields: dict[str, str]) -> str:
    return _object(**{name: quoted(value) for name, value in fields.items()})


def _cluster(job: Job) -> dict[str, Any]:
    instance = job.instance
    return {"InstanceCount": instance.count, "InstanceType": instance.type, "VolumeSizeInGB": instance.volume_gb}
