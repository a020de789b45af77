"""The name, ARN or address of everything that a pipeline owns, from its config alone.

No other module composes such a name. With a prefix of at most 20 characters, all of them fit their services' limits in
the longest region: the bucket `{prefix}-work-{account}-{region}` has 59.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

from stepgluon import limits
from stepgluon.config.aws_facts import CONSOLES, Partition, facts
from stepgluon.config.schema import Model, PipelineConfig
from stepgluon.programs import builds_in_runs, name_of_build, program_of, title_of
from stepgluon.resolved_config import resolved_config
from stepgluon.scripts import scripts_of, source_digest

PROMOTED = "promoted.json"  # in the work bucket: the default models, written by promote, read by the state machine
PROMOTED_PARTITIONS = "promoted-partitions.json"  # the same of models for values found in the data, read by prepare
DEFAULTS = "promoted"  # next to it: the promoted models' files, which stay when the runs' files are cleaned up
LIVE = "live"
VARIANT = "AllTraffic"  # an endpoint's only variant
SHORT = 10  # characters of a model's name in its jobs' names; see Jobs.name
IN_GROUP = 36  # the same in the name of its group, of 63 with the longest prefix


class _Suffixed:
    """The prefix and a word."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix

    def __get__(self, names: Names, owner: type) -> str:
        return f"{names.prefix}-{self._suffix}"


