import json

from stage import inputs, obey, root, write

obey("post", inputs / "rows")
verdicts = json.loads((inputs / "verdicts" / "verdicts.json").read_text())
found = sorted(file.parent.name for file in (inputs / "predictions").rglob("*.parquet"))
out = root / "processing" / "output"
write(out / "summary.json", json.dumps({"predicted": found, "uses": {v["name"]: v["uses"] for v in verdicts}}))
write(out / "predictions.csv", "\n".join(found))
write(out / "_SUCCESS", "")
