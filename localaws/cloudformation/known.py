"""The types of resources that can be deployed here."""

from __future__ import annotations

from typing import Any

from localaws.cloudformation import (  # noqa: F401 - each registers its types
    building,
    functions,
    identity,
    machines,
    messages,
    storage,
    watching,
)
from localaws.cloudformation.kinds import KINDS, Kind
from localaws.cloudformation.template import Invalid


def kind_of(name: str) -> type[Kind]:
    if name not in KINDS:
        raise Invalid(f"Template format error: Unrecognized resource types: [{name}] (the local AWS does not know it)")
    return KINDS[name]


def check(logical: str, entry: dict[str, Any]) -> None:
    """Whatever would be ignored is refused."""
    kind = kind_of(entry["Type"])
    unknown = sorted(entry.get("Properties", {}).keys() - kind.known)
    if unknown:
        raise Invalid(f"Encountered unsupported property {unknown[0]} of {logical}, which the local AWS does not know")
