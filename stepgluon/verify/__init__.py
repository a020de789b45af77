"""Checks a deployment before it is made: asks AWS about all of it, and creates nothing that costs money.

check        the result of a check; converts AWS's refusals to results
account      instance quotas, including spot; Lambda's concurrency; the key; the images in ECR
deployment   ValidateStateMachineDefinition; change sets of the stacks: created, read and dropped
states       TestState on every state, with inputs from the self-check's rehearsal
policies     SimulateCustomPolicy for every call of a running pipeline, and for calls that are almost the same
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from stepgluon.aws import Door
from stepgluon.deploy.account_checks import check_identity
from stepgluon.deploy.release import Release
from stepgluon.verify import account, deployment, policies, states
from stepgluon.verify.check import Check, answered


def verify(release: Release, door: Door, wait: Callable[[float], None]) -> Iterator[Check]:
    """Yield each check as soon as it is made; raise if the credentials are unusable or AWS cannot be reached."""
    names = release.names
    check_identity(names, door)
    yield Check("credentials", "passed", f"they are of the config's account; {names.config.region} answers")
    digests: dict[str, str] = {}
    yield from answered("quotas", partial(account.quotas, names.config, door))
    yield from answered("Lambda concurrency", partial(account.concurrency, release, door))
    yield from answered("KMS key", partial(account.key, names, door))
    yield from answered("images", partial(account.images, release, door, digests))
    yield from answered("definition", partial(deployment.definition, release, door, digests))
    yield from answered("states", partial(states.states, release, door, digests))
    for template in filter(None, (release.base, release.pipeline, release.cicd)):
        yield from answered(
            f"stack {template.stack}", partial(deployment.stack, release, template, door, wait, digests)
        )
    yield from answered("policies", partial(policies.policies, names, door))
