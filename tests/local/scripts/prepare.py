import json

from stage import inputs, obey, root, write

raw, out = inputs / "raw", root / "processing" / "output"
obey("prepare", raw)
config = (inputs / "config" / "config.json").read_text()
orders = (raw / "orders.json").read_text() if (raw / "orders.json").exists() else "{}"
write(out / "profile.json", "{}")
for place in ["rows"] + [f"{part}/{m['name']}" for m in json.loads(config)["models"] for part in ("models", "predict")]:
    write(out / place / "orders.json", orders)
for model in json.loads(config)["models"]:
    write(out / "models" / model["name"] / "config.json", config)
    write(out / "models" / model["name"] / "train" / "0.parquet", model["name"])
    write(out / "predict" / model["name"] / "0.parquet", model["name"])
