"""`promote RUN`: makes the accepted models of a run the defaults.

Copies their files within S3 to promoted/<run>/<model>/<job>/ in the work bucket, because models/ may be cleaned up.
Then it writes promoted.json: one small object, so promotion is atomic, and an interrupted one changes nothing. Models
that the run did not accept keep their defaults. For the format, see docs/decisions/0001.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import transfers
from stepgluon.config.metrics import METRICS
from stepgluon.errors import StepgluonError
from stepgluon.names import DEFAULTS, PROMOTED, Names
from stepgluon.programs import AUTOGLUON
from stepgluon.runs.executions import read_json, sizes
from stepgluon.runs.history import metric_of, number, score_of
from stepgluon.runs.model_registry import approve

MANIFEST = "manifest.json"  # written by code/model_folder.py


class NotPromoted(StepgluonError):
    """The run has no model to promote."""


Verdicts = list[dict[str, Any]]


def promote(
    s3: Any, names: Names, run: str, judged: Callable[[], Verdicts] = list, sagemaker: Callable[[], Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Promote the run's models, and approve their versions in the registry; return their verdicts by name.

    `sagemaker` makes the client, which is needed if a model is registered. `judged` reads the verdicts from the history
    of a run that ended before recording them.
    """
    bucket = names.work_bucket
    accepted = _accepted(run, verdicts_of(s3, bucket, run) or judged())
    models = [model for model in names.config.models if model.name in accepted]
    if not models:
        raise NotPromoted(f"{run} accepted no model that the config still has (promote a later run)")
    try:
        places = {model.name: _kept(s3, bucket, run, accepted[model.name]) for model in models}
    except s3.exceptions.NoSuchBucket:
        raise NotPromoted(
            f"the bucket {bucket} is gone, and the models of {run} with it (promote a later run)"
        ) from None
    if sagemaker and names.config.registers:
        approve(sagemaker(), names, run, accepted)
    before = read_json(s3, bucket, PROMOTED)
    promoted = dict(before) if isinstance(before, dict) else {}
    for model in models:
        promoted[names.key(model)] = {
            "uses": "default",
            "model_uri": places[model.name][0],
            "manifest": places[model.name][1],
            "run": run,
            "default_mae": accepted[model.name]["mae"],
            **({"classes": True} if METRICS.get(metric_of(accepted[model.name]), METRICS["mae"]).classes else {}),
            **({"columns": accepted[model.name]["columns"]} if accepted[model.name].get("columns") else {}),
            **places[model.name][2],  # what predicts with it
        }
    text = json.dumps(promoted, indent=1, sort_keys=True, allow_nan=False)
    s3.put_object(Bucket=bucket, Key=PROMOTED, Body=text.encode(), ContentType="application/json")
    return {model.name: accepted[model.name] for model in models}


def named(promoted: dict[str, dict[str, Any]]) -> str:
    """`adelie (MAE 200), churn (roc_auc 0.83)`."""
    words = []
    for name, verdict in promoted.items():
        metric, score = metric_of(verdict).replace("mae", "MAE"), score_of(verdict)
        words.append(name if score is None else f"{name} ({metric} {number(score)})")
    return ", ".join(words)


def verdicts_of(s3: Any, bucket: str, run: str) -> Verdicts:
    """The verdicts that a run recorded."""
    verdicts = read_json(s3, bucket, f"runs/{run}/verdicts.json")
    if isinstance(verdicts, str):  # Step Functions may write the list as a string
        verdicts = json.loads(verdicts)
    return verdicts if isinstance(verdicts, list) else []


def _accepted(run: str, verdicts: Verdicts) -> dict[str, dict[str, Any]]:
    if not verdicts:
        raise NotPromoted(
            f"{run} has no verdicts (`{pipeline_py('runs')}` lists the runs; it must have judged its models)"
        )
    accepted = {v["name"]: v for v in verdicts if v.get("verdict") == "accepted"}
    if not accepted:
        outcomes = ", ".join(f"{v['name']} was {v['verdict']}" for v in verdicts)
        raise NotPromoted(f"{run} has no accepted model: {outcomes} (promote a run that was good, or loosen its limit)")
    return accepted


def _kept(s3: Any, bucket: str, run: str, verdict: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Copy a model's files, except those copied before; return their address, the manifest's checksum, and what
    predicts with them.
    """
    model, job = verdict["name"], verdict["job"]
    source = _place(s3, bucket, model, job)
    target = f"{DEFAULTS}/{run}/{model}/{job}/"
    files = sizes(s3, bucket, source) if source else {}
    if not files:
        raise NotPromoted(f"the files of {model} are gone from s3://{bucket}/models/{model}/ (promote a later run)")
    manifest, program = _whole(s3, bucket, source, files, verdict)
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
    return f"s3://{bucket}/{target}", manifest, program | _predicting(s3, bucket, source, verdict)


def _predicting(s3: Any, bucket: str, source: str, verdict: dict[str, Any]) -> dict[str, Any]:
    """The image that predicts with the model, and its script; a verdict of an earlier version may lack them."""
    found: Any = verdict
    if verdict.get("uses") == "default":
        # The verdict names the image of the default that replaced this model; the model's own is in its marker.
        found = read_json(s3, bucket, f"markers/{'/'.join(source.split('/')[:3])}.json")
    known = found if isinstance(found, dict) else {}
    return {name: known[name] for name in ("image", "serving") if known.get(name)}


def _place(s3: Any, bucket: str, model: str, job: str) -> str:
    """The folder of the model that a job trained: models/<model>/<fingerprint>/<job>/output/model/."""
    folder = f"models/{model}/"
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder, Delimiter="/"):
        for entry in page.get("CommonPrefixes", ()):
            place = f"{entry['Prefix']}{job}/output/model/"
            if s3.list_objects_v2(Bucket=bucket, Prefix=place, MaxKeys=1).get("Contents"):
                return place
    return ""


def _whole(
    s3: Any, bucket: str, source: str, files: dict[str, int], verdict: dict[str, Any]
) -> tuple[str, dict[str, str]]:
    """The manifest's checksum, which prediction jobs compare, and the program that trained the model; raises if a file
    is missing.

    A user's own training script may not write a manifest.
    """
    if MANIFEST not in files:
        return "", {}
    body = s3.get_object(Bucket=bucket, Key=source + MANIFEST)["Body"].read()
    digest, judged = hashlib.sha256(body).hexdigest(), verdict.get("manifest")
    program, expected = _listed(body)
    absent = sorted(set(expected or ()) - files.keys())
    if verdict.get("uses") != "default" and judged and judged != digest:  # for a default it is the default's own
        what = "its manifest was changed after it was judged"
    elif expected is None:
        what = "its manifest is not one that training wrote"
    elif absent:
        what = f"its file {absent[0]} is missing"
    else:
        return digest, {"program": program}
    raise NotPromoted(f"{verdict['name']} in s3://{bucket}/{source} is not whole: {what} (promote another run)")


def _listed(manifest: bytes) -> tuple[str, dict[str, Any] | None]:
    """The program and the files; None if it is not a manifest. The first manifests, of AutoGluon, name no program."""
    try:
        content = json.loads(manifest)
    except ValueError:
        content = None
    files = content.get("files") if isinstance(content, dict) else None
    return (str(content.get("program", AUTOGLUON.name)), files) if isinstance(files, dict) else ("", None)
