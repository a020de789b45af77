"""What moto 5.2.5 does otherwise than AWS: each fix is a function that tells what AWS does.

registry           where each fix is registered, and what all of them use
language           paths, data and errors of JSONPath states
jsonata            expressions of JSONata states, and their definitions
failed_evaluation  how an expression fails
variables          variables, and what `$states` has
executions         time, ends, names, sizes and histories of executions
services           what Tasks and deployments talk to
tidiness           as on AWS, but loudly, slowly, or never letting go

tests/local/test_moto_fixes.py shows for each what happens without it; when moto is right by itself, that test fails and
the fix goes. `apply` puts all of them in place until `Patches.undo`.

What is more than a fix has a module in its service's folder, like stepfunctions/versions.py: all that use
`Patches` replace parts of moto, each for what its docstring tells.
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

    from localaws.moto_fixes import (  # noqa: F401 - each adds its own
        executions,
        failed_evaluation,
        jsonata,
        language,
        services,
        tidiness,
        variables,
    )

    for name, fix in FIXES.items():
        if name != without:
            fix(patches, here)


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
