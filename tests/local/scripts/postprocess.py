import json

from stage import inputs, obey, root, write

obey("post", inputs / "rows")
verdicts = json.loads((inputs / "verdicts" / "verdicts.json").read_text())
predictions = {file.parents[2].name: file.read_text() for file in (inputs / "predictions").rglob("*.parquet")}
expected = {v["name"]: v["name"] for v in verdicts if v["outcome"] == "predicted"}
assert predictions == expected, "a prediction is missing or not whole"
found = sorted(predictions)
out = root / "processing" / "output"
write(out / "summary.json", json.dumps({"predicted": found, "uses": {v["name"]: v["uses"] for v in verdicts}}))
write(out / "predictions.csv", "\n".join(found))
write(out / "_SUCCESS", "")
