"""The request that makes a model a version in SageMaker's model registry (docs/decisions/0026)."""

from __future__ import annotations

from typing import Any

from stepgluon.programs import Program
from stepgluon.workflow.expressions import expression, jsonata

# What `serve` of our images reads and writes.
_READS = ["text/csv", "application/json", "application/jsonlines", "application/x-parquet"]
_WRITES = ["text/csv", "application/json", "application/jsonlines"]


def request(model: str, metric: str, program: Program, approval: str, scripted: bool) -> str:
    """`model` is the expression of the model's data. The same model gives the same request in every run.

    Our images serve the model's folder, any other container its own archive. An AWS image needs the variables that say
    where its script is.
    """
    place = f"{model}.place & '/' & $own.job"
    folder = f"$work & {place} & '/output/model/'"
    score, baseline = ("mae", "mae_of_median") if metric == "mae" else ("score", "baseline")
    source = {"S3Uri": expression(folder), "S3DataType": "S3Prefix", "CompressionType": "None"}
    data: dict[str, Any] = {"ModelDataSource": {"S3DataSource": source}}
    if not program.predicting_image:
        data = {"ModelDataUrl": expression(f"$work & {place} & '/output/model.tar.gz'")}
    if scripted:
        data["Environment"] = expression(f"($exists($own.serving) ? $own.serving : {model}.serving)")
    image = f"($exists($own.image) ? $own.image : {model}.trained.image)"
    statistics = {"ContentType": "application/json", "S3Uri": expression(f"{folder} & 'metrics.json'")}
    metadata = {
        "metric": metric,
        "score": expression(f"$string($own.{score})"),
        "baseline": expression(f"$type($own.{baseline}) = 'number' ? $string($own.{baseline})"),
        "run": expression("$exists($own.run) ? $own.run : $run"),
        "job": expression("$own.job"),
        "data": expression(f"{model}.data"),
        "manifest": expression("$own.manifest"),
        "program": program.name,
    }
    return jsonata(
        {
            "ModelPackageGroupName": expression(f"{model}.group"),
            "ModelApprovalStatus": approval,
            "ClientToken": expression(f"$substring($hash({place}, 'SHA-256'), 0, 36)"),
            "InferenceSpecification": {
                "Containers": [{"Image": expression(image), **data}],
                "SupportedContentTypes": _READS,
                "SupportedResponseMIMETypes": _WRITES,
            },
            "ModelMetrics": {"ModelQuality": {"Statistics": statistics}},
            "CustomerMetadataProperties": metadata,
        }
    )
