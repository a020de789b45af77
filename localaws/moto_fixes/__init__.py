"""What moto 5.2.5 does otherwise than AWS: each fix is a function that tells what AWS does.

language      of the language of the states: paths, data and errors
executions    of executions: time, ends, names, sizes and histories
services      of what Tasks and deployments talk to
tidiness      as on AWS, but loudly, slowly, or never letting go

tests/local/test_moto_fixes.py shows for each what happens without it; when moto is right by itself, that test fails and
the fix goes. `apply` puts all of them in place until `Patches.undo`.

What is more than a fix has a module of its own in the parent folder, like machine_versions.py, events.py or mail.py:
all that use `Patches` replace parts of moto, each for what its docstring tells.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localaws.base.patches import Patches

ASL = "moto.stepfunctions.parser.asl"
STATES = f"{ASL}.component.state"
COMMON = f"{ASL}.component.common"
SERVICE = f"{STATES}.exec.state_task.service"


@dataclass(frozen=True)
class Here:
    """What the fixes need to know of this place."""

    client: Callable[[str, str, str], Any]  # service, region, role -> a client of the local AWS
    seconds: float  # how long a second of a Retry's or Wait's waiting lasts here
    execution_ended: Callable[[Any], None] = lambda execution: None


Fix = Callable[[Patches, Here], None]
FIXES: dict[str, Fix] = {}


def fix(function: Fix) -> Fix:
    FIXES[function.__name__] = function
    return function


def apply(patches: Patches, here: Here, without: str = "") -> None:
    import moto.stepfunctions.parser.models
    import moto.stepfunctions.responses  # noqa: F401

    from localaws.moto_fixes import executions, language, services, tidiness  # noqa: F401 - each adds its own

    for name, fix in FIXES.items():
        if name != without:
            fix(patches, here)


def loaded(name: str) -> Any:
    __import__(name)
    return sys.modules[name]


def load_without_batch() -> None:
    """Loading moto's interpreter loads its Batch, which reads EC2's tables of instance types: half of the start-up.

    No workflow of ours uses Batch; a stand-in says so, where it was not loaded yet.
    """
    name = f"{SERVICE}.state_task_service_batch"
    if name not in sys.modules:
        stand_in = types.ModuleType(name)
        stand_in.StateTaskServiceBatch = _NoBatch  # type: ignore[attr-defined]
        sys.modules[name] = stand_in


class _NoBatch:
    def __init__(self) -> None:
        raise ValueError("AWS Batch is not available in the local AWS")
