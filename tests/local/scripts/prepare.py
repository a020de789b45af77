import hashlib
import json
import sys

from stage import inputs, obey, orders_in, output, read, write

raw = f"{inputs}/raw"
obey("prepare", raw)
config, orders = read(f"{inputs}/config/config.json"), orders_in(raw)
if json.loads(config).get("partitioned"):
    from prepare_groups import write_groups

    write_groups(config, orders)
    sys.exit()
write(f"{output}/profile.json", "{}")
models = [model["name"] for model in json.loads(config)["models"]]
told = json.loads(orders)
rows = told.pop("rows", {})  # by model; the other orders change all models
prints = [hashlib.sha256(f"{name} {rows.get(name)} {told}".encode()).hexdigest() for name in models]
fingerprints = [
    {"name": name, "train": found, "predict": found, "files": ["0.parquet"], "rows": 1}
    for name, found in zip(models, prints, strict=True)
]
write(f"{output}/fingerprints.json", json.dumps({"gaps": len(models), "models": fingerprints}))
parts = [f"{part}/{name}" for name in models for part in ("models", "predict")]
for place in ["rows", "numbers", *parts]:
    write(f"{output}/{place}/orders.json", orders)
for name in models:
    write(f"{output}/models/{name}/config.json", config)
    write(f"{output}/models/{name}/train/0.parquet", name)
    write(f"{output}/predict/{name}/0.parquet", name)
