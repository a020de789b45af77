"""`promote RUN`: makes the accepted models of a run the defaults.

Their files are copied, within S3, to promoted/<run>/<model>/<job>/ of the work bucket: what is below runs/ may be
cleaned up. When all are there, promoted.json is written: one small object, so promoting is atomic, and an interrupted
one changed nothing. Models that the run did not accept keep the defaults that they had.
docs/decisions/0001 has the form.
"""

from __future__ import annotations

import json
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import transfers
from stepgluon.errors import StepgluonError
from stepgluon.names import DEFAULTS, PROMOTED, Names
from stepgluon.runs.files import read_json, sizes

MANIFEST = "manifest.json"  # which code/model_folder.py writes beside a model


class NotPromoted(StepgluonError):
    """The run has nothing that could be promoted."""


def promote(s3: Any, names: Names, run: str) -> dict[str, Any]:
    """The models that were promoted, by name, with their error."""
    bucket = names.work_bucket
    accepted = _accepted(s3, bucket, run)
    models = [model for model in names.config.models if model.name in accepted]
    if not models:
        raise NotPromoted(f"{run} accepted no model that the config still has (promote a later run)")
    places = {model.name: _kept(s3, bucket, run, accepted[model.name]) for model in models}
    before = read_json(s3, bucket, PROMOTED)
    promoted = dict(before) if isinstance(before, dict) else {}
    for model in models:
        promoted[names.key(model)] = {
            "uses": "default",
            "model_uri": places[model.name],
            "run": run,
            "default_mae": accepted[model.name]["mae"],
        }
    text = json.dumps(promoted, indent=1, sort_keys=True, allow_nan=False)
    s3.put_object(Bucket=bucket, Key=PROMOTED, Body=text.encode(), ContentType="application/json")
    return {model.name: accepted[model.name]["mae"] for model in models}


def verdicts_of(s3: Any, bucket: str, run: str) -> list[dict[str, Any]] | None:
    """The verdicts of a run, or None where it has none."""
    verdicts = read_json(s3, bucket, f"runs/{run}/verdicts.json")
    if isinstance(verdicts, str):  # Step Functions may write the list as a text
        verdicts = json.loads(verdicts)
    return verdicts if isinstance(verdicts, list) else None


def _accepted(s3: Any, bucket: str, run: str) -> dict[str, dict[str, Any]]:
    verdicts = verdicts_of(s3, bucket, run)
    if verdicts is None:
        raise NotPromoted(
            f"{run} has no verdicts (`{pipeline_py('runs')}` lists the runs; it must have judged its models)"
        )
    accepted = {v["name"]: v for v in verdicts if v.get("verdict") == "accepted" and v.get("uses") == "trained"}
    if not accepted:
        told = ", ".join(f"{v['name']} was {v['verdict']}" for v in verdicts)
        raise NotPromoted(f"{run} has no accepted model: {told} (promote a run that was good, or raise the threshold)")
    return accepted


def _kept(s3: Any, bucket: str, run: str, verdict: dict[str, Any]) -> str:
    """Copies a model's files to where they stay; returns that place. What is there already is not copied again."""
    source = str(verdict["model_uri"]).removeprefix(f"s3://{bucket}/")
    job = source.removeprefix(f"runs/{run}/models/{verdict['name']}/").partition("/")[0]
    target = f"{DEFAULTS}/{run}/{verdict['name']}/{job}/"  # a run that was taken up may have trained it twice
    files = sizes(s3, bucket, source)
    _whole(s3, bucket, source, files, verdict["name"])
    there = sizes(s3, bucket, target)
    missing = {name: size for name, size in files.items() if there.get(name) != size}
    with transfers(s3) as manager:
        copies = [
            manager.copy({"Bucket": bucket, "Key": source + name}, bucket, target + name, source_client=s3)
            for name in missing
        ]
        for copy in copies:
            copy.result()
    if sizes(s3, bucket, target) != files:
        raise NotPromoted(
            f"the copy of {verdict['name']} in s3://{bucket}/{target} is not like the model "
            f"(remove that folder, and promote again)"
        )
    return f"s3://{bucket}/{target}"


def _whole(s3: Any, bucket: str, source: str, files: dict[str, int], model: str) -> None:
    """Raises where files of the manifest are missing; the prediction job compares their sums before it loads any."""
    if not files:
        raise NotPromoted(f"the files of {model} are gone from s3://{bucket}/{source} (promote a later run)")
    if MANIFEST not in files:
        return  # a training script of the user's own may write none
    manifest = read_json(s3, bucket, source + MANIFEST)
    expected = manifest.get("files") if isinstance(manifest, dict) else None
    absent = sorted(set(expected or ()) - files.keys())
    if not isinstance(expected, dict) or absent:
        what = f"its file {absent[0]} is missing" if absent else "its manifest is not one that training wrote"
        raise NotPromoted(f"{model} in s3://{bucket}/{source} is not whole: {what} (promote another run)")
