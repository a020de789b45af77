"""`promote RUN` for a run with a model for each partition: makes its accepted models, up to thousands, the defaults.

Copies their archives within S3 to promoted/partitions/<name>/<sha256 of the manifest>.tar.gz in the work bucket, then
writes promoted-partitions.json, which prepare reads. It is one object, so promotion is atomic and no run lists keys.
The copies are made in the same order each time, and a small object counts them, so an interrupted promotion can be
continued.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.aws import answer, transfers
from stepgluon.config.metrics import METRICS
from stepgluon.errors import counted
from stepgluon.figures import aligned
from stepgluon.names import DEFAULTS, PROMOTED_PARTITIONS, Names
from stepgluon.runs.executions import read_json, sizes
from stepgluon.runs.history import metric_of, number, score_of
from stepgluon.runs.promote import NotPromoted

FOLDER = f"{DEFAULTS}/partitions/"
PROGRESS = f"{FOLDER}unfinished.json"
READERS = 10  # botocore's pool of connections
WORST = 10  # models to list
RUNS = 5
BATCH = 500  # copies between two updates of PROGRESS

Choice = dict[str, Any]


def promote_partitions(s3: Any, names: Names, run: str) -> dict[str, Any]:
    """Promote the run's accepted models; return counts of them."""
    bucket = names.work_bucket
    choices = choices_of(s3, bucket, run)
    accepted = {one["name"]: one for one in choices if one.get("verdict") == "accepted"}
    if not accepted:
        raise NotPromoted(f"no model of {run} was accepted (promote a run that was good, or loosen its limit)")
    own = {name: one for name, one in accepted.items() if one.get("key") and one.get("manifest")}
    if not own:
        raise NotPromoted(f"the models that {run} accepted were trained again since then (promote the later run)")
    read = read_json(s3, bucket, PROMOTED_PARTITIONS)
    before = read["models"] if isinstance(read, dict) and isinstance(read.get("models"), dict) else {}
    after = {name: _entry(run, one) for name, one in own.items()}
    new = {name: one for name, one in own.items() if before.get(name, {}).get("key") != after[name]["key"]}
    _copied(s3, bucket, {one["key"]: after[name]["key"] for name, one in sorted(new.items())})
    text = json.dumps({"models": before | after}, sort_keys=True, allow_nan=False, separators=(",", ":"))
    s3.put_object(Bucket=bucket, Key=PROMOTED_PARTITIONS, Body=text.encode(), ContentType="application/json")
    s3.delete_object(Bucket=bucket, Key=PROGRESS)
    kept = len(before.keys() - after.keys())
    return {"promoted": len(after), "copied": len(new), "kept": kept, "skipped": len(accepted) - len(own)}


def choices_of(s3: Any, bucket: str, run: str) -> list[Choice]:
    """What each group's child execution decided about its models, in the groups' order.

    A model that was accepted, but replaced because another was rejected, has the promoted model's key in choices.json;
    its own key is in its group's marker.
    """
    folder = f"runs/{run}/groups/"
    keys = [key for key in sizes(s3, bucket, folder) if key.endswith("/choices.json")]
    if not keys:
        raise NotPromoted(
            f"{run} has no verdicts (`{pipeline_py('runs')}` lists the runs; it must have judged its models)"
        )

    def read(key: str) -> list[Choice]:
        found = read_json(s3, bucket, folder + key)
        models = [{**one, "image": found.get("image")} for one in found["models"]]
        if not any(one.get("verdict") == "accepted" and one.get("uses") != "trained" for one in models):
            return models
        marker = read_json(s3, bucket, f"markers/groups/{key.partition('/')[0]}.json") or {}
        known = {one["name"]: one for one in marker.get("models", [])}
        return [one if one.get("uses") == "trained" else one | _own(one, known.get(one["name"], {})) for one in models]

    with ThreadPoolExecutor(READERS) as readers:
        return [one for models in readers.map(read, sorted(keys)) for one in models]


def _own(choice: Choice, trained: dict[str, Any]) -> Choice:
    """The model's own archive, if the marker still has what was judged."""
    same = trained and score_of(trained | {"metric": choice.get("metric")}) == score_of(choice)
    return {key: trained[key] if same else "" for key in ("key", "manifest")}


