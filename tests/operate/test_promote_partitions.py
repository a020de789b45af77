"""Promoting the models of partitions in the local AWS: one object names them all, and a second time copies nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_promote import WORK, Bucket, bucket

from stepgluon.config.load import loads
from stepgluon.names import Names
from stepgluon.runs import promote_partitions as module
from stepgluon.runs.fetch import NothingToFetch, archive
from stepgluon.runs.promote import NotPromoted
from stepgluon.runs.promote_partitions import PROGRESS, promote_partitions, promoted_models, promoted_words, words

__all__ = ["bucket"]
CONFIG = """
name: penguins
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models: {partition_by: species, label: body_mass_g}
"""
NAMES = Names(loads(CONFIG, "config.yml", None, {}).config)


def entry(name: str, **more: Any) -> dict[str, Any]:
    key = f"models/groups/g0000/0123/job-1/output/model/{name}.tar.gz"
    known = {"name": name, "verdict": "accepted", "uses": "trained", "mae": 2.5, "threshold": 3, "key": key}
    return {**known, "manifest": name * 3, **more}


def judged(bucket: Bucket, run: str, *models: dict[str, Any], group: str = "g0000") -> None:
    for one in models:
        if one["uses"] == "trained":
            bucket.put(one["key"], one["name"].encode())
    bucket.put(f"runs/{run}/groups/{group}/choices.json", {"group": group, "run": run, "image": "i", "models": models})


def copies(bucket: Bucket) -> list[str]:
    """The keys that are copied from now on."""
    found: list[str] = []
    bucket.s3.meta.events.register(
        "provide-client-params.s3.CopyObject", lambda params, **_: found.append(params["Key"])
    )
    return found


def told(bucket: Bucket) -> dict[str, Any]:
    models: dict[str, Any] = json.loads(bucket.get("promoted-partitions.json"))["models"]
    return models


def test_the_accepted_models_of_all_groups_are_kept_and_named_in_one_object(bucket: Bucket) -> None:
    judged(bucket, "june", entry("a"), entry("b", verdict="rejected"))
    judged(bucket, "june", entry("c", mae=None, metric="f1", score=0.75), group="g0001")
    bucket.put("runs/june/groups/g0001/failure.json", {"Error": "E", "Cause": "C"})
    counts = promote_partitions(bucket.s3, NAMES, "june")
    assert words("june", counts) == "Promoted from run june: 2 models (2 copied).\n"
    assert told(bucket) == {
        "a": {
            "run": "june",
            "job": "job-1",
            "key": "promoted/partitions/a/aaa.tar.gz",
            "manifest": "aaa",
            "mae": 2.5,
            "threshold": 3,
            "image": "i",
        },
        "c": {
            "run": "june",
            "job": "job-1",
            "key": "promoted/partitions/c/ccc.tar.gz",
            "manifest": "ccc",
            "threshold": 3,
            "metric": "f1",
            "score": 0.75,
            "image": "i",
        },
    }
    assert bucket.get("promoted/partitions/a/aaa.tar.gz") == b"a"
    assert bucket.keys("promoted/") == ["promoted/partitions/a/aaa.tar.gz", "promoted/partitions/c/ccc.tar.gz"]


def test_promoting_again_copies_nothing_and_other_partitions_keep_their_model(bucket: Bucket) -> None:
    judged(bucket, "june", entry("a"), entry("b"))
    promote_partitions(bucket.s3, NAMES, "june")
    before = told(bucket)
    copied = copies(bucket)
    promote_partitions(bucket.s3, NAMES, "june")
    assert (copied, told(bucket)) == ([], before)
    judged(bucket, "july", entry("b", manifest="new"))
    said = words("july", promote_partitions(bucket.s3, NAMES, "july"))
    assert said == "Promoted from run july: 1 model (1 copied). 1 other partition has kept its promoted model.\n"
    assert copied == ["promoted/partitions/b/new.tar.gz"]
    assert {name: one["run"] for name, one in told(bucket).items()} == {"a": "june", "b": "july"}


def test_an_interrupted_promotion_changes_nothing_and_is_continued(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [entry(f"m{number}") for number in range(7)]
    judged(bucket, "june", *models)
    bucket.s3.delete_object(Bucket=WORK, Key=models[5]["key"])
    monkeypatch.setattr(module, "BATCH", 2)
    with pytest.raises(NotPromoted, match=r"1 model archive is missing .*/m5\.tar\.gz"):
        promote_partitions(bucket.s3, NAMES, "june")
    assert bucket.keys("promoted-") == []
    bucket.put(models[5]["key"], b"m5")
    copied = copies(bucket)
    promote_partitions(bucket.s3, NAMES, "june")
    assert sorted(key.split("/")[2] for key in copied) == ["m4", "m5", "m6"]
    assert len(told(bucket)) == 7
    assert bucket.keys(PROGRESS) == []


def test_an_accepted_model_that_another_one_replaced_is_found_by_its_groups_marker(bucket: Bucket) -> None:
    old = entry("a", uses="default", key="promoted/partitions/a/old.tar.gz", manifest="old")
    judged(bucket, "june", old, entry("b", uses="default", key="x", manifest="y"))
    key = "models/groups/g0000/0123/job-9/output/model/a.tar.gz"
    bucket.put(key, b"new")
    trained = [{"name": "a", "mae": 2.5, "key": key, "manifest": "new"}, {"name": "b", "mae": 9, "key": "z"}]
    bucket.put("markers/groups/g0000.json", {"models": trained})
    counts = promote_partitions(bucket.s3, NAMES, "june")
    assert (counts["promoted"], counts["skipped"]) == (1, 1)
    assert bucket.get(told(bucket)["a"]["key"]) == b"new"


@pytest.mark.parametrize(
    ("models", "sentence"),
    [([], "june has no verdicts"), ([entry("a", verdict="rejected")], "no model of june was accepted")],
)
def test_a_run_without_an_accepted_model_says_so(bucket: Bucket, models: list[Any], sentence: str) -> None:
    if models:
        judged(bucket, "june", *models)
    with pytest.raises(NotPromoted, match=sentence):
        promote_partitions(bucket.s3, NAMES, "june")


def test_the_promoted_models_are_counted_by_run_and_the_worst_are_listed(bucket: Bucket) -> None:
    assert promoted_words(promoted_models(bucket.s3, NAMES)).startswith("No models are promoted yet")
    judged(bucket, "june", *(entry(f"m{number:02}", mae=number / 2) for number in range(12)))
    promote_partitions(bucket.s3, NAMES, "june")
    judged(bucket, "july", entry("m03", manifest="new", mae=80.0))
    promote_partitions(bucket.s3, NAMES, "july")
    said = promoted_words(promoted_models(bucket.s3, NAMES)).splitlines()
    assert said[:5] == [
        "12 partitions have a promoted model: 11 models of june, 1 model of july.",
        "",
        "The largest errors (MAE):",
        "  m03  80",
        "  m11  5.5",
    ]
    assert len(said) == 13


def test_one_model_of_a_run_is_fetched_as_an_archive_by_its_name_or_value(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("models/groups/g0000/a.tar.gz", b"archive")
    models = [{"name": "koln-0a", "value": "Köln", "key": "models/groups/g0000/a.tar.gz"}]
    models.append({"name": "ulm", "value": "ulm", "verdict": None})
    bucket.put("runs/june/result/summary.json", {"models": models})
    record = {"run": "june", "folder": f"s3://{WORK}/runs/june", "config": f"s3://{WORK}/config/1/config.json"}
    for name in ("koln-0a", "Köln"):
        (file,) = archive(bucket.s3, record, name, tmp_path / name)
        assert (file.name, file.read_bytes()) == ("koln-0a.tar.gz", b"archive")
    for name, sentence in (("Kölnn", "did you mean Köln"), ("ulm", "june predicts nothing with ulm")):
        with pytest.raises(NothingToFetch, match=sentence):
            archive(bucket.s3, record, name, tmp_path)
