"""Promoting in the local AWS: the models' files are kept, and promoted.json is written last or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from configs import penguins

from localaws.server.aws import LocalAws, Settings
from stepgluon.config.load import loads
from stepgluon.names import Names
from stepgluon.runs.promote import NotPromoted, named, promote, verdicts_of
from stepgluon.selfcheck import answers

CONFIG = penguins("fallback: {threshold: 350}")
NAMES = Names(loads(CONFIG, "config.yml", None, {}).config)
WORK = NAMES.work_bucket
IMAGE = f"{NAMES.image('autogluon').partition('@')[0]}@sha256:{'1' * 64}"


class Bucket:
    def __init__(self, aws: LocalAws) -> None:
        self.s3 = aws.client("s3")
        self.aws = aws

    def put(self, key: str, body: Any) -> None:
        self.s3.put_object(Bucket=WORK, Key=key, Body=body if isinstance(body, bytes) else json.dumps(body).encode())

    def get(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=WORK, Key=key)["Body"].read())

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=WORK, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def run(self, run: str, job: str = "job", **models: dict[str, bytes]) -> None:
        """A run whose models have these files, and were accepted."""
        verdicts = []
        for model, files in models.items():
            folder = f"models/{model}/0123abc/{job}/output/model/"
            for name, content in files.items():
                self.put(folder + name, content)
            verdict = {"name": model, "verdict": "accepted", "uses": "trained", "mae": 200, "job": job, "image": IMAGE}
            verdicts.append({**verdict, "model_uri": f"s3://{WORK}/{folder}"})
        self.put(f"runs/{run}/verdicts.json", verdicts)

    def promoted(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.get("promoted.json"))
        return told


def whole(**files: bytes) -> dict[str, bytes]:
    return {**files, "manifest.json": json.dumps({"files": dict.fromkeys(files, "0" * 64)}).encode()}


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    with LocalAws(Settings(tmp_path, "123456789012", "eu-west-1", cores=1)) as aws:
        place = {"LocationConstraint": "eu-west-1"}
        aws.client("s3").create_bucket(Bucket=WORK, CreateBucketConfiguration=place)
        yield Bucket(aws)


def test_a_promoted_model_stays_when_its_runs_files_are_cleaned_up(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"a" * 10, deep=b""), gentoo=whole(learner=b"g"))
    assert named(promote(bucket.s3, NAMES, "june")) == "adelie (MAE 200), gentoo (MAE 200)"
    for key in bucket.keys("models/"):
        bucket.s3.delete_object(Bucket=WORK, Key=key)
    place = bucket.promoted()["m_adelie"]["model_uri"]
    assert place == f"s3://{WORK}/promoted/june/adelie/job/"
    folder = place.removeprefix(f"s3://{WORK}/")
    assert [key.removeprefix(folder) for key in bucket.keys(folder)] == ["deep", "learner", "manifest.json"]
    assert bucket.get(folder + "learner") == b"a" * 10
    sum_of_manifest = hashlib.sha256(bucket.get(folder + "manifest.json")).hexdigest()
    assert bucket.promoted()["m_adelie"]["manifest"] == sum_of_manifest, "predict compares it"
    assert bucket.promoted()["m_adelie"].keys() == answers.promoted(["adelie"])["m_adelie"].keys(), "as rehearsed"


def test_more_files_than_one_page_lists_are_all_kept(bucket: Bucket) -> None:
    pages: list[str] = []

    def small(params: dict[str, Any], **_: Any) -> None:
        pages.append(params["Prefix"])
        params["MaxKeys"] = 3

    bucket.run("june", adelie=whole(**{f"part{number}": b"x" for number in range(10)}))
    listed = "provide-client-params.s3.ListObjectsV2"
    bucket.s3.meta.events.register(listed, small)
    try:
        promote(bucket.s3, NAMES, "june")
    finally:
        bucket.s3.meta.events.unregister(listed, small)
    assert len(pages) > len(set(pages)), "more than one page"
    assert len(bucket.keys("promoted/june/adelie/")) == 11


def test_promoting_again_is_the_same_and_copies_nothing(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"a"))
    promote(bucket.s3, NAMES, "june")
    before = bucket.promoted()
    times = [bucket.s3.head_object(Bucket=WORK, Key=key)["LastModified"] for key in bucket.keys("promoted/")]
    promote(bucket.s3, NAMES, "june")
    assert bucket.promoted() == before
    assert [bucket.s3.head_object(Bucket=WORK, Key=key)["LastModified"] for key in bucket.keys("promoted/")] == times


def test_what_an_interrupted_promotion_left_is_completed(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"abc", other=b"o"))
    bucket.put("promoted/june/adelie/job/learner", b"abc")
    promote(bucket.s3, NAMES, "june")
    assert len(bucket.keys("promoted/june/adelie/job/")) == 3


def test_a_model_that_was_trained_again_in_the_same_folder_is_another_one(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"old"))
    promote(bucket.s3, NAMES, "june")
    bucket.run("june", job="second", adelie=whole(learner=b"new"))
    promote(bucket.s3, NAMES, "june")
    place = bucket.promoted()["m_adelie"]["model_uri"].removeprefix(f"s3://{WORK}/")
    assert bucket.get(place + "learner") == b"new"


def test_a_model_that_is_not_whole_changes_nothing(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"a"))
    promote(bucket.s3, NAMES, "june")
    before = bucket.promoted()
    bucket.run("july", "in-july", adelie=whole(learner=b"new"), gentoo=whole(learner=b"g"))
    bucket.s3.delete_object(Bucket=WORK, Key="models/gentoo/0123abc/in-july/output/model/learner")
    with pytest.raises(NotPromoted, match=r"gentoo in s3://.* is not whole: its file learner is missing"):
        promote(bucket.s3, NAMES, "july")
    bucket.run("july", "in-july", gentoo={"manifest.json": b"[]", "learner": b"g"})
    with pytest.raises(NotPromoted, match="its manifest is not one that training wrote"):
        promote(bucket.s3, NAMES, "july")
    bucket.run("august", "in-august", gentoo=whole())
    bucket.s3.delete_object(Bucket=WORK, Key="models/gentoo/0123abc/in-august/output/model/manifest.json")
    with pytest.raises(NotPromoted, match="the files of gentoo are gone"):
        promote(bucket.s3, NAMES, "august")
    bucket.run("later", "in-september", gentoo=whole(learner=b"g"))
    verdicts = json.loads(bucket.get("runs/later/verdicts.json"))
    bucket.put("runs/later/verdicts.json", [{**verdicts[0], "manifest": "0" * 64}])
    with pytest.raises(NotPromoted, match="its manifest was changed after it was judged"):
        promote(bucket.s3, NAMES, "later")
    assert bucket.promoted() == before


def test_a_run_that_ended_before_it_recorded_its_verdicts_is_promoted_from_its_history(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"a"), gentoo=whole(learner=b"g"))
    bucket.s3.delete_object(Bucket=WORK, Key="runs/june/verdicts.json")
    with pytest.raises(NotPromoted, match="june has no verdicts"):
        promote(bucket.s3, NAMES, "june")
    told = [
        {"name": "adelie", "verdict": "accepted", "mae": 190, "job": "job"},
        {"name": "gentoo", "verdict": "rejected", "mae": 900, "job": "job"},
    ]
    assert named(promote(bucket.s3, NAMES, "june", lambda: told)) == "adelie (MAE 190)"
    assert bucket.promoted()["m_adelie"]["model_uri"] == f"s3://{WORK}/promoted/june/adelie/job/"


def test_a_promoted_model_is_named_with_the_score_of_its_metric() -> None:
    left = {"metric": "roc_auc", "mae": None, "score": 0.83}
    assert (
        named({"left": left, "old": {"mae": 200}, "none": {"mae": None}}) == "left (roc_auc 0.83), old (MAE 200), none"
    )


def test_an_accepted_model_that_a_default_replaced_is_promoted_itself(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"a"))
    (verdict,) = json.loads(bucket.get("runs/june/verdicts.json"))
    default = {"uses": "default", "model_uri": f"s3://{WORK}/promoted/old/adelie/x/", "manifest": "0" * 64}
    bucket.put("runs/june/verdicts.json", [{**verdict, **default, "image": "the default's"}])
    promote(bucket.s3, NAMES, "june")
    assert bucket.get("promoted/june/adelie/job/learner") == b"a"
    assert "image" not in bucket.promoted()["m_adelie"], "unknown, if its marker is gone"
    bucket.put("markers/models/adelie/0123abc.json", {"job": "job", "image": IMAGE})
    promote(bucket.s3, NAMES, "june")
    assert bucket.promoted()["m_adelie"]["image"] == IMAGE


def test_a_promoted_model_keeps_the_image_that_predicts_with_it(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"a"))
    promote(bucket.s3, NAMES, "june")
    assert bucket.promoted()["m_adelie"]["image"] == IMAGE


def test_a_promoted_model_names_the_program_that_trained_it(bucket: Bucket) -> None:
    manifest = {"files": {"model.tar.gz": "0" * 64}, "program": "container"}
    bucket.run("june", adelie={"model.tar.gz": b"a", "manifest.json": json.dumps(manifest).encode()})
    promote(bucket.s3, NAMES, "june")
    assert bucket.promoted()["m_adelie"]["program"] == "container"
    bucket.run("july", "another", adelie=whole(learner=b"a"))
    promote(bucket.s3, NAMES, "july")
    assert bucket.promoted()["m_adelie"]["program"] == "autogluon", "the first manifests name none"


def test_a_promoted_model_keeps_the_script_that_serves_it(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"a"))
    (verdict,) = json.loads(bucket.get("runs/june/verdicts.json"))
    serving = {"SAGEMAKER_PROGRAM": "train.py", "SAGEMAKER_SUBMIT_DIRECTORY": "s3://w/config/1/sourcedir.tar.gz"}
    bucket.put("runs/june/verdicts.json", [{**verdict, "serving": serving}])
    promote(bucket.s3, NAMES, "june")
    assert bucket.promoted()["m_adelie"]["serving"] == serving
    bucket.put("runs/june/verdicts.json", [{**verdict, "serving": {}, "uses": "default"}])
    bucket.put("markers/models/adelie/0123abc.json", {"job": "job", "image": IMAGE, "serving": serving})
    promote(bucket.s3, NAMES, "june")
    assert bucket.promoted()["m_adelie"]["serving"] == serving, "not the script of the default that replaced it"


def test_a_promoted_model_of_classes_is_marked(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"a"))
    verdicts = verdicts_of(bucket.s3, NAMES.work_bucket, "june")
    judged = [one | {"metric": "roc_auc", "score": 0.9} for one in verdicts]
    bucket.s3.put_object(Bucket=NAMES.work_bucket, Key="runs/june/verdicts.json", Body=json.dumps(judged).encode())
    promote(bucket.s3, NAMES, "june")
    assert bucket.promoted()["m_adelie"]["classes"] is True


def test_a_run_whose_models_the_config_no_longer_has_is_not_promoted(bucket: Bucket) -> None:
    bucket.run("june", chinstrap=whole(learner=b"c"))
    with pytest.raises(NotPromoted, match="accepted no model that the config still has"):
        promote(bucket.s3, NAMES, "june")


def test_verdicts_that_step_functions_wrote_as_a_text_are_read(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"a"))
    bucket.put("runs/june/verdicts.json", bucket.get("runs/june/verdicts.json").decode())
    assert named(promote(bucket.s3, NAMES, "june")) == "adelie (MAE 200)"


def test_a_copy_here_shares_its_bytes_with_the_model(bucket: Bucket) -> None:
    bucket.run("june", adelie=whole(learner=b"a" * 100_000))
    files = sum(1 for file in (bucket.aws.settings.work / "buckets").rglob("*") if file.is_file())
    promote(bucket.s3, NAMES, "june")
    after = sum(1 for file in (bucket.aws.settings.work / "buckets").rglob("*") if file.is_file())
    assert after == files + 1  # promoted.json


def test_the_models_of_a_deleted_bucket_cannot_be_promoted(bucket: Bucket) -> None:
    other = Names(loads(CONFIG.replace("penguins", "others", 1), "config.yml", None, {}).config)
    verdict = {"name": "adelie", "verdict": "accepted", "uses": "trained", "mae": 200, "job": "job"}
    with pytest.raises(NotPromoted, match=f"the bucket {other.work_bucket} is gone"):
        promote(bucket.s3, other, "run", lambda: [verdict])
