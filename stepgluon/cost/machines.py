"""Cores and memory of SageMaker's instance types, derived from their names.

Source, 2026-11-30: docs.aws.amazon.com/ec2/latest/instancetypes, the tables of the general purpose, compute optimized,
memory optimized and accelerated computing types; SageMaker's ml.X is EC2's X. A type that no rule covers is unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stepgluon.config.aws_facts import facts

# GB of memory for each virtual core.
_LETTERS = {"c": 2, "m": 4, "r": 8}  # c5, m5d, r6i, c7i-flex: compute, general purpose, memory
_OTHERS = {"t3": 4, "g4dn": 4, "g5": 4, "g6": 4, "g6e": 8}  # t3 from large on is like m
_TYPE = re.compile(r"ml\.(?:([cmr])([5-8](?:d|i|i-flex)?)|(t3|g4dn|g5|g6|g6e))\.(?:(\d*)x)?large")


@dataclass(frozen=True)
class Machine:
    type: str
    cores: int
    memory: int  # GB
    gpus: bool = False

    @property
    def family(self) -> str:
        return self.type.split(".")[1]


def machine_of(instance: str) -> Machine | None:
    found = _TYPE.fullmatch(instance)
    if not found:
        return None
    letter, _, other, size = found.groups()
    if other == "t3" and size is None:
        return Machine(instance, 2, 8)
    cores = 2 if size is None else 4 * int(size or 1)
    return Machine(instance, cores, cores * (_LETTERS[letter] if letter else _OTHERS[other]), (other or "")[:1] == "g")


def alike(machine: Machine, kind: str) -> list[Machine]:
    """The types of the same generation that SageMaker has for this kind of job, itself included."""
    listed = {
        "Training": facts().training_instances,
        "Processing": facts().processing_instances,
        "Transform": facts().transform_instances,
    }[kind]
    found = [one for one in map(machine_of, listed) if one]
    if machine.family in _OTHERS:
        return [one for one in found if one.family == machine.family]
    return [one for one in found if one.family not in _OTHERS and one.family[1:] == machine.family[1:]]
