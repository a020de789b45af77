"""Names of partitions are stable and unique, and groups keep most of their models when their number changes."""

from __future__ import annotations

import re
import subprocess
import sys

import job_io
import partitions
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from job_sandbox import CODE

NAMES = {
    "store-7": "store-7",
    "42": "42",
    "2024-12-31": "2024-12-31",
    "true": "true",
    "others": "others-01db91d060",
    "Store-7": "store-7-93782559cd",
    " store-7": "store-7-5a7aa83cce",
    "store-7 ": "store-7-26bf55189c",
    "-5": "5-37aa1ccf80",
    "1.5": "1-5-9f29a13043",
    "2024-12-31 08:00:00Z": "2024-12-31-08-00-00z-7704aa0ca5",
    "Île d'Or": "ile-d-or-be20baeb8f",
    "東京": "value-130016b259",
    "🍣": "value-c3f5e4798f",
    "a" * 40: "a" * 40,
    "a" * 41: "a" * 40 + "-c0f8bd4dbc",
}


@pytest.mark.parametrize(("value", "name"), NAMES.items())
def test_a_name_is_a_function_of_the_value_alone(value: str, name: str) -> None:
    assert partitions.name_of(value) == name


@settings(max_examples=200, deadline=None)
@given(value=st.text())
@example("x" * 10_000_000)
@example("\ud800")
def test_every_value_has_a_name_that_is_safe_in_keys(value: str) -> None:
    name = partitions.name_of(value)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) and len(name) <= 51
    assert name != partitions.OTHERS


@settings(max_examples=100, deadline=None)
@given(values=st.sets(st.text(max_size=4), max_size=30))
@example({"a", "A", " a", "a ", "ａ", "á", "a-", "a.", ""})
def test_different_values_have_different_names(values: set[str]) -> None:
    assert set(partitions.names_of(values).values()) == values


def test_two_values_of_one_name_are_refused() -> None:
    with pytest.raises(job_io.JobError, match=r"'Köln' and 'koln-[0-9a-f]{10}' have the same name koln-.*rename one"):
        partitions.names_of(["Köln", partitions.name_of("Köln")])


def test_names_and_groups_are_the_same_in_every_process() -> None:
    values = ["東京", "Zürich", "A b", "7"]
    program = "import partitions as p, sys; print([(p.name_of(v), p.group_of(v, 97)) for v in sys.argv[1:]])"
    runs = {
        subprocess.run(
            [sys.executable, "-X", "utf8", "-c", program, *values],
            env={"PYTHONPATH": str(CODE), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout.decode()
        for seed in ("1", "2")
    }
    assert runs == {f"{[(partitions.name_of(v), partitions.group_of(v, 97)) for v in values]}\n"}


def test_another_number_of_groups_moves_few_models() -> None:
    names = [f"store-{n}" for n in range(2000)]
    before, after = ([partitions.group_of(name, groups) for name in names] for groups in (40, 41))
    moved = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    assert 20 < len(moved) < 90, "about 1 of 41"
    assert {other for _, other in moved} == {40}, "only the new group gets models"


def test_groups_have_as_many_models_as_asked_on_average() -> None:
    sizes = {f"store-{n}": 400 for n in range(10_000)}
    groups = partitions.grouped(sizes, 50)
    assert list(groups) == [f"g{n:04}" for n in range(200)]
    assert sorted(name for names in groups.values() for name in names) == sorted(sizes)
    assert all(names == sorted(names) for names in groups.values())
    assert min(map(len, groups.values())) > 20 and max(map(len, groups.values())) < 90


def test_one_model_per_job_leaves_out_groups_without_models() -> None:
    groups = partitions.grouped({f"s{n}": 400 for n in range(20)}, 1)
    assert sum(map(len, groups.values())) == 20 and all(groups.values())


@pytest.mark.parametrize(("models", "size"), [(5000, 400), (300, 2000)])
def test_a_group_too_large_for_the_state_machine_makes_more_groups(models: int, size: int) -> None:
    groups = partitions.grouped({f"s{n}": size for n in range(models)}, 250)
    assert len(groups) > models / 250
    assert max(map(len, groups.values())) * size <= partitions.GROUP_BYTES
    assert max(map(len, groups.values())) <= partitions.MOST_IN_GROUP


def test_too_many_groups_are_refused_with_the_way_out() -> None:
    with pytest.raises(job_io.JobError, match=r"2,000 partitions in jobs of 1 models .* raise fan_out.models_per_job"):
        partitions.grouped({f"s{n}": 400 for n in range(2000)}, 1)
