"""Names and groups of partitions: each value of a config's `partition_by` column has a model of its own.

A name depends on its value alone, and a group on the name and the number of groups, so both stay the same from run to
run. If the number of groups changes, few models move. A group's results are looked up by its models.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from job_io import JobError, shown

OTHERS = "others"  # the shared model of all small partitions
MOST_PARTITIONS = 200_000
MOST_GROUPS = 1000  # [sfn] so that the children's results fit in a state's output
MOST_IN_GROUP = 256
GROUP_BYTES = 200_000  # of group.json: [sfn] a state's data has at most 256 KiB
NAME = 40  # characters, without the hash

_PLAIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DIGITS = 10  # of the hash: two of 200,000 values share them with a probability of 2 %, if their slugs are equal too


def name_of(value: str) -> str:
    """The name of a value's model, also part of keys in S3: `Île d'Or` -> ile-d-or-be20baeb8f."""
    if _PLAIN.fullmatch(value) and len(value) <= NAME and value != OTHERS:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    # Only the beginning of a long value can be in the slug.
    text = unicodedata.normalize("NFKD", value[: 8 * NAME]).encode("ascii", "ignore").decode("ascii")
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:NAME].rstrip("-")
    return f"{slug or 'value'}-{digest}"


def names_of(values: Iterable[str]) -> dict[str, str]:
    """Each name and its value; raises JobError if two values have the same name."""
    found: dict[str, str] = {}
    for value in values:
        name = name_of(value)
        if name in found:
            raise JobError(
                f"The partitions {shown(found[name])} and {shown(value)} have the same name {name}; rename one of them."
            )
        found[name] = value
    return found


def group_of(name: str, groups: int) -> int:
    """Jump consistent hash (Lamping and Veach, 2014): one more group takes 1 / groups of the names from the others."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    place, following = -1, 0
    while following < groups:
        place = following
        key = (key * 2862933555777941757 + 1) % 2**64
        following = int((place + 1) * (2**31 / ((key >> 33) + 1)))
    return place


def group_id(number: int) -> str:
    return f"g{number:04}"


def grouped(sizes: Mapping[str, int], models_per_job: int) -> dict[str, list[str]]:
    """The models' names by group, both sorted; `sizes` has the bytes of each model's entry in group.json.

    The groups have `models_per_job` models on average, or fewer if one of them became too large.
    """
    groups = max(1, -(-len(sizes) // models_per_job))
    while groups <= MOST_GROUPS:
        number = {name: group_of(name, groups) for name in sizes}
        counts, lengths = Counter(number.values()), Counter[int]()
        for name, group in number.items():
            lengths[group] += sizes[name]
        if max(counts.values(), default=0) <= MOST_IN_GROUP and max(lengths.values(), default=0) <= GROUP_BYTES:
            found: dict[str, list[str]] = {group_id(group): [] for group in sorted(counts)}
            for name in sorted(number):
                found[group_id(number[name])].append(name)
            return found
        groups += max(1, groups // 50)
    raise JobError(
        f"{len(sizes):,} partitions in jobs of {models_per_job} models make more than {MOST_GROUPS:,} groups; raise "
        f"fan_out.models_per_job (at most 200), or choose a partition_by with fewer values."
    )
