"""Checks of the account: quotas, concurrency, key and images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stepgluon.aws import Door
from stepgluon.deploy.account_checks import check_concurrency, check_key, sagemaker_quotas, wanted_instances
from stepgluon.deploy.apply import reserved
from stepgluon.deploy.images import digest_in_ecr
from stepgluon.verify.check import Check

if TYPE_CHECKING:
    from stepgluon.config.schema import PipelineConfig
    from stepgluon.deploy.release import Release
    from stepgluon.names import Names


def quotas(config: PipelineConfig, door: Door) -> Iterator[Check]:
    """Check each instance type; AWS lists those that a region offers, with the account's values over the defaults."""
    found = sagemaker_quotas(door, "list_aws_default_service_quotas", "list_service_quotas")
    for name, count in sorted(wanted_instances(config).items()):
        allowed, line = found.get(name), f"quota of {name}"
        more = "ask for more in Service Quotas, Amazon SageMaker"
        if allowed is None:
            yield Check(line, "failed", f"{config.region} does not list it", "choose another instance type or region")
        elif allowed < 1:
            yield Check(line, "failed", f"it is 0, and a run uses {count} at once: no such job can run", more)
        elif allowed < count:
            yield Check(line, "passed", f"{allowed:.0f}; a run uses {count} at once, so its jobs wait", more)
        else:
            yield Check(line, "passed", f"{allowed:.0f}; a run uses {count} at once")


def concurrency(release: Release, door: Door) -> Iterator[Check]:
    free = door.client("lambda").get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    wanted = reserved(release.pipeline)
    check_concurrency(release.names, door, wanted)
    yield Check("Lambda concurrency", "passed", f"{free} executions are unreserved; the pipeline reserves {wanted}")


def key(names: Names, door: Door) -> Iterator[Check]:
    if key := names.config.encryption.kms_key:
        door.client("kms").describe_key(KeyId=key)
        check_key(names, door)
        yield Check("KMS key", "passed", "it is enabled")


def images(release: Release, door: Door, digests: dict[str, str]) -> Iterator[Check]:
    """Check the images; `digests` gets those in ECR, by the template's parameter."""
    for image in release.images:
        digest, name = digest_in_ecr(door, image), f"image {image.repository}:{image.tag}"
        if image.in_runs:
            digests[image.parameter] = digest
            yield Check(name, "not checked", "a run builds it, unless it is in ECR")
        elif digest:
            digests[image.parameter] = digest
            yield Check(name, "passed", f"ECR has it as {digest}")
        else:
            yield Check(name, "not checked", "it is not in ECR yet; deploy builds and pushes it")
