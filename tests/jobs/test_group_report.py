"""The report about thousands of models: what it says, how large it is, and that no name can break out of it."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import group_report
import postprocess
import pytest
from group_layout import Change, entries, lay_out_groups
from job_sandbox import Sandbox

EVIL = "</script><b>bold</b><!--"


def page_of(box: Sandbox, models: list[dict[str, Any]], /, change: Change | None = None, **profile: Any) -> str:
    lay_out_groups(box.root, models, 4 * len(models), 10, change, **profile)
    postprocess.main()
    return (box.out / "report.html").read_text("utf-8")


def words(page: str) -> str:
    body = page.partition("<body>")[2]
    without = re.sub(r"<(script|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", without)))


def data_in(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="models">(.*?)</script>', page, re.DOTALL)
    assert found
    told: dict[str, Any] = json.loads(found[1])
    return told


def test_ten_thousand_models_fit_into_five_megabytes(sandbox: Sandbox) -> None:
    page = page_of(sandbox, entries(10_000))
    assert len(page.encode()) < 5_000_000
    assert {len(values) for key, values in data_in(page).items() if key not in ("words", "good", "reasons")} == {10_000}


def test_the_page_begins_with_counts_and_names_the_worst(sandbox: Sandbox) -> None:
    models = entries(60)
    models[7] |= {"mae": 30.0, "value": "Köln"}
    said = words(page_of(sandbox, models))
    worse = sum(one["mae"] > 2 for one in models)
    assert "Filled all 120 gaps." in said
    assert f"{60 - worse} of 60 models accepted." in said
    assert "Error of 60 models" in said
    assert re.search(r"The 20 worst models .*? Köln rejected 30 2 1500 % 2 own model", said)


@pytest.mark.parametrize(("count", "style"), [(3, ' style="height:177px"'), (20, "")])
def test_the_table_of_few_models_is_no_higher_than_they_are(sandbox: Sandbox, count: int, style: str) -> None:
    assert f'class="pane"{style} tabindex' in page_of(sandbox, entries(count))


def test_a_models_name_is_text_wherever_it_is_shown(sandbox: Sandbox) -> None:
    models = entries(3)
    models[0] |= {"value": EVIL, "mae": 30.0, "reason": f"rejected. {EVIL}"}
    page = page_of(sandbox, models)
    assert "<b>bold" not in page
    assert "<!--" not in page.replace("<!--stepgluon:run-->", "").replace("<!--stepgluon:timeline-->", "")
    assert data_in(page)["value"][0] == EVIL
    assert data_in(page)["reasons"][data_in(page)["reason"][0]] == f"rejected. {EVIL}"
    assert EVIL in words(page)


def test_marks_that_reverse_a_text_are_replaced(sandbox: Sandbox) -> None:
    models = entries(3)
    models[0] |= {"value": "a\u202eb\u2028c"}
    page = page_of(sandbox, models)
    assert data_in(page)["value"][0] == "a\ufffdb\u2028c"
    assert "\u2028" not in page.partition('id="models">')[2]


def test_models_without_predictions_are_summed_up_by_their_reasons(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(40), 160, 10)
    (sandbox.root / "processing/input/choices/g0002/choices.json").unlink()
    postprocess.main()
    said = words((sandbox.out / "report.html").read_text("utf-8"))
    assert "1 group failed: g0002." in said
    reason = "Group g0002 ended before its models were judged."
    assert f"{reason} 10 Store 20, Store 21, Store 22, Store 23, Store 24 and 5 more" in said


@pytest.mark.parametrize("uses", ["trained", "default", "nothing"])
def test_a_model_without_gaps_leaves_none_open(sandbox: Sandbox, uses: str) -> None:
    models = entries(5)
    models[4] |= {"mae": 9.0, "uses": uses}
    lay_out_groups(sandbox.root, models, 8)  # four gaps
    postprocess.main()
    page, summary = (sandbox.out / "report.html").read_text("utf-8"), sandbox.out / "summary.json"
    assert "left open" not in words(page)
    assert "What predicts own model 4 no gaps 1" in words(page)
    found = json.loads(summary.read_text("utf-8"))
    assert found["models"][4]["outcome"] == "no gaps"
    assert (found["counts"]["open"], found["counts"]["default"]) == (0, 0)


@pytest.mark.parametrize("name", ["store-00002", "others"])
def test_the_page_and_the_headline_say_whether_small_partitions_share_a_model(sandbox: Sandbox, name: str) -> None:
    models = entries(3)
    models[2] |= {"name": name}
    said = words(page_of(sandbox, models))
    assert ("One model for each store with enough rows, and one for the others, " in said) is (name == "others")
    headline = json.loads((sandbox.out / "headline.json").read_text("utf-8"))
    assert headline["others"] is (name == "others")


def test_the_notes_of_prepare_are_shown_with_the_data(sandbox: Sandbox) -> None:
    note = "7 promoted models belong to partitions without rows in these tables: A, B, C, D, E, …."
    columns = [{"name": "store", "type": "string", "missing": 0, "distinct": 3}]
    assert note in words(page_of(sandbox, entries(3), assumed=[note], columns=columns))


def test_all_models_may_be_missing(sandbox: Sandbox) -> None:
    lay_out_groups(sandbox.root, entries(4), 16)
    for file in (sandbox.root / "processing/input/choices").rglob("choices.json"):
        file.unlink()
    postprocess.main()
    said = words((sandbox.out / "report.html").read_text("utf-8"))
    assert "Filled 0 of 8 gaps. 0 of 4 models accepted. 4 models could not predict." in said
    assert "worst" not in said


def test_a_report_that_cannot_be_made_costs_no_result(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_report, "_table", lambda *_: 1 / 0)
    lay_out_groups(sandbox.root, entries(4), 16)
    postprocess.main()
    assert "predictions.csv" in sandbox.written()
    assert "report.html" not in sandbox.written()
