"""What profile.json says of the columns, for the report."""

from __future__ import annotations

import json
from typing import Any

import column_stats
import pytest
from job_sandbox import Sandbox, config


def prepared(box: Sandbox, text: str, *models: dict[str, Any]) -> dict[str, Any]:
    box.write("a.csv", text)
    box.configure(config(*models))
    outcome = box.run("prepare.py")
    assert outcome.code == 0, outcome.log
    profile: dict[str, Any] = json.loads((box.out / "profile.json").read_text())
    return profile


def column(profile: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in profile["columns"] if each["name"] == name)


def test_columns_have_distinct_values_and_a_histogram_of_known_and_predicted_rows(sandbox: Sandbox) -> None:
    rows = [f"{n},{'ab'[n % 2]},2026-01-{n % 28 + 1:02},{'' if n >= 80 else n}" for n in range(100)]
    profile = prepared(sandbox, "x,t,d,y\n" + "\n".join(rows) + "\n")
    x, t, d = (column(profile, name) for name in "xtd")
    assert (x["distinct"], t["distinct"], d["distinct"], profile["sampled_rows"]) == (100, 2, 28, 100)
    assert x["histogram"] == {"from": 0, "to": 99, "known": [5] * 16 + [0] * 4, "predict": [0] * 16 + [5] * 4}
    assert t["top"] == [["a", 40, 10], ["b", 40, 10]]
    assert (d["histogram"]["from"], d["histogram"]["to"]) == ("2026-01-01", "2026-01-28")
    assert sum(d["histogram"]["known"]) == 80
    assert column(profile, "y")["missing"] == 20


def test_gaps_without_a_model_name_the_values_of_their_where(sandbox: Sandbox) -> None:
    text = "city,x,y\n" + "".join(f"{city},{n},{n if n % 2 else ''}\n" for city in ("Köln", "Bonn") for n in range(10))
    profile = prepared(sandbox, text, {"name": "bonn", "where": {"city": "Bonn"}})
    assert profile["open_gaps"] == [{"label": "y", "rows": 5, "where": {"city": [["Köln", 5]]}}]
    assert profile["gaps"] - profile["models"][0]["rows_predict"] == 5


def test_of_a_large_table_a_sample_is_described_the_same_for_all_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import numpy as np
    import pyarrow as pa
    from model_parts import Splitter

    monkeypatch.setattr(column_stats, "SAMPLE_ROWS", 100)
    table = pa.table({"stepgluon_row": np.arange(1000), "x": np.arange(1000.0), "y": np.arange(1000.0)})
    found = []
    for size in (7, 1000):
        stats, each = column_stats.ColumnStats(table.schema), Splitter("m", "y", {}, 0.2, 7)
        for batch in table.to_batches(size):
            stats.add(batch, [each], [each.split(batch)])
        found.append((stats.columns(), stats.profile()))
    assert found[0] == found[1]
    assert found[0][1] == {"sampled_rows": 63, "open_gaps": []}, "every 16th row"
    assert found[0][0]["x"]["distinct"] == 63


@pytest.mark.parametrize(
    "values", ["inf", "1e308,-1e308", "", "true,false", "281474976710656.0", "1e300", "1e16,10000000000000002"]
)
def test_values_without_a_histogram_are_no_failure(sandbox: Sandbox, values: str) -> None:
    cells = values.split(",")
    text = "x,z,y\n" + "".join(f"{cells[n % len(cells)]},{n},{n}\n" for n in range(20))
    assert column(prepared(sandbox, text), "x")["name"] == "x"
