"""The stand-in of prepare for a config whose models are found in the data: writes their groups, without rows.

In orders.json, `partitions` is the number of models, `small` how many of them have too few rows, and `rows` changes
models by name; the other orders change all models.
"""

import hashlib
import json
import os
import sys
from typing import Any

from stage import inputs, output, read, write

sys.path.insert(0, os.path.join(os.path.dirname(__file__), *[".."] * 3, "code"))
from partitions import grouped, name_of


def write_groups(config: str, orders: str) -> None:
    told = json.loads(orders)
    count, rows, small = told.pop("partitions", 10), told.pop("rows", {}), told.pop("small", 0)
    values = {name_of(f"store-{number}"): f"store-{number}" for number in range(count)}
    few = set(list(values)[:small])
    known = f"{inputs}/promoted/promoted-partitions.json"
    promoted = json.loads(read(known))["models"] if os.path.exists(known) else {}
    groups = grouped(dict.fromkeys(values, 400), json.loads(config)["fan_out"]["models_per_job"])
    for group, names in groups.items():
        models = [entry(name, values[name], place, f"{rows.get(name)} {told}") for place, name in enumerate(names)]
        for model in models:
            if model["name"] in promoted:
                model["promoted"] = promoted[model["name"]]
            if model["name"] in few:
                model |= {"train": None, "reason": "1 row with a label, fewer than min_rows: 50"}
        text = json.dumps({"group": group, "models": models})
        write(f"{output}/groups/{group}/config.json", config)
        write(f"{output}/groups/{group}/group.json", text)
        write(f"{output}/groups/{group}/orders.json", orders)
        write(f"{output}/numbers/{group}.json", text)
        for place in ("groups/{}/train", "groups/{}/test", "groups/{}/predict", "numbers/{}"):
            write(f"{output}/{place.format(group)}.parquet", group)
    listed = [{"group": group, "models": len(names)} for group, names in groups.items()]
    found = {"groups": len(groups), "models": count, "to_train": count - small, "small": small}
    write(f"{output}/groups.json", json.dumps(listed))
    write(f"{output}/fingerprints.json", json.dumps({"partitioned": found, "gaps": count}))
    write(f"{output}/rows/orders.json", orders)
    write(f"{output}/numbers/orders.json", orders)
    summary = {"count": count, "rows_train": count, "rows_predict": count}
    summary["small"] = {"count": small, "otherwise": json.loads(config)["partitioned"]["otherwise"], "examples": []}
    write(f"{output}/profile.json", json.dumps({"models": summary}))


def entry(name: str, value: str, place: int, found: str) -> dict[str, Any]:
    print_ = hashlib.sha256(f"{name} {found}".encode()).hexdigest()
    rows = {"rows_train": 1, "rows_test": 1, "rows_predict": 1}
    parts = {"train": place, "test": place, "predict": place}
    return {"name": name, "value": value, **rows, "train": print_, "predict": print_, "row_groups": parts}
