"""Measures the model on images that its training has not seen. It runs in the model's container.

Reads /opt/ml/processing/input/model and .../test, and writes /opt/ml/processing/output/metrics.json.
"""

from __future__ import annotations

import json
from pathlib import Path

from digits import load, read  # the module in the image

HERE = Path("/opt/ml/processing")


def main() -> None:
    images, digits = read(HERE / "input" / "test")
    found = load(HERE / "input" / "model").predict(images)
    right = [one == other for one, other in zip(found.tolist(), digits, strict=True)]
    metrics = {"accuracy": sum(right) / len(right), "images": len(right)}
    (HERE / "output" / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()
