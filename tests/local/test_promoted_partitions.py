"""Promoting the models of partitions of a local run: they predict where a later run's model is rejected."""

from __future__ import annotations

from collections import Counter

import pytest
from test_group_runs import CONFIG, MODELS, result
from test_run import User, faults, shared, user

__all__ = ["faults", "shared", "user"]


@pytest.fixture(name="seller")
def _seller(user: User) -> User:
    user.config.write_text(CONFIG)
    user.orders(partitions=MODELS)
    return user


def test_promoted_models_predict_in_place_of_rejected_ones(seller: User) -> None:
    first = seller.told()["run"]
    code, out, err = seller.calls("promote", first)
    assert (code, out) == (0, f"Promoted from run {first}: {MODELS} models ({MODELS} copied).\n"), err
    assert f"{MODELS} partitions have a promoted model: {MODELS} models of {first}." in seller.calls("models")[1]
    seller.orders(partitions=MODELS, train_g0001='score {"mae": 999}')
    told = seller.told("--fresh")
    uses = result(seller, told)["uses"]
    assert told["code"] == 0
    assert uses == Counter(trained=MODELS - uses["default"], default=uses["default"])
    assert uses["default"] > 0
    shown = seller.calls("show", told["run"])[1]
    assert f"  {MODELS} models, one for each partition, in " in shown
    assert f"{MODELS - uses['default']} accepted, {uses['default']} rejected" in shown
    assert f"promote {told['run']}" in shown
    out = seller.calls("promote", told["run"])[1]
    kept = uses["default"]
    assert f"{MODELS - kept} models (" in out
    assert f" {kept} other partitions have kept their promoted model." in out
