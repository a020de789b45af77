import json
import os

from stage import obey, root, write

model = json.loads((root / "input" / "config" / "hyperparameters.json").read_text())["model"]
order = obey(f"train-{model}", root / "input" / "data" / "data")
print(f"training {model} on {os.environ['STEPGLUON_CORES']} cores")
write(root / "model" / "metrics.json", order.removeprefix("score ") or json.dumps({"mae": 200}))
write(root / "model" / "model.bin", model)
