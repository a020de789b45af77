"""Where each fix of moto is registered, and what all of them use."""

from __future__ import annotations

import sys
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


def loaded(name: str) -> Any:
    __import__(name)
    return sys.modules[name]
