"""What `pipeline.py verify` asks AWS's policy simulator: every call of one pipeline, and every neighbour of a call."""

from __future__ import annotations

from policies.deployed import ROLES, Deployed
from policies.deployers import PARTS, SHARED, calls_of, places_of

from localaws.iam.policy_evaluation import Call
from stepgluon.config.source import LoadedConfig

Derived = tuple[list[Call], list[tuple[str, Call]]]


def derived(loaded: LoadedConfig) -> dict[str, Derived]:
    """By the part of policy/ that decides: the calls, and those that it must not allow with the reason."""
    pipeline = Deployed(loaded)
    found: dict[str, Derived] = {role: (pipeline.calls[role], pipeline.neighbours(role)) for role in ROLES}
    for part in PARTS if loaded.config.cicd else ("deployer",):
        calls = calls_of(pipeline.names, part)
        near = places_of(pipeline.names, part, calls)
        found[part] = (calls, [(why, call) for why, call in near if (part, call.action) not in SHARED])
    return found
