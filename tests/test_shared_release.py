"""The release of all models found in the data to one endpoint, rehearsed with endpoints of every kind."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from test_group_states import CONFIG, Told

from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.names import Names
from stepgluon.selfcheck import findings
from stepgluon.selfcheck.endpoint_answers import KINDS, Endpoints
from stepgluon.selfcheck.group_answers import headline
from stepgluon.workflow.compile import Definition, compile_definition

SERVE = "serve: {shared: true, scale: {max: 4, invocations: 100}, release: {canary: 10%, roll_back_on: [errors]}}, "
WORK = "s3://shop-work-123456789012-eu-west-1/"


@cache
def compiled() -> Definition:
    text = CONFIG.replace("label: sales_kg, ", f"label: sales_kg, {SERVE}")
    return compile_definition(loads(text, "config.yml", None, {}), workflow)


def released(kind: str = "is created", files: dict[str, Any] | None = None) -> Told:
    return Told(compiled(), files or {}, {}, endpoints=Endpoints(kind, {}))


def last_mail(run: Told) -> tuple[str, str]:
    mail = run.requests["Announce results"][-1]
    return mail["Subject"], mail["Message"]


def test_the_definition_is_sound_whatever_the_endpoint_does() -> None:
    assert findings(compiled().asl, compiled().text) == []
    assert {released(kind).visited[-1] for kind in KINDS} == {"Done", "Incomplete", "Repair endpoint"}


def test_post_process_knows_that_the_models_share_an_endpoint() -> None:
    for serve, shared in (("", None), (SERVE, True)):
        text = CONFIG.replace("label: sales_kg, ", f"label: sales_kg, {serve}")
        assert json.loads(Names(loads(text, "config.yml", None, {}).config).config_json).get("shared") is shared


def test_one_endpoint_serves_every_archive_of_the_work_bucket() -> None:
    run = released()
    (request,) = run.requests["Create served model store-id"]
    container = request["PrimaryContainer"]
    assert (container["Mode"], container["ModelDataUrl"]) == ("MultiModel", WORK)
    assert container["Environment"] == {}, "each model has a manifest of its own"
    (created,) = run.requests["Create endpoint of store-id"]
    assert created["EndpointName"] == "shop-store-id"
    assert created["EndpointConfigName"].startswith("shop-store-id-")
    assert request["ModelName"].startswith("shop-store-id-")
    (policy,) = run.requests["Follow traffic of store-id"]
    assert policy["ResourceId"] == "endpoint/shop-store-id/variant/AllTraffic"
    (pointer,) = run.requests["Point to store-id"]
    assert pointer["Key"] == "endpoints/store-id.json"
    assert pointer["Body"]["targets"].startswith(f"{WORK}runs/")
    assert pointer["Body"]["targets"].endswith("/result/targets.json")
    assert run.visited.index("Post-process") < run.visited.index("Point to store-id")


def test_new_models_change_neither_endpoint_nor_config() -> None:
    names = {
        json.dumps(one.requests["Create served model store-id"][0]["ModelName"])
        for one in (released(), released(files={"headline": {**headline(), "models": 10_000}}))
    }
    assert len(names) == 1
    run = Told(compiled(), {}, {}, endpoints=Endpoints("serves the model already", {}))
    changing = [state for state in run.visited if state.startswith(("Create", "Configure", "Update", "Delete"))]
    if not changing:  # the canned endpoint serves what an earlier rehearsal released
        assert "Point to store-id" in run.visited


def test_the_mail_says_how_a_model_is_asked() -> None:
    subject, message = last_mail(released())
    assert "finished" in subject
    assert "Endpoint: shop-store-id serves the models of this run now." in message
    assert "Send a request to a model, like north:\n  aws sagemaker-runtime invoke-endpoint " in message
    assert " --endpoint-name shop-store-id " in message
    assert "--target-model models/groups/g0000/x/y/output/model/north.tar.gz --content-type text/csv" in message
    assert f"The archives of all models: {WORK}endpoints/store-id.json" in message


@pytest.mark.parametrize("kind", ["is rolled back", "fails"])
def test_a_run_whose_release_failed_is_incomplete(kind: str) -> None:
    run = released(kind)
    assert run.visited[-1] == "Incomplete"
    assert "Point to store-id" not in run.visited, "clients keep the models of the run before"
    subject, message = last_mail(run)
    assert "incomplete" in subject
    assert ("Rolled back: shop-store-id" if kind == "is rolled back" else "Not released: shop-store-id") in message


def test_nothing_is_released_if_no_model_may_be_served() -> None:
    run = released(files={"headline": {**headline(), "served": {"models": 0, "example": "", "target": ""}}})
    assert not [state for state in run.visited if state.startswith(("Describe endpoint", "Create", "Point"))]
    assert "Endpoint: Not released: no model is good enough, and none is promoted.\n" in last_mail(run)[1]
    assert run.visited[-1] == "Done"