@dataclass(frozen=True)
class Names:
    config: PipelineConfig

    @cached_property
    def prefix(self) -> str:
        """The pipeline's name plus the environment's: two environments never share a resource."""
        environment = self.config.environment
        return f"{self.config.name}-{environment}" if environment else self.config.name

    def pipeline_py(self, words: str) -> str:
        """A command suggested in a mail: with the environment, but without the reader's path of the config."""
        environment = self.config.environment
        return f"python pipeline.py {words} --env {environment}" if environment else f"python pipeline.py {words}"

    @cached_property
    def partition(self) -> Partition:
        partition = facts().partition_of(self.config.region)
        assert partition is not None, "config/rules.py accepts only regions of a known partition"
        return partition

    def arn(self, service: str, resource: str, region: str | None = None, account: str | None = None) -> str:
        region = self.config.region if region is None else region
        account = self.config.account if account is None else account
        return f"arn:{self.partition.name}:{service}:{region}:{account}:{resource}"

    def integration(self, action: str) -> str:
        """The Resource of a Task, like `arn:aws:states:::sns:publish`."""
        return self.arn("states", action, region="", account="")

    # Buckets

    @cached_property
    def raw_bucket(self) -> str:
        return f"{self.prefix}-raw-{self.config.account}-{self.config.region}"

    @cached_property
    def work_bucket(self) -> str:
        return f"{self.prefix}-work-{self.config.account}-{self.config.region}"

    @cached_property
    def config_json(self) -> str:
        """The resolved config for the jobs."""
        return resolved_config(self.config, self.scripts, self.training_image)

    @cached_property
    def scripts(self) -> dict[str, bytes]:
        """The contents of the user's scripts and ours for them, by their path below code_uri."""
        return scripts_of(self.config)

    @property
    def code_uri(self) -> str:
        """Next to the config, whose address depends on the scripts."""
        return f"{self.config_uri.removesuffix('config.json')}code/"

    @cached_property
    def source_uri(self) -> str:
        """The user's scripts as AWS's images read them. The address has their hash, so a model keeps its script."""
        return f"s3://{self.work_bucket}/config/{source_digest(self.scripts)[:16]}/sourcedir.tar.gz"

    @cached_property
    def config_uri(self) -> str:
        """The config's address contains its hash, so a run keeps the config that it was started with."""
        digest = hashlib.sha256(self.config_json.encode()).hexdigest()[:16]
        return f"s3://{self.work_bucket}/config/{digest}/config.json"

    # The state machine and what it uses

    @property
    def machine(self) -> str:
        return self.prefix

    @cached_property
    def machine_arn(self) -> str:
        return self.arn("states", f"stateMachine:{self.machine}")

    @property
    def live(self) -> str:
        """The machine's alias, which the trigger starts: it points at one published version."""
        return f"{self.machine_arn}:{LIVE}"

    topic = _Suffixed("mail")

    @cached_property
    def topic_arn(self) -> str:
        return self.arn("sns", self.topic)

    def role(self, part: str) -> str:
        """IAM has one namespace for all regions, so a role's name contains the region."""
        return f"{self.prefix}-{part}-{self.config.region}"

    @cached_property
    def job_role_arn(self) -> str:
        return self.role_arn("job")

    def role_arn(self, part: str) -> str:
        return self.arn("iam", f"role/{self.role(part)}", region="")

    @property
    def boundary_arn(self) -> str:
        """The managed policy that no role of this pipeline may exceed."""
        return self.arn("iam", f"policy/{self.role('boundary')}", region="")

    def rule_arn(self, rule: str) -> str:
        return self.arn("events", f"rule/{rule}")

    def function_arn(self, function: str) -> str:
        return self.arn("lambda", f"function:{function}")

    def log_arn(self, part: str) -> str:
        return self.arn("logs", f"log-group:{self.log_group(part)}")

    def bucket_arn(self, bucket: str) -> str:
        return self.arn("s3", bucket, region="", account="")

    def repository(self, image: str) -> str:
        return f"{self.prefix}-{image}"

    def execution_arn(self, run: str) -> str:
        return self.arn("states", f"execution:{self.machine}:{run}")

    def image(self, image: str) -> str:
        """The image's address; its digest is filled in when the definition is deployed (DefinitionSubstitutions)."""
        host = f"{self.config.account}.dkr.ecr.{self.config.region}.{self.partition.dns_suffix}"
        if image in builds_in_runs(self.config):  # before the first run there is no digest
            return f"{host}/{self.repository(image)}:{self.image_tag(image)}"
        return f"{host}/{self.repository(image)}@${{{title_of(image)}Digest}}"

    def image_tag(self, image: str) -> str:
        """The hash of the image's content, filled in like a digest. Tags are never moved, so it names one content."""
        return f"${{{title_of(image)}Tag}}"

    def training_image(self, model: Model) -> str:
        """The image that trains the model: ours, the user's, or AWS's, which config/algorithm_rules.py has found."""
        program, algorithm, region = program_of(model), model.algorithm, self.config.region
        if program.training_image:
            return self.image(program.training_image)
        assert algorithm
        if algorithm.build:
            return self.image(name_of_build(algorithm.build))
        if found := program.rules.image(algorithm, region):
            return f"{found[0]}.dkr.ecr.{region}.{self.partition.dns_suffix}/{found[1]}"
        assert algorithm.image, f"{program.name} is not in {region}"
        return algorithm.image

    def predicting_image(self, model: Model) -> str:
        """The image that predicts with the model: a container does it itself."""
        ours = program_of(model).predicting_image
        return self.image(ours) if ours else self.training_image(model)

    def repository_arn(self, image: str) -> str:
        """The ARN of the repository in an image's address."""
        host, _, repository = image.partition("@")[0].partition("/")
        return self.arn("ecr", f"repository/{repository.partition(':')[0]}", account=host.partition(".")[0])

    @staticmethod
    def key(model: Model) -> str:
        """The model's key in promoted.json."""
        return "m_" + model.name.replace("-", "_")

    def model_group(self, model: Model) -> str:
        """The group of the model's versions in the registry; its ARN is in lower case."""
        return f"{self.prefix}-model-{short(model, IN_GROUP)}".lower()

    def model_version_arn(self, model: Model, version: int) -> str:
        return self.arn("sagemaker", f"model-package/{self.model_group(model)}/{version}")

    # Endpoints and the machines around them

    release_machine = _Suffixed("release")  # releases a model once a version is approved
    monitor_machine = _Suffixed("monitor")
    release_rule = _Suffixed("approved")
    monitor_rule = _Suffixed("monitor")

    @property
    def release_machine_arn(self) -> str:
        return self.arn("states", f"stateMachine:{self.release_machine}")

    def endpoint(self, model: Model) -> str:
        return f"{self.prefix}-{short(model, limits.ENDPOINT_NAME - len(self.prefix) - 1)}"

    def endpoint_arn(self, model: Model) -> str:
        return self.arn("sagemaker", f"endpoint/{self.endpoint(model)}".lower())  # in lower case, whatever the name

    def of_endpoint(self, model: Model) -> str:
        """The beginning of the names of an endpoint's models and configs; 12 digits of a hash follow."""
        return f"{self.endpoint(model)[: limits.ENDPOINT_NAME - 13].rstrip('-')}-"

    def alarm_of(self, model: Model, on: str) -> str:
        """The alarm that rolls a release back; `on` is errors or latency."""
        return f"{self.endpoint(model)}-{on}"

    def scaled(self, model: Model) -> str:
        """The ResourceId of the endpoint's instances in Application Auto Scaling."""
        return f"endpoint/{self.endpoint(model)}/variant/{VARIANT}"

    @staticmethod
    def captured(model: Model) -> str:
        """The folder in the work bucket with captured requests and answers."""
        return f"captured/{model.name}/"

    @staticmethod
    def pointer(model: Model) -> str:
        """The object in the work bucket that says which model the endpoint serves; the machine writes it."""
        return f"endpoints/{model.name}.json"

    # Trigger and monitoring

    function = _Suffixed("start")
    tell_function = _Suffixed("tell-failure")
    # For uploads that start no run, and failures that could not be mailed: renaming it would create another queue.
    queue = _Suffixed("start-failed")
    upload_rule = _Suffixed("uploaded")
    rule = _Suffixed("failed")
    alarm = _Suffixed("start-failed")

    def log_group(self, part: str) -> str:
        groups = {
            "function": "/aws/lambda/{}-start",
            "tell": "/aws/lambda/{}-tell-failure",
            "machine": "/aws/vendedlogs/states/{}",
            "build": "/aws/codebuild/{}",
            "image": "/aws/codebuild/{}-image",
        }
        return groups[part].format(self.prefix)

    def stack(self, part: str) -> str:
        """The stack of a part: base, pipeline or cicd. The part comes last, so no two pipelines share a stack."""
        return f"{self.prefix}-{part}"

    image_build = _Suffixed("image")  # the CodeBuild project that builds images in runs

    build = _Suffixed("cicd")  # the CodeBuild project and the CodePipeline
    check = _Suffixed("cicd-check")  # the CodeBuild project that runs the tests, without permission to deploy
    push_rule = _Suffixed("cicd-push")
    build_failed_rule = _Suffixed("cicd-failed")

    @property
    def build_pipeline_arn(self) -> str:
        return self.arn("codepipeline", self.build)

    @property
    def artifacts(self) -> str:
        """The folder in the work bucket that CodePipeline uses: the first 20 characters of its own name."""
        return self.build[:20]

    @cached_property
    def console(self) -> str:
        """The console's address of an execution, up to its ARN; empty if it is not known."""
        host = CONSOLES.get(self.partition.name)
        region = self.config.region
        return f"https://{region}.{host}/states/home?region={region}#/v2/executions/details/" if host else ""


def short(model: Model, most: int = SHORT) -> str:
    """The model's name for other names: a long one is truncated and made unique by a hash."""
    text = re.sub(r"[^A-Za-z0-9]+", "-", model.name).strip("-")
    if len(text) <= most:
        return text
    digest = hashlib.sha256(model.name.encode()).hexdigest()[:6]
    return f"{text[: most - 7].rstrip('-')}-{digest}"
