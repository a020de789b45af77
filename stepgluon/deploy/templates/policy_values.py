"""What the placeholders in policy/*.json stand for in one pipeline; policy/README.md explains them."""

from __future__ import annotations

from stepgluon.config.cicd_schema import CicdSource
from stepgluon.names import PROMOTED, PROMOTED_PARTITIONS, VARIANT, Names
from stepgluon.programs import all_scripts, answers, builds_in_runs, builds_of, program_of, transforms

FOLDERS = 20
APPROVED_GROUPS = 5
RULES = ("upload_rule", "rule", "push_rule", "build_failed_rule")
ROLES = ("job", "machine", "trigger", "tell", "build", "check", "image", "pipeline", "start")
SCALING_ROLE = (
    "sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
SCALING_ACTIONS = ("DescribeEndpointConfig", "UpdateEndpointWeightsAndCapacities")  # of who registers a target
TRANSFORM_MAKERS = ("CreateModel", "CreateTransformJob")
ENDPOINT_MAKERS = ("CreateEndpoint", "CreateEndpointConfig", "CreateModel")


def values_of(names: Names) -> dict[str, str | list[str]]:
    config = names.config
    network, key = config.network, config.encryption.kms_key
    groups = network.security_groups if network.subnets else []
    return {
        "partition": names.partition.name,
        "dns_suffix": names.partition.dns_suffix,
        "region": config.region,
        "account": config.account,
        "prefix": names.prefix,
        "raw_bucket": names.raw_bucket,
        "work_bucket": names.work_bucket,
        "topic_arn": names.topic_arn,
        "queue_arn": names.arn("sqs", names.queue),
        "alarm_arn": names.arn("cloudwatch", f"alarm:{names.alarm}"),
        "machine_arn": names.machine_arn,
        "function_arn": names.function_arn(names.function),
        "tell_function_arn": names.function_arn(names.tell_function),
        "boundary_arn": names.boundary_arn,
        "image_build_arn": names.arn("codebuild", f"project/{names.image_build}"),
        "build_arn": names.arn("codebuild", f"project/{names.build}"),
        "check_arn": names.arn("codebuild", f"project/{names.check}"),
        "build_pipeline_arn": names.build_pipeline_arn,
        **{f"{rule}_arn": names.rule_arn(getattr(names, rule)) for rule in RULES},
        **{f"{log}_log_arn": names.log_arn(log) for log in ("function", "tell", "machine", "build")},
        **{f"{part}_role_arn": names.role_arn(part) for part in ROLES},
        "artifacts": names.artifacts,
        **_sources(names),
        **_programs(names),
        **_registry(names),
        **_endpoints(names),
        **_other_machines(names),
        **_groups(names),
        **_builds(names),
        **_tunings(names),
        "any_log": ["*"] if config.log_runs else [],
        "kms_key": [key] if key else [],
        "mail_keys": [] if key else [names.arn("kms", "key/*")],
        "default_models": _default_models(names),
        "subnets": [names.arn("ec2", f"subnet/{subnet}") for subnet in network.subnets],
        "security_groups": [names.arn("ec2", f"security-group/{group}") for group in groups],
        "network_interfaces": [names.arn("ec2", "network-interface/*")] if network.subnets else [],
        "network_region": [config.region] if network.subnets else [],
    }


def _programs(names: Names) -> dict[str, list[str]]:
    """What the config's programs need; and all our repositories, because a promoted model may be of any program."""
    models, prefix = names.config.models, names.prefix
    asks = any(transforms(names.config, model) for model in models)
    of_rows = [model for model in models if not program_of(model).files]
    tested, checked = any(map(answers, of_rows)), any(transforms(names.config, model) for model in of_rows)
    steps = ["score"] * any(program_of(model).scoring_image for model in models) + ["check"] * checked
    steps += ["monitor"] * bool(names.config.monitored)
    asked = ["test"] * tested + ["predict"] * asks
    logs, streams = "log-group:/aws/sagemaker", [f"{prefix}-{step}-*" for step in asked]
    predicted = not all(transforms(names.config, model) for model in models)  # by a job that reads the model's folder
    read = ["*"] if predicted else ["evaluation.json", "model.tar.gz", *["manifest.json"] * checked]
    others = {names.training_image(model) for model in models if not program_of(model).training_image}
    return {
        "repositories": [
            names.arn("ecr", f"repository/{names.repository(image)}")
            for image in [*all_scripts(), *builds_of(names.config)]
        ],
        "aws_images": sorted({names.repository_arn(image) for image in others}),
        "score_jobs": [names.arn("sagemaker", f"processing-job/{prefix}-{step}-*") for step in steps],
        "score_logs": [names.arn("logs", f"{logs}/ProcessingJobs:log-stream:{prefix}-{step}-*") for step in steps],
        "model_files": [names.bucket_arn(f"{names.work_bucket}/models/*/output/model/{file}") for file in read],
        "archives": [names.bucket_arn(f"{names.work_bucket}/models/*/output/model.tar.gz")] if "score" in steps else [],
        "answers": [names.bucket_arn(f"{names.work_bucket}/models/*/output/answers/*")] if tested else [],
        "create_transforms": [f"sagemaker:{action}" for action in TRANSFORM_MAKERS if asks],
        "tag_transforms": [action for action in TRANSFORM_MAKERS if asks],
        "created_models": [names.arn("sagemaker", f"model/{prefix}-model-*")] if asks else [],
        "transform_jobs": [names.arn("sagemaker", f"transform-job/{stream}") for stream in streams],
        "transform_logs": [names.arn("logs", f"{logs}/TransformJobs:log-stream:{stream}") for stream in streams],
        "transform_log_group": [names.arn("logs", f"{logs}/TransformJobs:*")] if asks else [],
        "transform_metrics": ["/aws/sagemaker/TransformJobs"] if asks else [],
        "transform_rule": [names.rule_arn("StepFunctionsGetEventsForSageMakerTransformJobsRule")] if asks else [],
    }


def _registry(names: Names) -> dict[str, list[str]]:
    """The groups of models' versions: all, and those in which the state machine may make versions that wait for an
    approval, or approved ones.

    If only some models have `approval: automatic`, theirs are named one by one, as far as a policy has room for them.
    """
    models = [model for model in names.config.models if model.register]
    approved = [model for model in models if model.register and model.register.approval == "automatic"]

    def versions(groups: list[str]) -> list[str]:
        kinds = ("model-package-group/{}", "model-package/{}/*")
        return [names.arn("sagemaker", kind.format(group)) for group in groups for kind in kinds]

    every = versions([f"{names.prefix}-model-*"] if models else [])
    named = len(approved) < len(models) and len(approved) <= APPROVED_GROUPS
    return {
        "model_groups": every,
        "waiting_groups": every if len(approved) < len(models) else [],
        "approved_groups": versions([names.model_group(model) for model in approved]) if named else every,
    }


def _endpoints(names: Names) -> dict[str, list[str]]:
    """What the models with `serve` need: endpoints with their configs and models, scaling, alarms of releases."""
    served = [model.serve for model in names.config.models if model.serve]
    scales, captures = any(serve.scale for serve in served), any(serve.capture for serve in served)
    kinds = [names.arn("sagemaker", f"{kind}/{names.prefix}-*") for kind in ("endpoint", "endpoint-config", "model")]
    kinds = kinds if served else []
    finds = ("ListEndpoints", "ListEndpointConfigs", "ListModels") if served else ()
    alarms = ("errors", "latency") if any(serve.release for serve in served) else ()
    targets = [names.arn("application-autoscaling", "scalable-target/*")] if served else []
    logs, work = f"log-group:/aws/sagemaker/Endpoints/{names.prefix}-*", names.work_bucket
    scaling = f"alarm:TargetTracking-endpoint/{names.prefix}-*/variant/{VARIANT}-*"
    return {
        "create_endpoints": [f"sagemaker:{action}" for action in ENDPOINT_MAKERS if served],
        "tag_endpoints": [action for action in ENDPOINT_MAKERS if served],
        "endpoints": kinds,
        "changed_endpoints": kinds[:2],
        "any_endpoint": [names.arn("sagemaker", f"*/{names.prefix}-*")] if served else [],
        "find_endpoints": [f"sagemaker:{action}" for action in finds],
        "pointers": [names.bucket_arn(f"{work}/endpoints/*.json")] if served else [],
        "captured_rows": [names.bucket_arn(f"{work}/captured/*")] if captures else [],
        "endpoint_logs": [names.arn("logs", f"{logs}:*")] if served else [],
        "endpoint_streams": [names.arn("logs", f"{logs}:log-stream:*")] if served else [],
        "endpoint_metrics": ["/aws/sagemaker/Endpoints"] if served else [],
        "endpoint_alarms": [names.arn("cloudwatch", f"alarm:{names.prefix}-*-{kind}") for kind in alarms],
        "scalable_targets": targets,
        "scaled_targets": targets if scales else [],
        "scale_endpoints": [f"sagemaker:{action}" for action in SCALING_ACTIONS if scales],
        "scaling_alarms": [names.arn("cloudwatch", scaling)] if scales else [],
        "scaling_role": [names.arn("iam", f"role/aws-service-role/{SCALING_ROLE}", region="")] if scales else [],
    }


def _other_machines(names: Names) -> dict[str, list[str]]:
    """The machines that release approved versions and look for drift, with the rules that start them.

    All machines have one role, in which the rules start them; those of drift also start runs.
    """
    config, work = names.config, names.work_bucket
    releases, monitors = bool(config.served_after_approval), bool(config.monitored)
    machines = [names.release_machine] * releases + [names.monitor_machine] * monitors
    rules = [names.release_rule] * releases + [names.monitor_rule] * monitors
    retrains = any(model.monitor and model.monitor.then == "retrain" for model in config.monitored)
    s3 = names.bucket_arn
    return {
        "other_machines": [names.arn("states", f"stateMachine:{machine}") for machine in machines],
        "other_runs": [names.arn("states", f"execution:{machine}:*") for machine in machines],
        "other_rules": [names.rule_arn(rule) for rule in rules],
        "rules_caller": ["events.amazonaws.com"] if machines else [],
        "released_versions": [names.arn("sagemaker", f"model-package/{names.prefix}-model-*/*")] * releases,
        "pointers_read": [s3(f"{work}/endpoints/*.json")] * monitors,
        "drifts": [s3(f"{work}/monitor/*/result.json")] * monitors,
        "drifts_marked": [s3(f"{work}/monitor/*/retrained/*.json")] * retrains,
        "rows_chosen": [s3(f"{work}/monitor/*/captured.manifest")] * monitors,
        "compared_bucket": [s3(names.raw_bucket)] * monitors,
        "compared_rows": [s3(f"{work}/captured/*")] * monitors,
        "comparisons": [s3(f"{work}/monitor/*")] * monitors,
        "retrained": [names.machine_arn] * retrains,
        "retrained_runs": [names.arn("states", f"execution:{names.machine}:*")] * retrains,
    }


def _groups(names: Names) -> dict[str, list[str]]:
    """What the machine reads and writes, besides what every run has; and with groups of models, their executions.

    A Distributed Map starts executions of its own machine, whose ARNs have its label between the machine's name and
    theirs: "IAM policies for using Distributed Map states" in Step Functions' Developer Guide.
    """
    if names.config.partitioned is None:
        reads, writes, found = ["models/*/metrics.json", PROMOTED], ["runs/*/verdicts.json"], False
    else:
        reads = ["models/groups/*/group.json", "predictions/groups/*/result.json", "runs/*/result/headline.json"]
        reads += ["runs/*/prepared/groups.json", "runs/*/prepared/groups/*/group.json"]
        reads += ["runs/*/groups/*/choices.json"] * (names.config.fallback.when == "any")
        writes, found = ["runs/*/groups/*", "runs/*/todo/*"], True

    def objects(keys: list[str]) -> list[str]:
        return [names.bucket_arn(f"{names.work_bucket}/{key}") for key in keys]

    return {
        "machine_reads": objects(reads),
        "machine_writes": objects(writes),
        "checkpoints": objects(["models/groups/*/checkpoints/*"] * found),
        "promoted_partitions": objects([PROMOTED_PARTITIONS] * found),
        "grouped_machine": [names.machine_arn] * found,
        "group_machines": [f"{names.machine_arn}/*"] * found,
        "map_runs": [names.arn("states", f"mapRun:{names.machine}/*")] * found,
        "grouped_runs": [names.arn("states", f"execution:{names.machine}/*:*")] * found,
        "change_groups": ["states:RedriveExecution", "states:StopExecution"] * found,
    }


def _tunings(names: Names) -> dict[str, list[str]]:
    """What the models with `tune` need; their trainings have the names of other trainings."""
    see, job = "sagemaker:DescribeHyperParameterTuningJob", "CreateHyperParameterTuningJob"
    listed = [see, "sagemaker:ListTrainingJobsForHyperParameterTuningJob"]
    found = {
        "tunings": [names.arn("sagemaker", f"hyper-parameter-tuning-job/{names.prefix}-train-*")],
        "trials": [names.bucket_arn(f"{names.work_bucket}/models/*/trials.json")],
        "tuning_rule": [names.rule_arn("StepFunctionsGetEventsForSageMakerTuningJobsRule")],
        "create_tunings": [f"sagemaker:{job}"],
        "tag_tunings": [job],
        "see_tunings": [see],
        "list_tunings": listed,
        "follow_tunings": [*listed, "sagemaker:StopHyperParameterTuningJob"],
    }
    tuned = any(model.tune for model in names.config.models)
    return found if tuned else {name: [] for name in found}


def _builds(names: Names) -> dict[str, list[str]]:
    """Of the images that runs build: their repositories, and the project with its role and log."""
    images = builds_in_runs(names.config)
    built = bool(images)
    return {
        "built_repositories": [names.arn("ecr", f"repository/{names.repository(image)}") for image in images],
        "built_sources": [names.bucket_arn(f"{names.work_bucket}/builds/*")] if built else [],
        "image_project": [names.arn("codebuild", f"project/{names.image_build}")] if built else [],
        "image_rule": [names.rule_arn("StepFunctionsGetEventForCodeBuildStartBuildRule")] if built else [],
        "image_log": [f"{names.log_arn('image')}:*"] if built else [],
        "image_group": [names.log_arn("image"), f"{names.log_arn('image')}:*"] if built else [],
        "image_role": [names.role_arn("image")] if built else [],
        "any_login": ["*"] if built else [],
    }


def _sources(names: Names) -> dict[str, list[str]]:
    """The source of pushes: one of the three has a value."""
    source = names.config.cicd.source if names.config.cicd else CicdSource()
    bucket = [names.bucket_arn(source.s3.bucket)] if source.s3 else []
    return {
        "connection": connection_arns(source.connection.arn) if source.connection else [],
        "codecommit": [names.arn("codecommit", source.codecommit.name)] if source.codecommit else [],
        "zip_bucket": list(bucket),
        "zip": [f"{bucket[0]}/{source.s3.key}"] if source.s3 else [],
    }


def connection_arns(arn: str) -> list[str]:
    """A connection's ARN with its service's new and old name: IAM requires the same name as in the action."""
    _, partition, _, rest = arn.split(":", 3)
    return [f"arn:{partition}:{service}:{rest}" for service in ("codeconnections", "codestar-connections")]


def _default_models(names: Names) -> list[str]:
    """The top-level folders, in the work bucket, of the config's default models.

    A policy has room for only some folders; beyond that it allows the whole bucket.
    """
    config, bucket = names.config, f"s3://{names.work_bucket}/"
    uris = {config.default_model_of(model) for model in config.models}
    keys = [uri.removeprefix(bucket).split("/") for uri in uris if uri.startswith(bucket)]
    # A prediction needs nothing of runs except models.
    folders = sorted({"/".join(key[:3] if key[0] == "runs" else key[:1]) for key in keys})
    places = [f"{names.work_bucket}/{folder}/*" for folder in folders]
    return [names.bucket_arn(place) for place in (places if len(places) <= FOLDERS else [f"{names.work_bucket}/*"])]
