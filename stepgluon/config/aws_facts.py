"""AWS's partitions, regions and SageMaker instance types.

botocore knows them, but reading its models takes longer than a whole `validate`. So the few facts needed are kept in
aws_facts.json; tests/test_facts.py makes it from botocore, and fails if it is out of date.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

FILE = Path(__file__).with_name("aws_facts.json")
# The consoles' hosts are not available in machine-readable form; each partition's user guide has its own.
CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-eusc": "console.amazonaws-eusc.eu",
}


@dataclass(frozen=True)
class Partition:
    name: str  # aws, aws-cn, aws-us-gov, ...
    dns_suffix: str
    region_pattern: str
    regions: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    partitions: tuple[Partition, ...]
    training_instances: tuple[str, ...]
    processing_instances: tuple[str, ...]
    transform_instances: tuple[str, ...]
    hosting_instances: tuple[str, ...]

    def partition_of(self, region: str) -> Partition | None:
        """The partition of this region, even if the region is newer than aws_facts.json."""
        return next((p for p in self.partitions if re.fullmatch(p.region_pattern, region)), None)


@lru_cache(maxsize=1)
def facts() -> Facts:
    text = json.loads(FILE.read_text(encoding="utf-8"))
    return Facts(
        tuple(Partition(**{**p, "regions": tuple(p["regions"])}) for p in text["partitions"]),
        tuple(text["training_instances"]),
        tuple(text["processing_instances"]),
        tuple(text["transform_instances"]),
        tuple(text["hosting_instances"]),
    )
