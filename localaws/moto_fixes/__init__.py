"""Fixes where moto 5.2.5 differs from AWS. Each is a function whose docstring says what AWS does, and what moto does.

registry           registers the fixes; shared helpers
language           how states run: choices, errors, variables, the context
jsonata            expressions of JSONata states
failed_evaluation  how an expression fails
executions         times, ends, definitions and histories of executions
services           the services that Tasks and deployments call
distributed        Distributed Map, in localaws/stepfunctions/distributed_map.py
tidiness           logs, speed and memory

tests/local/test_moto_fixes.py shows what happens without each fix. When moto gets it right, that test fails and the fix
can be removed. JSONPath is not corrected, because none of our machines uses it. `apply` installs all fixes until
`Patches.undo`. Larger replacements are modules in their service's folder, like stepfunctions/versions.py.
"""

from __future__ import annotations

import sys
import types

from localaws.base.patches import Patches
from localaws.moto_fixes.registry import FIXES, SERVICE, Here

__all__ = ["FIXES", "Here", "apply", "load_without_batch"]


def apply(patches: Patches, here: Here, without: str = "") -> None:
    import moto.stepfunctions.parser.models
    import moto.stepfunctions.responses  # noqa: F401

    from localaws.moto_fixes import (  # noqa: F401 - each registers its fixes
        distributed,
        executions,
        failed_evaluation,
        jsonata,
        language,
        services,
        tidiness,
    )

    for name, fix in FIXES.items():
        if name != without:
            fix(patches, here)


def load_without_batch() -> None:
    """moto's interpreter loads Batch, which reads EC2's tables of instance types: half of the start-up. A stub takes
    its place.
    """
    name = f"{SERVICE}.state_task_service_batch"
    if name not in sys.modules:
        stub = types.ModuleType(name)
        stub.StateTaskServiceBatch = _NoBatch  # type: ignore[attr-defined]
        sys.modules[name] = stub


class _NoBatch:
    def __init__(self) -> None:
        raise ValueError("AWS Batch is not available in the local AWS")
