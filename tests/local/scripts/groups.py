"""The stand-ins of the jobs of a group of models, and of post-process with groups: each model must be there once."""

import hashlib
import json
import os

from stage import inputs, obey, output, read, root, write


def train() -> None:
    """Each model is an archive with its fingerprint as text; a finished one is found again in the checkpoints."""
    data = f"{root}/input/data/data"
    group = json.loads(read(f"{data}/group.json"))
    order = obey(f"train-{group['group']}", data)
    score = json.loads(order.removeprefix("score ")) if order.startswith("score ") else {"mae": 200}
    entries = {model["name"]: model for model in group["models"]}
    found = []
    for name in json.loads(read(f"{root}/input/data/todo/todo.json"))["models"]:
        print_ = entries[name]["train"]
        kept = f"{root}/checkpoints/{print_}.json"
        if not os.path.exists(kept):
            write(kept, name)
        write(f"{root}/model/{name}.tar.gz", print_)
        manifest = hashlib.sha256(print_.encode()).hexdigest()
        found.append({"name": name, "fingerprint": print_, **score, "manifest": manifest})
    write(f"{root}/model/group.json", json.dumps({"group": group["group"], "seconds": 0, "models": found}))


def predict() -> None:
    group = json.loads(read(f"{inputs}/group/group.json"))
    obey(f"predict-{group['group']}", f"{inputs}/group")
    choices = {one["name"]: one for one in json.loads(read(f"{inputs}/choices/choices.json"))["models"]}
    for place, _, files in os.walk(f"{inputs}/models/predictions"):
        if "predictions.parquet" in files:
            print("predicted last:", len(json.loads(read(f"{place}/result.json"))["models"]))
    found = []
    for model in group["models"]:
        choice = choices[model["name"]]
        if model["rows_predict"] and choice["uses"] != "nothing":
            archive = read(f"{inputs}/models/{choice['key']}")
            assert hashlib.sha256(archive.encode()).hexdigest() == choice["manifest"]
            found.append({"name": model["name"], "row_group": len(found)})
    write(f"{output}/predictions.parquet", "\n".join(one["name"] for one in found))
    write(f"{output}/result.json", json.dumps({"models": found}))


def assemble() -> None:
    obey("post", f"{inputs}/rows")
    predicted: list[str] = []
    for place, _, files in os.walk(f"{inputs}/predictions"):
        if "result.json" in files:
            predicted += [
                one["name"] for one in json.loads(read(f"{place}/result.json"))["models"] if "row_group" in one
            ]
    assert len(set(predicted)) == len(predicted), "a model has predicted twice"
    there = set(predicted)
    models, missing = [], []
    for file in sorted(os.listdir(f"{inputs}/numbers")):
        if not file.startswith("g") or not file.endswith(".json"):
            continue
        found = f"{inputs}/choices/{file[:-5]}/choices.json"
        choices = {one["name"]: one for one in json.loads(read(found))["models"]} if os.path.exists(found) else {}
        for model in json.loads(read(f"{inputs}/numbers/{file}"))["models"]:
            choice = choices.get(model["name"], {"uses": "", "verdict": "", "reason": "Its group failed."})
            named = {"name": model["name"], "value": model["value"], "group": file[:-5]}
            models.append({**named, "uses": choice["uses"], "verdict": choice["verdict"]})
            if model["name"] not in there and (choice["uses"] != "nothing" or model["train"]):
                missing.append({"name": model["name"], "value": model["value"], "reason": choice["reason"]})
    counts = {verdict: sum(model["verdict"] == verdict for model in models) for verdict in ("accepted", "rejected")}
    headline = {"models": len(models), "trained": len(models), "cached": 0, **counts, "default": 0, "failed_groups": []}
    headline |= {"open": len(models) - len(there) - len(missing), "missing": len(missing), "gaps": len(models)}
    groups = sum(file.endswith(".json") for file in os.listdir(f"{inputs}/numbers"))
    headline |= {"filled": len(there), "predicting": len(there), "groups": groups}
    headline |= {"worst": [], "missing_models": missing[:20]}
    write(f"{output}/headline.json", json.dumps(headline))
    write(f"{output}/summary.json", json.dumps({"predicted": sorted(there), "models": models, "headline": headline}))
    write(f"{output}/predictions.csv", "\n".join(sorted(there)))
    write(f"{output}/report.html", "<!--stepgluon:run--> predictions <!--stepgluon:timeline-->")
    write(f"{output}/_SUCCESS", "")
