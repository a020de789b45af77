"""Whole pipelines, with the policies that are attached and every call that is made: one for each golden config."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from golden import CASES, config_of, environment_of
from made_once import made_once
from policies.calls import (
    Asked,
    asked,
    asked_around,
    job_calls,
    machine_calls,
    service_calls,
    tell_calls,
    topic_key,
    trigger_calls,
)
from policies.neighbours import kind, neighbours
from policies.reference import allowed

from localaws.iam.policy_evaluation import Call, Policies, Policy
from pipeline import workflow
from stepgluon.config.load import load, loads
from stepgluon.config.source import LoadedConfig
from stepgluon.deploy.templates.policies import FOLDER, policy
from stepgluon.names import Names
from stepgluon.workflow.compile import build, machines

ROLES = ("job", "machine", "trigger", "tell")
# Default models in two folders, with and without a slash, and a name that is as long as a name may be.
EXTRA = {
    "default-models": """
name: a-name-of-20-letters
account: "123456789012"
region: ap-northeast-1
notify: [ml-team@example.com]
models:
  - {name: a, label: y, default_model: "s3://a-name-of-20-letters-work-123456789012-ap-northeast-1/models/v1"}
  - {name: b, label: z, default_model: "s3://a-name-of-20-letters-work-123456789012-ap-northeast-1/bought/b/"}
  - {name: c, label: w}
fallback: {threshold: 1}
encryption: {kms_key: "arn:aws:kms:ap-northeast-1:123456789012:key/11111111-2222-3333-4444-555555555555"}
network: {subnets: [subnet-0123abcd], security_groups: [sg-0123abcd]}
""",
    "one-approved-at-once": """
name: shop
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models:
  - {name: price, label: y, register: {approval: automatic}}
  - {name: price-2, label: z, register: {}}
fallback: {threshold: 1}
""",
}
ALL = (*CASES, *EXTRA)
# Of whoever deploys alone.
SERVED = """
name: shop
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models:
  - name: price
    label: y
    serve:
      scale: {max: 4, invocations: 100}
      release: {canary: 10%, roll_back_on: [errors, latency > 500ms]}
      capture: 20%
    monitor: {every: 12h, then: retrain}
  - {name: churn, label: z, serve: {serverless: {memory_gb: 2}}}
  - {name: size, label: w, register: {approval: manual}, serve: {}}
fallback: {threshold: 1}
"""


@dataclass(frozen=True)
class Deployed:
    loaded: LoadedConfig

    @cached_property
    def names(self) -> Names:
        return Names(self.loaded.config)

    @cached_property
    def asked(self) -> list[Asked]:
        config = self.loaded.config
        text = build(config, workflow).text  # test_golden.py checks it
        others = {name: build(config, other, name).text for name, other in machines(config, workflow).items()}

        def found() -> list[Asked]:
            return asked(self.names, text) + asked_around(self.names, others)

        key = json.dumps([text, others])
        return [(of, told) for of, told in made_once("asked", key, found)]

    @cached_property
    def calls(self) -> dict[str, list[Call]]:
        """Each different call once, by the role that makes it."""
        made = {
            "job": job_calls(self.names, self.asked),
            "machine": machine_calls(self.names, self.asked),
            "trigger": trigger_calls(self.names),
            "tell": tell_calls(self.names, self.asked),
        }
        return {role: _different(list(calls)) for role, calls in made.items()}

    def neighbours(self, role: str) -> list[tuple[str, Call]]:
        """Of its calls, those that it must not be allowed, each with the reason."""
        calls = self.calls[role]
        own = {
            action: frozenset(kind(call.resource) for call in calls if call.action == action)
            for action in {call.action for call in calls}
        }
        made = set(calls)
        return [
            (why, near)
            for call in calls
            for why, near in neighbours(self.names, call, own[call.action])
            if near not in made and not _shares_a_prefix(near, why)
        ]

    @cached_property
    def service_calls(self) -> list[tuple[str, Call]]:
        return list(service_calls(self.names))

    def policy(self, part: str) -> Policy:
        return policy(self.names, part)

    @cached_property
    def attached(self) -> dict[str, Policy]:
        """Every policy by its part, as it is in the repository; policy() has it as a test has changed it."""
        return {file.stem: self.policy(file.stem) for file in FOLDER.glob("*.json")}

    def resource_policy(self, call: Call) -> Policy | None:
        """Of the bucket, topic, queue or key that the call is about, where it has one."""
        names = self.names
        service = call.action.partition(":")[0]
        if service == "kms":
            own = call.resource == topic_key(names) and not names.config.encryption.kms_key
            return self.attached["key"] if own else _account_decides(call.principal)
        bucket = call.resource.partition(":::")[2].partition("/")[0]
        part = {names.raw_bucket: "raw-bucket", names.work_bucket: "work-bucket"}.get(bucket)
        part = part or {names.topic_arn: "topic", names.arn("sqs", names.queue): "queue"}.get(call.resource)
        return self.attached[part] if part else None

    def allows(self, call: Call, identity: Policy, boundary: Policy | None) -> bool:
        return allowed(call, Policies((identity,), boundary, self.resource_policy(call)))


def _shares_a_prefix(call: Call, why: str) -> bool:
    """Names of penguins-train begin like those of the trainings of penguins, and neither log streams have tags nor does
    ListTags look at them. Logs of endpoints and alarms begin like those of every penguins-*, and have none either.
    """
    if any(mark in call.resource for mark in ("/aws/sagemaker/Endpoints/", ":alarm:")):
        return why.endswith(("-prod", "-train"))
    return (":log-stream:" in call.resource or call.action == "sagemaker:ListTags") and why.endswith("-train")


def _account_decides(arn: str) -> Policy:
    """The policy that a key has unless its owner writes another: its own account decides."""
    partition, account = arn.split(":")[1], arn.split(":")[4]
    root = {"AWS": f"arn:{partition}:iam::{account}:root"}
    return {"Statement": [{"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}]}


@cache
def deployed(case: str) -> Deployed:
    if text := {**EXTRA, "served": SERVED}.get(case):
        return Deployed(loads(text, "config.yml", None, {}))
    return Deployed(load(config_of(case), environment_of(case), {}))


def _different(calls: list[Call]) -> list[Call]:
    found: dict[Any, Call] = {}
    for call in calls:
        found.setdefault((call.action, call.resource, tuple(sorted(call.context.items()))), call)
    return list(found.values())
