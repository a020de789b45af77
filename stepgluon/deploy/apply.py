"""Deploys a Release to an account, in stages that are each safe to repeat.

    check          the credentials belong to the config's account, and the account is large enough
    base           the stack with both buckets and the image repositories; if not deployed, it must match the release
    images         build and push those whose tag ECR lacks; their digests are the pipeline's parameters
    objects        upload definition, trigger and config to the work bucket, under keys with their hash
    pipeline       the stack with everything else; if it fails, the previous machine stays live
    cicd           the stack that does all this on a push, if the config has `cicd`
    look           what is left to do: mails to confirm, insufficient quotas, an alias that points at an old version

After an interruption, the same command continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import Door, answer
from stepgluon.deploy.account_checks import check_concurrency, check_identity, short_quotas
from stepgluon.deploy.images import Builder, digest_in_ecr
from stepgluon.deploy.stacks import Agree, Desired, Stacks, always
from stepgluon.deploy.templates.parts import tag_map
from stepgluon.errors import SurroundingsError

if TYPE_CHECKING:
    from stepgluon.deploy.release import Release, Stored, Template
    from stepgluon.names import Names

PARTS = ("base", "pipeline", "cicd")
Tell = Callable[[str], None]
Wait = Callable[[float], None]


class BaseOutdated(SurroundingsError):
    """The base stack has another version or config, and only a person may change it."""


@dataclass(frozen=True)
class Deployed:
    changed: tuple[str, ...]  # the changed stacks
    digests: dict[str, str]  # of the images, by parameter
    unconfirmed: tuple[str, ...] = ()  # addresses that get no mail yet
    remarks: tuple[str, ...] = ()


def deploy(
    release: Release,
    door: Door,
    builder: Builder,
    tell: Tell,
    wait: Wait,
    only: Collection[str] = PARTS,
    agree: Agree = always,
) -> Deployed:
    """Bring the account to the release's state: `only` some of its parts, and only changes that `agree` accepts."""
    names, stacks = release.names, Stacks(door, tell, wait, agree)
    changed: list[str] = []
    digests: dict[str, str] = {}

    def bring(template: Template) -> None:
        if stacks.apply(desired(names, template, digests if template.part == "pipeline" else {})):
            changed.append(template.stack)
        else:
            tell(f"{template.stack} is up to date")

    check_identity(names, door)
    if "pipeline" in only:
        check_concurrency(names, door, reserved(release.pipeline))
    if "base" in only:
        bring(release.base)
    if "pipeline" in only:
        _need_base(release, stacks)
        outdated = "" if "base" in only else outdated_base(release, stacks)
        if outdated:
            raise BaseOutdated(outdated)
        digests.update(bring_images(release, door, builder, tell))
        bring_objects(release, door, tell)
        bring(release.pipeline)
    if "cicd" in only and release.cicd:
        _need_base(release, stacks)
        bring(release.cicd)
    if "pipeline" not in only:
        return Deployed(tuple(changed), digests)
    remarks = short_quotas(names.config, door) if release.pipeline.stack in changed else ()
    remarks += alias_is_behind(names, door) + left_cicd(release, stacks)
    return Deployed(tuple(changed), digests, unconfirmed(names, door), remarks)


def desired(names: Names, template: Template, parameters: dict[str, str]) -> Desired:
    return Desired(template.stack, template.text, parameters, tag_map(names))


def reserved(template: Template) -> int:
    """The executions that the functions reserve for themselves."""
    import json

    resources = json.loads(template.text)["Resources"].values()
    return sum(resource.get("Properties", {}).get("ReservedConcurrentExecutions", 0) for resource in resources)


def _need_base(release: Release, stacks: Stacks) -> None:
    if stacks.find(release.base.stack) is None:
        raise SurroundingsError(f"{release.base.stack} is not there yet (`{pipeline_py('deploy --only base')}` first)")


