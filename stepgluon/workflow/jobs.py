"""The jobs that SageMaker is asked for: parameters of CreateProcessingJob and CreateTrainingJob.

What all jobs of a kind have in common stands once, in the data that the state Settings begins with (`settings()`), and
the jobs refer to it: a definition may have a thousand jobs, and its size is limited.

docs/decisions/0001-what-a-job-sees.md is the contract with the scripts in code/.
"""

from __future__ import annotations

import json
from typing import Any

from stepgluon.config.schema import Job, Model, PipelineConfig, Train
from stepgluon.names import Names, short
from stepgluon.workflow.intrinsics import text

PROCESSING = "/opt/ml/processing"
# The parts of a job's settings, and what each kind of job calls them.
TRAINING_FIELDS = {"program": "AlgorithmSpecification", "machines": "ResourceConfig", "limits": "StoppingCondition"}
PROCESSING_FIELDS = {"program": "AppSpecification", "machines": "ProcessingResources", "limits": "StoppingCondition"}
# What a Describe answer adds to a job's settings: its names and places, ARNs, times, transitions, and FailureReason and
# ExitMessage of up to 1 KB each.
ANSWER_BYTES = 5120


class Jobs:
    def __init__(self, config: PipelineConfig, names: Names) -> None:
        self.config = config
        self.names = names

    def settings(self) -> dict[str, Any]:
        """What is the same for all jobs of a kind, and where the jobs find it."""
        network = self.config.network
        vpc = {"SecurityGroupIds": network.security_groups, "Subnets": network.subnets} if network.subnets else {}
        own = [{"Key": "stepgluon", "Value": self.names.prefix}]
        return {
            "role": self.names.job_role_arn,
            "tags": own + [{"Key": key, "Value": value} for key, value in self.config.tags.items()],
            "config": self.names.config_uri,
            **({"vpc": vpc} if vpc else {}),
            **({"network": {**self._switches(), **({"VpcConfig": vpc} if vpc else {})}} if self._has_network() else {}),
            "train": self._training_settings(self.config.train),
            "prepare": self._processing_settings(self.config.prepare, "data", "prepare"),
            "predict": self._processing_settings(self.config.predict, "autogluon", "predict"),
            "postprocess": self._processing_settings(self.config.postprocess, "data", "postprocess"),
        }

    def prepare(self) -> dict[str, Any]:
        inputs = [_input("raw", {"S3Uri.$": "$.input.data"}), _input("config", {"S3Uri.$": "$.jobs.config"})]
        return self._processing("prepare", "prepare", inputs, "prepared", self.config.prepare.environment)

    def predict(self, model: Model, model_uri: str) -> dict[str, Any]:
        several = self.config.predict.instance.count > 1
        share = {"S3DataDistributionType": "ShardedByS3Key"} if several else {}
        inputs = [
            _input("rows", _in_folder(f"prepared/predict/{model.name}/"), **share),
            _input("model", {"S3Uri.$": model_uri}),
        ]
        environment = {"STEPGLUON_MODEL": model.name, **self.config.predict.environment}
        return self._processing("predict", f"predict-{short(model)}", inputs, f"predictions/{model.name}", environment)

    def postprocess(self) -> dict[str, Any]:
        inputs = [
            _input("rows", _in_folder("prepared/rows/")),
            _input("predictions", _in_folder("predictions/")),
            _input("verdicts", _in_folder("verdicts.json")),
            _input("profile", _in_folder("prepared/profile.json")),
            _input("config", {"S3Uri.$": "$.jobs.config"}),
        ]
        return self._processing("postprocess", "post", inputs, "result", self.config.postprocess.environment)

    def train(self, model: Model) -> dict[str, Any]:
        data = {**_in_folder(f"prepared/models/{model.name}/"), "S3DataType": "S3Prefix"}
        # A model with settings of its own names them; the others share.
        shared, own = self._training_settings(self.config.train), self._training_settings(model.train)
        settings: dict[str, Any] = {}
        for part, field in TRAINING_FIELDS.items():
            settings |= {f"{field}.$": f"$.jobs.train.{part}"} if own[part] == shared[part] else {field: own[part]}
        parameters = {
            "TrainingJobName.$": self._job_name(f"train-{short(model)}"),
            "RoleArn.$": "$.jobs.role",
            "HyperParameters": {"model": model.name},
            "InputDataConfig": [{"ChannelName": "data", "DataSource": {"S3DataSource": data}}],
            "OutputDataConfig": {
                "S3OutputPath.$": text(f"{{}}/models/{model.name}", "$.folder"),
                "CompressionType": "NONE",
                **self._key("KmsKeyId"),
            },
            **settings,
            "Tags.$": "$.jobs.tags",
            **self._switches(),
        }
        if model.train.spot:
            parameters["EnableManagedSpotTraining"] = True
        if model.train.environment:
            parameters["Environment"] = model.train.environment
        if self.config.network.subnets:
            parameters["VpcConfig.$"] = "$.jobs.vpc"
        return parameters

    def longest_description(self) -> int:
        """Bytes that SageMaker's description of one of the models' jobs may have: it repeats what it was asked."""
        shared = self.settings()
        sizes = [
            len(json.dumps([shared["train"], self.config.network.model_dump(), job.environment]))
            for job in (self.config.train, *(model.train for model in self.config.models if model.train.environment))
        ]
        return max(*sizes, len(json.dumps([shared["predict"], self.config.predict.environment]))) + ANSWER_BYTES

    def _training_settings(self, job: Train) -> dict[str, Any]:
        stopping = {"MaxRuntimeInSeconds": job.max_runtime}
        if job.spot:
            stopping["MaxWaitTimeInSeconds"] = longest_training(job)
        program = {"TrainingImage": self.names.image("autogluon"), "TrainingInputMode": "File"}
        return {
            "program": {**program, "ContainerEntrypoint": _script("train")},
            "machines": {**_cluster(job), **self._key("VolumeKmsKeyId")},
            "limits": stopping,
        }

    def _processing_settings(self, job: Job, image: str, script: str) -> dict[str, Any]:
        cluster = {**_cluster(job), **self._key("VolumeKmsKeyId")}
        program = {"ImageUri": self.names.image(image), "ContainerEntrypoint": _script(script)}
        return {
            "program": program,
            "machines": {"ClusterConfig": cluster},
            "limits": {"MaxRuntimeInSeconds": job.max_runtime},
        }

    def _processing(
        self, kind: str, step: str, inputs: list[dict[str, Any]], place: str, environment: dict[str, str]
    ) -> dict[str, Any]:
        output = {**_in_folder(place), "LocalPath": f"{PROCESSING}/output", "S3UploadMode": "EndOfJob"}
        parameters: dict[str, Any] = {
            "ProcessingJobName.$": self._job_name(step),
            "RoleArn.$": "$.jobs.role",
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {
                "Outputs": [{"OutputName": "output", "S3Output": output}],
                **self._key("KmsKeyId"),
            },
            **{f"{field}.$": f"$.jobs.{kind}.{part}" for part, field in PROCESSING_FIELDS.items()},
            "Tags.$": "$.jobs.tags",
        }
        if self._has_network():
            parameters["NetworkConfig.$"] = "$.jobs.network"
        if environment:
            parameters["Environment"] = environment
        return parameters

    def _job_name(self, step: str) -> str:
        """SageMaker refuses a name that it has seen, so run, retry and redrive are all part of it."""
        name = f"{self.names.prefix}-{step}-{{}}-{{}}-{{}}"
        return text(name, "$.id", "$$.State.RetryCount", "$$.Execution.RedriveCount")

    def _key(self, field: str) -> dict[str, str]:
        return {field: self.config.encryption.kms_key} if self.config.encryption.kms_key else {}

    def _switches(self) -> dict[str, Any]:
        network = self.config.network
        switches = {
            "EnableNetworkIsolation": network.isolate,
            "EnableInterContainerTrafficEncryption": network.encrypt_traffic,
        }
        return {name: True for name, on in switches.items() if on}

    def _has_network(self) -> bool:
        return bool(self.config.network.subnets or self._switches())


def longest_training(job: Train) -> int:
    """Seconds; on spare capacity a job may wait for its machines as long as it may run."""
    return 2 * job.max_runtime if job.spot else job.max_runtime


def _script(name: str) -> list[str]:
    return ["python3", f"/opt/program/{name}.py"]


def _in_folder(place: str) -> dict[str, str]:
    """A place below the run's own prefix."""
    return {"S3Uri.$": text(f"{{}}/{place}", "$.folder")}


def _input(name: str, uri: dict[str, str], **share: str) -> dict[str, Any]:
    place = {"LocalPath": f"{PROCESSING}/input/{name}", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": {**uri, **place, **share}}


def _cluster(job: Job) -> dict[str, Any]:
    instance = job.instance
    return {"InstanceCount": instance.count, "InstanceType": instance.type, "VolumeSizeInGB": instance.volume_gb}
