"""`promote RUN`: makes the accepted models of a run the defaults.

promoted.json is one small object, so promoting is atomic; models that the run did not accept keep the defaults that
they had. docs/decisions/0001-what-a-job-sees.md has its form.
"""

from __future__ import annotations

import json
from typing import Any

from stepgluon.errors import StepgluonError
from stepgluon.names import PROMOTED, Names


class NotPromoted(StepgluonError):
    """The run has nothing that could be promoted."""


def promote(s3: Any, names: Names, run: str) -> dict[str, Any]:
    """The models that were promoted, by name, with their error."""
    bucket = names.work_bucket
    verdicts = _read(s3, bucket, f"runs/{run}/verdicts.json")
    if verdicts is None:
        raise NotPromoted(
            f"{run} has no verdicts (`python pipeline.py runs` lists the runs; it must have judged its models)"
        )
    if isinstance(verdicts, str):  # Step Functions may write the list as a text
        verdicts = json.loads(verdicts)
    accepted = {v["name"]: v for v in verdicts if v.get("verdict") == "accepted" and v.get("uses") == "trained"}
    models = [model for model in names.config.models if model.name in accepted]
    if not models:
        told = ", ".join(f"{v['name']} was {v['verdict']}" for v in verdicts)
        raise NotPromoted(f"{run} has no accepted model: {told} (promote a run that was good, or raise the threshold)")
    before = _read(s3, bucket, PROMOTED)
    promoted = dict(before) if isinstance(before, dict) else {}
    for model in models:
        verdict = accepted[model.name]
        promoted[names.key(model)] = {
            "uses": "default",
            "model_uri": verdict["model_uri"],
            "run": run,
            "default_mae": verdict["mae"],
        }
    text = json.dumps(promoted, indent=1, sort_keys=True, allow_nan=False)
    s3.put_object(Bucket=bucket, Key=PROMOTED, Body=text.encode(), ContentType="application/json")
    return {model.name: accepted[model.name]["mae"] for model in models}


def _read(s3: Any, bucket: str, key: str) -> Any:
    from botocore.exceptions import ClientError

    try:
        return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket", "404"):
            return None
        raise
