"""Runs with one model for each value found in the data: groups of models, with the stand-in jobs."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import forks
import pytest
from local_aws import until
from stand_in import SCRIPTS
from test_run import Gate, User, _processes, faults, shared, user

__all__ = ["faults", "shared", "user"]

CONFIG = """
name: shop
models: {partition_by: store_id, label: sales_kg, threshold: 350}
fan_out: {models_per_job: 4, jobs_at_once: 2}
retries: {job: 0}
"""
MODELS = 20


@pytest.fixture(name="seller")
def _seller(user: User) -> User:
    user.config.write_text(CONFIG)
    user.orders(partitions=MODELS)
    return user


def trained(user: User) -> Counter[str]:
    """How often each model was trained, in all runs."""
    keys = (Path(key) for key in user.objects("models/groups/") if key.endswith(".tar.gz"))
    return Counter(path.name.removesuffix(".tar.gz") for path in keys)


def stores() -> set[str]:
    return {f"store-{number}" for number in range(MODELS)}


def result(user: User, told: dict[str, Any]) -> dict[str, Any]:
    return {**user.result(told), "uses": Counter(one["uses"] for one in user.result(told)["models"])}


def test_each_value_has_a_model_which_is_trained_and_predicts_once(seller: User) -> None:
    told = seller.told()
    assert told["code"] == 0
    assert set(result(seller, told)["predicted"]) == stores()
    assert trained(seller) == Counter(stores())
    assert seller.kinds() == ["started", "finished"]
    assert "20 models, one for each store_id: 20 trained, 0 cached; 20 accepted, 0 rejected." in seller.mails()[1][1]


def test_a_second_run_trains_the_one_model_whose_rows_changed(seller: User) -> None:
    seller.told()
    seller.orders(partitions=MODELS, rows={"store-7": 1})
    told = seller.told()
    assert set(result(seller, told)["predicted"]) == stores()
    assert trained(seller) == Counter([*stores(), "store-7"])
    (log,) = (seller.work / "runs" / told["run"] / "logs").glob("shop-predict-*")
    assert "predicted last: " in log.read_text(), "the job gets the group's last predictions"


def test_a_group_whose_job_fails_costs_its_models_only(seller: User) -> None:
    seller.orders(partitions=MODELS, **{"train_g0002": "exit 1"})
    told = seller.told()
    assert told["code"] == 1
    missing = stores() - set(result(seller, told)["predicted"])
    assert 0 < len(missing) < MODELS
    assert missing.isdisjoint(trained(seller))
    assert seller.kinds() == ["started", "incomplete"]
    assert "train-g0002 does not like the data" in seller.mails()[1][1]


def test_any_rejected_model_of_any_group_replaces_all_that_have_a_default(seller: User) -> None:
    seller.config.write_text(CONFIG + "fallback: {when: any, if_missing: fail}\n")
    assert result(seller, seller.told())["uses"] == {"trained": MODELS}
    seller.orders(partitions=MODELS, **{"train_g0001": 'score {"mae": 999}'})
    told = seller.told()
    assert told["code"] == 1
    assert result(seller, told)["uses"] == {"nothing": MODELS}
    assert seller.kinds()[-3:] == ["started", "models", "incomplete"]


def test_after_kill_9_the_same_command_trains_and_predicts_each_model_once(seller: User) -> None:
    seller.orders(partitions=MODELS)
    gate = Gate(seller, "predict-g0003 train-g0004")
    for module in ("partitions.py", "job_io.py", "usage.py"):  # which prepare_groups.py finds beside the original
        shutil.copy(SCRIPTS.parents[2] / "code" / module, seller.code)
    process = seller.process("run", "--local", "--data", "orders.json", start=forks.plain)
    until(lambda: (_markers(seller, "groups/"), _markers(seller, "predictions/groups/")) == (4, 3))
    process.kill()
    process.communicate()
    until(lambda: not _processes(seller))
    gate.open()
    told = seller.told()
    assert told["code"] == 0
    assert set(result(seller, told)["predicted"]) == stores()
    assert trained(seller) == Counter(stores())
    assert seller.kinds() == ["started", "finished"]


def _markers(user: User, folder: str) -> int:
    """How many groups have been trained or have predicted, while the run has the work folder."""
    try:
        with closing(sqlite3.connect(f"file:{user.work}/buckets/index.sqlite?mode=ro", uri=True)) as index:
            found = index.execute("SELECT count(*) FROM objects WHERE key LIKE ?", [f"markers/{folder}%"])
            return int(found.fetchone()[0])
    except sqlite3.Error:  # it is not there yet
        return 0
