import json
import os
import sys

from stage import inputs, obey, output, read, write

if os.path.exists(f"{inputs}/choices"):
    import groups

    groups.assemble()
    sys.exit()
obey("post", f"{inputs}/rows")
verdicts = json.loads(read(f"{inputs}/verdicts/verdicts.json"))
folder = f"{inputs}/predictions"
found = [
    (place, file) for place, _, files in os.walk(folder) for file in files if file.endswith(".parquet")
]  # .../<model>/<fingerprint>/<job>/<file>
predictions = {place.split("/")[-3]: read(f"{place}/{file}") for place, file in found}
expected = {v["name"]: v["name"] for v in verdicts if v["outcome"] == "predicted"}
assert predictions == expected, "a prediction is missing or not whole"
names = sorted(predictions)
write(f"{output}/summary.json", json.dumps({"predicted": names, "uses": {v["name"]: v["uses"] for v in verdicts}}))
write(f"{output}/predictions.csv", "\n".join(names))
write(f"{output}/report.html", "<!--stepgluon:run--> predictions <!--stepgluon:timeline-->")
write(f"{output}/_SUCCESS", "")
