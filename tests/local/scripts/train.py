import os
import sys

from stage import obey, read, root, write

parameters = eval(read(f"{root}/input/config/hyperparameters.json"))  # JSON of texts alone is Python, too
if "group" in parameters:
    import groups

    groups.train()
    sys.exit()
model = parameters["model"]
order = obey(f"train-{model}", f"{root}/input/data/data")
assert read(f"{root}/input/data/data/train/0.parquet") == model
print(f"training {model} on {os.environ['STEPGLUON_CORES']} cores")
write(f"{root}/model/metrics.json", order.removeprefix("score ") if order.startswith("score ") else '{"mae": 200}')
write(f"{root}/model/model.bin", model)
