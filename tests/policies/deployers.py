"""Every call of whoever deploys: the commands' and the builds' own, and those of CloudFormation in their name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from policies.changes import Document
from policies.commands import build_calls, check_calls, image_calls, operator_calls, pipeline_calls, start_calls
from policies.deployed import deployed
from policies.handlers import stack_calls
from policies.neighbours import ACCOUNT, elsewhere, kind, objects, of_another_pipeline, untagged, with_context

from localaws.iam.policy_evaluation import Call, Value, listed
from stepgluon.deploy.templates.base import base
from stepgluon.deploy.templates.cicd import cicd
from stepgluon.deploy.templates.pipeline import pipeline
from stepgluon.names import Names
from stepgluon.programs import builds_in_runs

# With a connection, CodeCommit and a zip; with a key of the config and without; in three partitions.
CASES = ("everything", "cn-northwest-1", "us-gov-west-1", "registered", "built", "container", "tuned", "served")
CASES += ("partitioned",)
PARTS = ("build", "check", "deployer", "image", "pipeline", "start")
KEYS = (
    "config/0123456789abcdef/config.json",
    "definitions/0123456789abcdef.asl.json",
    "trigger/0123456789abcdef.zip",
    "tell/0123456789abcdef.zip",
)

OF_ALARMS = ["DeleteAlarms", "DescribeAlarms", "ListTagsForResource", "PutMetricAlarm", "TagResource", "UntagResource"]
ALARMS = "names of alarms of releases begin like those of penguins-prod's, and a policy has no room for each"
# What is about another's, and why it is granted all the same: by (part, action).
SHARED = {
    (
        "deployer",
        "logs:GetLogEvents",
    ): "all jobs of an account share two logs, and FilterLogEvents tells of a whole one",
    ("deployer", "sagemaker:ListTags"): "the tags of endpoints say whose they are; AWS documents no condition on them",
    ("deployer", "application-autoscaling:DeregisterScalableTarget"): "the ARN of a target does not name its endpoint",
    **{(part, f"cloudwatch:{action}"): ALARMS for part in ("build", "deployer") for action in OF_ALARMS},
    ("build", "s3:GetObjectVersion"): "of our own configs, whose last versions it reads and writes",
}

# Of what is made later only the beginning of its name is known, as of the objects of a bucket; and no policy grows with
# the models, which have a group each.
MADE_LATER = [":stack/", ":execution:", ":log-stream:", "-job/", ":key/", "*", "-model-"]
MADE_LATER += [":endpoint/", ":endpoint-config/", ":model/", ":mapRun:"]
MADE_LATER += ["/config/", "/definitions/", "/trigger/", "/tell/", "/Source/", "/builds/", "/june/", "/promoted"]


def templates_of(names: Names) -> dict[str, dict[str, Any]]:
    config = names.config
    needed = {"release": config.served_after_approval, "monitor": config.monitored}
    others = {name: KEYS[1] for name, models in needed.items() if models}
    stacks = {"base": base(names), "pipeline": pipeline(names, *KEYS[1:], others)}
    return {**stacks, "cicd": cicd(names)} if names.config.cicd else stacks


@cache
def calls(case: str, part: str) -> list[Call]:
    return calls_of(deployed(case).names, part)


def calls_of(names: Names, part: str) -> list[Call]:
    stacks = templates_of(names)
    if part == "pipeline":
        return list(pipeline_calls(names, stacks["cicd"])) if "cicd" in stacks else []
    if part == "check":
        return list(check_calls(names))
    if part == "image":
        return list(image_calls(names))
    if part == "start":
        return [] if names.config.cicd and names.config.cicd.source.connection else list(start_calls(names))
    own = stacks.values() if part == "deployer" else [stacks["pipeline"]]
    made = [call for template in own for call in stack_calls(names, part, template)]
    keys = (*KEYS, *(f"builds/{image}/0123.zip" for image in builds_in_runs(names.config)))
    return [*made, *(operator_calls(names) if part == "deployer" else build_calls(names, keys))]


@cache
def places(case: str, part: str) -> list[tuple[str, Call]]:
    return places_of(deployed(case).names, part, calls(case, part))


def places_of(names: Names, part: str, made: list[Call]) -> list[tuple[str, Call]]:
    """The same calls elsewhere, and those that deploy another pipeline; none of them is one of ours."""
    kinds: dict[str, set[tuple[str, str]]] = {}
    for call in made:
        kinds.setdefault(call.action, set()).add(kind(call.resource))
    near = [near for call in made for near in _places(names, part, call, frozenset(kinds[call.action]))]
    if part in ("build", "deployer"):
        near += _of_others(names, part)
    found = {_key(call): (why, call) for why, call in near}
    return [found[key] for key in found.keys() - {_key(call) for call in made}]


def _key(call: Call) -> tuple[str, str, tuple[tuple[str, Value], ...]]:
    return call.action, call.resource, tuple(sorted(call.context.items()))


def _places(names: Names, part: str, call: Call, own: frozenset[tuple[str, str]]) -> Iterator[tuple[str, Call]]:
    """In another region or account, about another pipeline, its tag, or, of the build, another kind of object."""
    if call.resource != "*":
        yield from elsewhere(names, call)
        yield from of_another_pipeline(names, call)
    if not any(mark in call.resource for mark in MADE_LATER):
        yield "a longer name", replace(call, resource=f"{call.resource}x")
    yield from untagged(call)
    if part in ("build", "check") and call.action.startswith("s3:"):
        yield from objects(names, call, own)


def _of_others(names: Names, part: str) -> Iterator[tuple[str, Call]]:
    """Of the same account and region: another environment, and names that begin like ours. They may share our key."""
    for name in (f"{names.prefix}-prod", f"{names.prefix}x", names.prefix[:-1], "another"):
        other = Names(names.config.changed(name=name, environment=None))
        for call in calls_of(other, part):
            if call.resource not in ("*", names.config.encryption.kms_key):
                yield f"{call.why} of {name}", call


@cache
def strangers(case: str, part: str) -> list[Call]:
    """Whatever a wider policy could let in: those of other places, and those that tell IAM something else."""
    others = [near for call in calls(case, part) for near in _told_otherwise(call)]
    return [*(near for _, near in places(case, part)), *others]


def _told_otherwise(call: Call) -> Iterator[Call]:
    changes: dict[str, tuple[Value | None, ...]] = {
        "iam:PermissionsBoundary": (None, f"arn:aws:iam::{ACCOUNT}:policy/another"),
        "iam:PassedToService": ("ec2.amazonaws.com",),
        "kms:ViaService": (None,),
        "application-autoscaling:service-namespace": ("ecs",),
        "aws:CalledVia": (None,),
    }
    for key in call.context.keys() & changes.keys():
        yield from (with_context(call, **{key: value}) for value in changes[key])
    if call.action == "cloudformation:CreateChangeSet":
        yield with_context(call, **{"cloudformation:ImportResourceTypes": ("AWS::KMS::Key",)})


def about(statement: Document, made: Sequence[Call]) -> list[Call]:
    """Those that are the statement's actions."""
    patterns = [pattern_of(action) for action in listed(statement["Action"])]
    return [call for call in made if any(pattern.fullmatch(call.action.lower()) for pattern in patterns)]


@cache
def pattern_of(action: str) -> re.Pattern[str]:
    """Of a placeholder for actions, any."""
    if action.startswith("${"):
        return re.compile(".*")
    return re.compile(re.escape(action.lower()).replace(r"\*", ".*"))
