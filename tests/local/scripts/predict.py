import os

from stage import inputs, obey, root, write

model = os.environ["STEPGLUON_MODEL"]
obey(f"predict-{model}", inputs / "rows")
assert (inputs / "model" / "model.bin").read_text() == model
write(root / "processing" / "output" / "0.parquet", model)
