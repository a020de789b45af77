import os
import sys

from stage import inputs, obey, output, read, write

if os.path.exists(f"{inputs}/group"):
    import groups

    groups.predict()
    sys.exit()
model = os.environ["STEPGLUON_MODEL"]
obey(f"predict-{model}", f"{inputs}/rows")
if os.path.exists(f"{inputs}/model/manifest.json"):  # a model for the real job
    import runpy

    code = os.path.join(os.path.dirname(__file__), *[".."] * 3, "code")
    sys.path.insert(0, code)
    runpy.run_path(f"{code}/predict.py", run_name="__main__")
assert read(f"{inputs}/model/model.bin") == model
write(f"{output}/0.parquet", model)
