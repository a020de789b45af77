"""Measures the classifier on images that its training has not seen. It runs in the model's container."""

from __future__ import annotations

import json
from pathlib import Path

from flowers import Classifier, labelled  # the module in the image

HERE = Path("/opt/ml/processing")


def main() -> None:
    classifier = Classifier(HERE / "input" / "model")
    right = [classifier.kind(path.read_bytes()) == kind for path, kind in labelled(HERE / "input" / "test")]
    metrics = {"accuracy": sum(right) / len(right), "images": len(right)}
    (HERE / "output" / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()
