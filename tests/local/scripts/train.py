import json
import os

from stage import obey, root, write

model = json.loads((root / "input" / "config" / "hyperparameters.json").read_text())["model"]
order = obey(f"train-{model}", root / "input" / "data" / "data")
assert (root / "input" / "data" / "data" / "train" / "0.parquet").read_text() == model
print(f"training {model} on {os.environ['STEPGLUON_CORES']} cores")
score = order.removeprefix("score ") if order.startswith("score ") else json.dumps({"mae": 200})
write(root / "model" / "metrics.json", score)
write(root / "model" / "model.bin", model)
