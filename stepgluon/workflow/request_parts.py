"""What the requests for jobs are made of: names, machines, networks, roles, inputs and outputs."""

from __future__ import annotations

from typing import Any

from stepgluon.config.job_schema import Job, Train
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.names import Names
from stepgluon.programs import DATA, program_of
from stepgluon.workflow import tuning
from stepgluon.workflow.expressions import expression, jsonata, literal, quoted
from stepgluon.workflow.retries import longest_training

PROCESSING = "/opt/ml/processing"
# Names are unique: each has the run's id, the try, Step Functions' own retry, and the redrive.
ATTEMPT = "'-' & $states.context.State.RetryCount & '-' & $states.context.Execution.RedriveCount"

Request = dict[str, Any]


class RequestParts:
    def __init__(self, config: PipelineConfig, names: Names) -> None:
        self.config, self.names = config, names
        key = config.encryption.kms_key
        self._disk_key = {"VolumeKmsKeyId": key} if key else {}
        self._output_key = {"KmsKeyId": key} if key else {}

    def name(self, step: str, model: str = "") -> str:
        """The beginning of a job's name, up to the number of the try."""
        own = f" & {model}.short & '-'" if model else ""
        return f"{quoted(f'{self.names.prefix}-{step}-')}{own} & $id & '-'"

    def _of_run(self, script: str, job: Job, step: str, inputs: dict[str, str], folder: str) -> Request:
        return {
            "ProcessingJobName": expression(f"{self.name(step)} & $job_failures & {ATTEMPT}"),
            **literal(self._processing(DATA, script, job)),
            "ProcessingInputs": [input_of(name, uri) for name, uri in inputs.items()],
            "ProcessingOutputConfig": self._output(f"$folder & {quoted(folder)}"),
        }

    def _processing(self, image: str, script: str, job: Job) -> Request:
        network = self._network()
        return {
            "AppSpecification": {"ImageUri": self.names.image(image), "ContainerEntrypoint": entrypoint_of(script)},
            "ProcessingResources": {"ClusterConfig": self._machine(job)},
            "StoppingCondition": {"MaxRuntimeInSeconds": job.max_runtime},
            **self._of_all(),
            **({"NetworkConfig": network} if network else {}),
            **({"Environment": job.environment} if job.environment else {}),
        }

    def _algorithm(self, model: Model) -> Request:
        script = program_of(model).training_script
        entrypoint = {"ContainerEntrypoint": entrypoint_of(script)} if script else {}
        metrics = tuning.metric_definitions(model)
        return {"TrainingImage": self.names.training_image(model), "TrainingInputMode": "File", **entrypoint, **metrics}

    def _script_mode(self, model: Model) -> dict[str, str]:
        """What AWS's images read: from hyperparameters in a training, and from the environment when they serve."""
        if not model.algorithm or not model.algorithm.script:
            return {}
        program = model.algorithm.script.rpartition("/")[2]
        known = {"PROGRAM": program, "SUBMIT_DIRECTORY": self.names.source_uri, "REGION": self.config.region}
        return {f"SAGEMAKER_{name}": value for name, value in known.items()}

    def _trained(self, place: str, compression: str) -> Request:
        return {"S3OutputPath": expression(f"$work & {place}"), "CompressionType": compression, **self._output_key}

    def _train_fields(self, job: Train) -> Request:
        waiting = {"MaxWaitTimeInSeconds": longest_training(job)} if job.spot else {}
        return {
            "ResourceConfig": self._machine(job),
            "StoppingCondition": {"MaxRuntimeInSeconds": job.max_runtime, **waiting},
            "EnableManagedSpotTraining": job.spot,
            "Environment": job.environment,
        }

    def _machine(self, job: Job) -> Request:
        one = job.instance
        size = {"InstanceCount": one.count, "InstanceType": one.type, "VolumeSizeInGB": one.volume_gb}
        return {**size, **self._disk_key}

    def _of_all(self) -> Request:
        tags = {"stepgluon": self.names.prefix, **self.config.tags}
        return {
            "RoleArn": self.names.job_role_arn,
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }

    def _network(self) -> Request:
        network = self.config.network
        vpc = {"SecurityGroupIds": network.security_groups, "Subnets": network.subnets}
        return {
            **({"VpcConfig": vpc} if network.subnets else {}),
            **({"EnableNetworkIsolation": True} if network.isolate else {}),
            **({"EnableInterContainerTrafficEncryption": True} if network.encrypt_traffic else {}),
        }

    def _output(self, uri: str) -> Request:
        place = {"LocalPath": f"{PROCESSING}/output", "S3UploadMode": "EndOfJob", "S3Uri": expression(uri)}
        return {"Outputs": [{"OutputName": "output", "S3Output": place}], **self._output_key}


def merged(shared: str, job: Job, request: Request, environment: dict[str, str]) -> str:
    """A job's own part over the shared one, and its variables over the config's."""
    variables: Any = environment
    if job.environment:
        variables = expression(f"$merge([{shared}.Environment, {jsonata(environment)}])")
    return f"$merge([{shared}, {jsonata({**request, 'Environment': variables})}])"


def entrypoint_of(name: str) -> list[str]:
    return ["python3", f"/opt/program/{name}.py"]


def channel(name: str, uri: str) -> Request:
    source = {"S3DataType": "S3Prefix", "S3Uri": expression(uri)}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def input_of(name: str, uri: str) -> Request:
    kind = "ManifestFile" if name in ("captured", "models", "predictions") else "S3Prefix"
    place = {"LocalPath": f"{PROCESSING}/input/{name}", "S3DataType": kind, "S3InputMode": "File", "S3Uri": uri}
    return {"InputName": name, "S3Input": place}
