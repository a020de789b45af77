"""What `pipeline.py verify` asks AWS's policy simulator: derived calls, with placeholders as in policy/."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from policies.calls import RUN
from policies.deployed import ROLES, deployed
from policies.deployers import CASES, PARTS, calls

from localaws.iam.policy_evaluation import Call
from stepgluon.deploy.templates.policy_values import values_of
from stepgluon.names import Names

ALL = (*CASES, "demo", "partitioned-any")
SEVERAL = (
    "kms_key",
    "subnets",
    "security_groups",
    "network_interfaces",
    "connection",
    "codecommit",
    "zip",
    "zip_bucket",
)
Written = tuple[str, str, tuple[tuple[str, Any], ...]]
# Each run, job, model and content has another name, and none matters to a policy.
NAMED = {
    r"-[0-9a-f]{10}-\d-\d-\d": "-0123456789-0-0-0",
    f"{RUN}\\d": RUN,
    r"[0-9a-f]{64}": "fingerprint",
    r"/[0-9a-f]{10}(/|-answers/)": r"/0123456789\1",
    r"config/[0-9a-f]{16}": "config/0123456789abcdef",
    r"((?:models|predictions)/)(?!groups/)[^/]+(/.)": r"\1model\2",
    r"(?<=/groups/g0000/)[0-9a-f]{32}": "fingerprint",
    rf"(promoted/{RUN}/)[^/]+": r"\1model",
    r"(-model-)[^/]+": r"\1model",
    r"(-(?:train|predict)-).+(-0123456789-0-0-0)": r"\1model\2",
    r"(-train-)[^/]+-[0-9a-f]{10}(?=-001-12345678|/algo|$)": r"\1model-0123456789",  # of a tuning
}


def derived() -> dict[str, list[dict[str, Any]]]:
    """By the part of policy/ that decides: a statement for calls that differ only in their action or resource."""
    found = {part: _statements({one for case in ALL for one in _calls(case, part)}) for part in (*ROLES, *PARTS)}
    return {part: statements for part, statements in found.items() if statements}


def _calls(case: str, part: str) -> list[Written]:
    names = deployed(case).names
    if part in PARTS and part != "deployer" and not names.config.cicd:
        return []
    made = deployed(case).calls[part] if part in ROLES else calls(case, part)
    return [_written(names, call) for call in made]


def _written(names: Names, call: Call) -> Written:
    values = values_of(names)
    several = next((f"${{{name}}}" for name in SEVERAL if call.resource in values[name]), "")
    context = {key: _text(names, value) for key, value in call.context.items()}
    return call.action, several or _text(names, call.resource), tuple(sorted(context.items()))


def _text(names: Names, value: Any) -> Any:
    if not isinstance(value, str):
        return tuple(_text(names, one) for one in value)
    config = names.config
    text = value.replace(f"/{names.artifacts}/", "/${artifacts}/").replace(names.prefix, "${prefix}")
    text = text.replace(config.account, "${account}")
    text = text.replace(f".{config.region}.{names.partition.dns_suffix}", ".${region}.${dns_suffix}")
    text = text.replace(config.region, "${region}").replace(f"arn:{names.partition.name}:", "arn:${partition}:")
    for pattern, replacement in NAMED.items():
        text = re.sub(pattern, replacement, text)
    return text


def _statements(made: set[Written]) -> list[dict[str, Any]]:
    actions: dict[Any, set[str]] = defaultdict(set)
    for action, resource, context in made:
        actions[resource, context].add(action)
    resources: dict[Any, set[str]] = defaultdict(set)
    for (resource, context), found in actions.items():
        resources[tuple(sorted(found)), context].add(resource)
    return [
        {"Action": list(of), "Resource": sorted(on), "Context": dict(context)}
        for (of, context), on in sorted(resources.items(), key=repr)
    ]