def _entry(run: str, choice: Choice) -> dict[str, Any]:
    """[contract] What prepare and the group's prediction job read."""
    source = str(choice["key"])
    judged = ("mae", "threshold", "metric", "score", "at_most", "at_least", "image")
    known = {key: choice[key] for key in judged if choice.get(key) is not None}
    job = source.split("/")[-4] if source.count("/") >= 3 else ""  # models/groups/<g>/<hash>/<job>/output/model/<name>
    target = f"{FOLDER}{choice['name']}/{choice['manifest']}.tar.gz"
    return {"run": run, "job": job, "key": target, "manifest": choice["manifest"], **known}


def _copied(s3: Any, bucket: str, copies: dict[str, str]) -> None:
    """Copy each source to its target; an interrupted promotion of the same models is continued."""
    digest = hashlib.sha256(json.dumps(copies).encode()).hexdigest()
    noted = read_json(s3, bucket, PROGRESS)
    done = noted["done"] if isinstance(noted, dict) and noted.get("copies") == digest else 0
    pairs = list(copies.items())
    with ThreadPoolExecutor(READERS) as copiers:
        for start in range(done, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            gone = [source for source in copiers.map(lambda pair: _copy(s3, bucket, *pair), batch) if source]
            if gone:
                archives = "1 model archive is" if len(gone) == 1 else f"{len(gone):,} model archives are"
                raise NotPromoted(f"{archives} missing from the bucket {bucket}: {gone[0]} (promote a later run)")
            body = json.dumps({"copies": digest, "done": start + len(batch)}).encode()
            s3.put_object(Bucket=bucket, Key=PROGRESS, Body=body, ContentType="application/json")


def _copy(s3: Any, bucket: str, source: str, target: str) -> str:
    """Copy an object; return its key if it does not exist."""
    where, missing = {"Bucket": bucket, "Key": source}, ("NoSuchKey", "404", "NoSuchBucket")
    # [s3] CopyObject refuses more than 5 GiB, as an invalid request.
    if answer(lambda: s3.copy_object(CopySource=where, Bucket=bucket, Key=target), "InvalidRequest", *missing):
        return ""
    if answer(lambda: s3.head_object(**where), *missing) is None:
        return source
    with transfers(s3) as manager:
        manager.copy(where, bucket, target, source_client=s3).result()
    return ""


def words(run: str, counts: dict[str, Any]) -> str:
    """`Promoted from run june: 9,107 models (12 copied). 893 other partitions have kept their promoted model.`"""
    text = f"Promoted from run {run}: {counted(counts['promoted'], 'model')} ({counts['copied']:,} copied)."
    if kept := counts["kept"]:
        have, their = ("has", "its") if kept == 1 else ("have", "their")
        text += f" {counted(kept, 'other partition')} {have} kept {their} promoted model."
    if counts["skipped"]:
        text += f" Trained again since then, and left out: {counted(counts['skipped'], 'accepted model')}."
    return f"{text}\n"


def promoted_models(s3: Any, names: Names) -> dict[str, Any]:
    """How many partitions have a promoted model, of which runs, and those with the largest errors."""
    read = read_json(s3, names.work_bucket, PROMOTED_PARTITIONS)
    models: dict[str, dict[str, Any]] = read["models"] if isinstance(read, dict) else {}
    scored = [(score, name) for name, one in models.items() if (score := score_of(one)) is not None]
    metric = next((metric_of(one) for one in models.values()), "mae")
    worst = sorted(scored, reverse=not METRICS.get(metric, METRICS["mae"]).higher)[:WORST]
    return {
        "models": len(models),
        "runs": dict(Counter(str(one.get("run")) for one in models.values()).most_common()),
        "metric": metric,
        "worst": [{"name": name, "score": score} for score, name in worst],
    }


def promoted_words(found: dict[str, Any]) -> str:
    if not found["models"]:
        return f"No models are promoted yet ({pipeline_py('promote RUN')}).\n"
    runs = [f"{counted(count, 'model')} of {run}" for run, count in found["runs"].items()]
    more = f" and of {len(runs) - RUNS} more runs" if len(runs) > RUNS else ""
    have = "has" if found["models"] == 1 else "have"
    lines = [f"{counted(found['models'], 'partition')} {have} a promoted model: {', '.join(runs[:RUNS])}{more}."]
    if found["worst"]:
        lines += ["", f"The largest errors ({found['metric'].replace('mae', 'MAE')}):"]
        lines += aligned([(one["name"], number(one["score"])) for one in found["worst"]], indent="  ")
    return "\n".join(lines) + "\n"
