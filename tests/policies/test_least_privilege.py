"""Each role may do what the pipeline does, and nothing else: every call is derived, and so are its neighbours."""

from __future__ import annotations

import pytest
from policies.deployed import ALL, ROLES, Deployed, deployed
from policies.reference import GLOBAL_KEYS, condition_keys, is_resource_of

from localaws.iam.policy_evaluation import Call, Policy
from stepgluon.config.load import loads
from stepgluon.deploy.templates.policies import policy
from stepgluon.names import Names

MANY = """
name: many
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models: {partition_by: shop, values: [%s], label: sales}
fallback: {threshold: 1}
"""
# Its calls are the demo's for more models, which test_policies_do_not_grow_with_the_models holds to be the same.
ONCE = [case for case in ALL if case != "ten-models-any"]
VALUES = [f"s{number}" for number in range(150)]


@pytest.mark.parametrize("case", ONCE)
def test_every_call_of_a_running_pipeline_is_allowed_by_its_role_and_by_the_boundary(case: str) -> None:
    pipeline = deployed(case)
    boundary = pipeline.policy("boundary")
    for role in ROLES:
        identity = pipeline.policy(role)
        denied = [call for call in pipeline.calls[role] if not pipeline.allows(call, identity, boundary)]
        assert not denied, f"{role}: {told(denied)}"


@pytest.mark.parametrize("case", ONCE)
def test_every_derived_call_is_one_that_iam_knows(case: str) -> None:
    pipeline = deployed(case)
    calls = [call for role in ROLES for call in pipeline.calls[role]]
    for call in [*calls, *(call for _, call in pipeline.service_calls)]:
        assert is_resource_of(call.action, call.resource), f"{call.action} is not about {call.resource}"
        known = (*GLOBAL_KEYS, *condition_keys(call.action, call.resource))
        assert all(any(key.fullmatch(name) for key in known) for name in call.context), call


@pytest.mark.parametrize("case", ONCE)
def test_no_neighbour_of_a_call_is_allowed(case: str) -> None:
    pipeline = deployed(case)
    for role in ROLES:
        wrong = allowed_neighbours(pipeline, role, pipeline.policy(role))
        assert not wrong, f"{role}: " + "; ".join(f"{why}: {told([call])}" for why, call in wrong[:10])


def allowed_neighbours(pipeline: Deployed, role: str, identity: Policy) -> list[tuple[str, Call]]:
    """Without the boundary: the role's own policy has to be tight."""
    return [(why, call) for why, call in pipeline.neighbours(role) if pipeline.allows(call, identity, None)]


def test_policies_do_not_grow_with_the_models() -> None:
    """What is proved for a few models is proved for 150."""
    few, many = (Names(loads(MANY % count, "config.yml", None, {}).config) for count in ("s0", ", ".join(VALUES)))
    for part in (*ROLES, "boundary", "topic", "queue", "key"):
        assert policy(few, part) == policy(many, part)


def test_more_groups_than_a_policy_has_room_for_are_allowed_together() -> None:
    def groups(automatic: int) -> list[str]:
        models = [f"{{name: m{n}, label: y{n}, register: {{approval: automatic}}}}" for n in range(automatic)]
        models.append("{name: waits, label: y, register: {}}")
        text = (MANY % "").replace("{partition_by: shop, values: [], label: sales}", f"[{', '.join(models)}]")
        statements = policy(Names(loads(text, "config.yml", None, {}).config), "machine")["Statement"]
        (found,) = (one["Resource"] for one in statements if one["Sid"] == "RegisterApprovedModels")
        return [arn.rpartition(":")[2] for arn in found]

    assert groups(1) == ["model-package-group/many-model-m0", "model-package/many-model-m0/*"]
    assert len(groups(5)) == 10
    assert groups(6) == ["model-package-group/many-model-*", "model-package/many-model-*/*"]


def told(calls: list[Call]) -> str:
    return "; ".join(f"{call.why}: {call.action} {call.resource} {dict(call.context)}" for call in calls[:10])
