"""[sfn] ResultWriter: the results of a Map Run in S3, and a manifest that lists the files."""

from __future__ import annotations

import json
from typing import Any

from localaws.stepfunctions.map_items import Evaluated
from localaws.stepfunctions.map_run import MapRun


def write(writer: dict[str, Any], value: Evaluated, run: MapRun, results: list[dict[str, Any]], s3: Any) -> Any:
    """The state's result: the manifest's address or, without a Resource, the transformed results."""
    config = writer.get("WriterConfig", {})
    kind = config.get("Transformation", "NONE")
    if "Resource" not in writer:
        return _transformed(results, kind)
    place = value(writer.get("Arguments", {}), "ResultWriter/Arguments")
    lines, prefix = config.get("OutputType") == "JSONL", place.get("Prefix", "").rstrip("/")
    folder = f"{prefix}/{run.id}" if prefix else run.id
    files: dict[str, list[Any]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for name, wanted in (("FAILED", False), ("SUCCEEDED", True)):
        some = _transformed([one for one in results if (one["status"] == "SUCCEEDED") is wanted], kind)
        if some:
            texts = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in some]
            body = ("\n".join(texts) if lines else f"[{','.join(texts)}]").encode()
            key = f"{folder}/{name}_0.json{'l' if lines else ''}"
            s3.put_object(Bucket=place["Bucket"], Key=key, Body=body)
            files[name].append({"Key": key, "Size": len(body)})
    manifest = {"DestinationBucket": place["Bucket"], "MapRunArn": run.arn, "ResultFiles": files}
    key = f"{folder}/manifest.json"
    s3.put_object(Bucket=place["Bucket"], Key=key, Body=json.dumps(manifest).encode())
    run.written = len(results)
    return {"MapRunArn": run.arn, "ResultWriterDetails": {"Bucket": place["Bucket"], "Key": key}}


def _transformed(results: list[dict[str, Any]], kind: str) -> list[Any]:
    """The results after the Transformation; a failed execution's keeps its metadata."""
    if kind == "NONE":
        return [one["full"] for one in results]
    values = [one["value"] for one in results]
    if kind == "FLATTEN":
        return [inner for one in values for inner in (one if isinstance(one, list) else [one])]
    return values