def outdated_base(release: Release, stacks: Stacks) -> str:
    """What a person must do first, if the base stack differs from the release's; the build may not change it.

    It contains the roles' boundary: with an old one, the new pipeline might be deployed, and refused at its first run.
    """
    differing = stacks.differing(desired(release.names, release.base, {}))
    if not differing:
        return ""
    moved = "; docs/decisions/0060 says how the raw bucket moves" if "RawBucket" in differing else ""
    return (
        f"{release.base.stack} is not as this config and this version of stepgluon need it: {', '.join(differing)} (a "
        f"person with the rights of policy/deployer.json runs `{pipeline_py('deploy --only base')}`; then this "
        f"again{moved})"
    )


def left_cicd(release: Release, stacks: Stacks) -> tuple[str, ...]:
    """A remark if pushes are still deployed although `cicd` is no longer in the config."""
    name = release.names.stack("cicd")
    if release.cicd or not stacks.find(name):
        return ()
    away = pipeline_py("destroy --only cicd")
    return (f"{name} still deploys each push, and the config has no `cicd` (`{away}` takes it away)",)


def bring_images(release: Release, door: Door, builder: Builder, tell: Tell) -> dict[str, str]:
    """The digest of each image by its parameter; builds and pushes those that ECR lacks."""
    digests = {}
    for image in release.images:
        digest = digest_in_ecr(door, image)
        if digest:
            where = "is built by the first run that needs it" if image.in_runs else "is there"
            tell(f"image {image.repository}:{image.tag} {where}")
        else:
            tell(f"building and pushing the image {image.repository}:{image.tag}")
            digest = builder.push(image)
        digests[image.parameter] = digest
    return digests


def bring_objects(release: Release, door: Door, tell: Tell) -> None:
    """Upload missing objects; a key contains its content's hash, so existing ones are correct."""
    for stored in release.objects:
        if not is_stored(release.names, door, stored):
            tell(f"uploading s3://{release.names.work_bucket}/{stored.key}")
            door.client("s3").put_object(**_place(release.names, stored), Body=stored.body)


def is_stored(names: Names, door: Door, stored: Stored) -> bool:
    found = answer(lambda: door.client("s3").head_object(**_place(names, stored)), "404", "NoSuchKey", "NoSuchBucket")
    return found is not None


def _place(names: Names, stored: Stored) -> dict[str, str]:
    # Never upload to somebody else's bucket of this name.
    return {"Bucket": names.work_bucket, "Key": stored.key, "ExpectedBucketOwner": names.config.account}


def unconfirmed(names: Names, door: Door) -> tuple[str, ...]:
    """The addresses in `notify` whose subscription is unconfirmed or cancelled."""
    pages = door.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=names.topic_arn)
    confirmed = {
        subscription["Endpoint"]
        for page in pages
        for subscription in page["Subscriptions"]
        if subscription["SubscriptionArn"].startswith("arn:")
    }
    return tuple(address for address in names.config.notify if address not in confirmed)


def alias_is_behind(names: Names, door: Door) -> tuple[str, ...]:
    """A remark if `rollback` has moved the alias away from the stack's latest version."""
    live = leads_to(door.client("stepfunctions"), names)
    if not live:
        return ()
    resource = door.client("cloudformation").describe_stack_resource(
        StackName=names.stack("pipeline"), LogicalResourceId="MachineVersion"
    )
    newest = str(resource["StackResourceDetail"].get("PhysicalResourceId", "")).rpartition(":")[2]
    if live == newest:
        return ()
    return (
        f"version {live} is live, to which `rollback` went, and not version {newest}, which was deployed last "
        f"(`{pipeline_py(f'rollback --to {newest}')}` makes that one live; so does a deploy that changes the workflow)",
    )


def leads_to(stepfunctions: Any, names: Names) -> str:
    """The number of the version that the alias points at; empty if there is no alias yet."""
    alias = answer(
        lambda: stepfunctions.describe_state_machine_alias(stateMachineAliasArn=names.live),
        *("ResourceNotFound", "ResourceNotFoundException", "StateMachineDoesNotExist"),
    )
    return str(alias["routingConfiguration"][0]["stateMachineVersionArn"]).rpartition(":")[2] if alias else ""
