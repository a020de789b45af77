"""The facts that were taken from botocore are those of the botocore that is installed."""

from __future__ import annotations

import json
from typing import Any

from botocore.loaders import Loader
from golden import same_as

from stepgluon.config.aws_facts import FILE


def from_botocore() -> dict[str, Any]:
    loader = Loader()
    shapes = loader.load_service_model("sagemaker", "service-2")["shapes"]
    return {
        "partitions": [
            {
                "name": partition["id"],
                "dns_suffix": partition["outputs"]["dnsSuffix"],
                "region_pattern": partition["regionRegex"],
                "regions": sorted(region for region in partition["regions"] if not region.endswith("-global")),
            }
            for partition in loader.load_data("partitions")["partitions"]
        ],
        "training_instances": sorted(shapes["TrainingInstanceType"]["enum"]),
        "processing_instances": sorted(shapes["ProcessingInstanceType"]["enum"]),
        "transform_instances": sorted(shapes["TransformInstanceType"]["enum"]),
        "hosting_instances": sorted(shapes["ProductionVariantInstanceType"]["enum"]),
    }


def test_the_facts_are_those_of_the_installed_botocore() -> None:
    assert same_as(FILE, json.dumps(from_botocore(), indent=1) + "\n"), "GOLDEN=write writes them anew"
