"""Models in the registry, as a user and the aws command line see them: run, models, promote, approvals, destroy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from configs import penguins
from test_run import User

from pipeline import workflow
from stepgluon.config.load import load, loads
from stepgluon.local.compile_cache import compiled
from stepgluon.local.work_folder import door_of
from stepgluon.names import Names
from stepgluon.runs.model_registry import approve, of_run

CONFIG = penguins("fallback: {threshold: 350, if_missing: fail}", "retries: {job: 0}")
CONFIG = CONFIG.replace("label: body_mass_g}", "label: body_mass_g, register: {}}")
NAMES = Names(loads(CONFIG, "config.yml", None, {}).config)
GROUP = "penguins-model-adelie"
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/penguins-model-"


@pytest.fixture
def registered(user: User) -> User:
    """A folder with a run whose models are registered."""
    user.config.write_text(CONFIG)
    user.once("registered", user.told)
    return user


def told(user: User, *words: str) -> Any:
    code, out, err = user.calls(*words, "--json")
    assert code == 0, err
    return json.loads(out)


@contextmanager
def registry(user: User) -> Iterator[Any]:
    with door_of(load(user.config, None, {}), user.work) as door:
        yield door.client("sagemaker")


def judge(user: User, arn: str, status: str) -> None:
    with registry(user) as client:
        client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status)


def test_a_run_registers_its_models_and_a_second_run_no_second_version(registered: User) -> None:
    (run,) = told(registered, "runs")
    found = told(registered, "models")
    assert [(one["model"], one["version"], one["approval"], one["default"]) for one in found] == [
        ("adelie", 1, "waiting", False),
        ("gentoo", 1, "waiting", False),
    ]
    assert {(one["run"], one["metric"], one["score"], one["program"]) for one in found} == {
        (run["run"], "mae", "200", "autogluon")
    }
    assert "adelie: accepted. MAE 200 g (limit 350" in dict(registered.mails())["finished"]
    assert "Registered as version 1." in dict(registered.mails())["finished"]
    registered.told()
    assert told(registered, "models") == found


def test_the_report_shows_the_versions_with_their_approval_and_arn(registered: User) -> None:
    (run,) = told(registered, "runs")
    page = Path(told(registered, "show", run["run"])["report"]).read_text()
    table = page.partition("Versions in the model registry")[2].partition("</table>")[0]
    for model in ("adelie", "gentoo"):
        assert f"<td>{model}</td><td>1</td><td>waiting</td><td>{ARN}{model}/1</td>" in table


def test_a_version_that_may_not_be_described_is_still_named() -> None:
    class Closed:
        def describe_model_package(self, ModelPackageName: str) -> None:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DescribeModelPackage")

    models: list[dict[str, Any]] = [
        {"name": "adelie", "version": 3},
        {"name": "gentoo"},
        {"name": "of an earlier config"},
    ]
    assert of_run(Closed, NAMES, models) == [["adelie", "3", "unknown", f"{ARN}adelie/3"]]


def test_a_definition_compiled_before_register_was_added_is_not_used(tmp_path: Path) -> None:
    def registers(text: str) -> bool:
        loaded = loads(text, "config.yml", None, {})
        return "createModelPackage" in compiled(loaded, workflow, tmp_path)["definition"]

    before = CONFIG.replace(", register: {}", "")
    assert [registers(text) for text in (before, CONFIG, before)] == [False, True, False]
    assert len(list((tmp_path / "compiled").iterdir())) == 2


def test_promote_approves_what_waits(registered: User) -> None:
    assert registered.calls("promote", "latest")[0] == 0
    code, out, _ = registered.calls("models")
    assert code == 0
    (run,) = told(registered, "runs")
    head, adelie, gentoo = out.splitlines()
    assert head.split() == ["model", "version", "approval", "score", "run", "registered"]
    assert adelie.split()[:6] == ["adelie", "1", "approved", "MAE", "200", run["run"]]
    assert gentoo.endswith("default")
    with registry(registered) as client:
        version = client.describe_model_package(ModelPackageName=f"{ARN}adelie/1")
    assert version["ApprovalDescription"] == f"promoted from run {run['run']}"


def test_promote_refuses_a_rejected_version_and_changes_nothing(registered: User) -> None:
    judge(registered, f"{ARN}gentoo/1", "Rejected")
    code, _, err = registered.calls("promote", "latest")
    assert (code, err) == (1, "error: version 1 of gentoo was rejected in the registry (promote another run)\n")
    assert [(one["approval"], one["default"]) for one in told(registered, "models")] == [
        ("waiting", False),
        ("rejected", False),
    ]


def test_a_default_that_is_rejected_later_is_pointed_out(registered: User) -> None:
    registered.calls("promote", "latest")
    judge(registered, f"{ARN}adelie/1", "Rejected")
    last = registered.calls("models")[1].splitlines()[-1]
    assert last == "adelie: version 1 is rejected, but still the default (promote another run)"


def test_a_model_outside_the_registry_is_not_promoted_until_a_run_has_registered_it(user: User) -> None:
    user.once("good", user.told)
    user.config.write_text(CONFIG)
    assert told(user, "models") == []
    assert user.calls("models")[1] == "No versions yet: a run registers each model that it accepts.\n"
    code, _, err = user.calls("promote", "latest")
    assert code == 1
    assert "is not in the model registry (run the pipeline again: it registers the model, and does not retrain" in err
    again = user.told()
    assert [one["version"] for one in told(user, "models")] == [1, 1]
    assert {one["run"] for one in told(user, "models")} != {again["run"]}, "the run that trained them"
    assert user.calls("promote", again["run"])[0] == 0


def test_without_register_models_says_how_to_begin(user: User) -> None:
    user.once("good", user.told)
    code, out, err = user.calls("models")
    assert (code, out) == (2, "")
    assert "no model of the config is registered (add register: {approval: manual} to a model)" in err


class Refusing:
    """A registry in which one call is not allowed."""

    def __init__(self, statuses: dict[str, str]) -> None:
        self.statuses, self.approved = statuses, list[str]()

    def describe_model_package(self, ModelPackageName: str) -> dict[str, str]:
        return {"ModelApprovalStatus": self.statuses[ModelPackageName]}

    def update_model_package(self, ModelPackageArn: str, **given: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "UpdateModelPackage")


VERDICTS = {"adelie": {"version": 1}, "gentoo": {"version": 2}}


def test_a_person_who_may_not_approve_promotes_only_what_is_approved() -> None:
    statuses = {f"{ARN}adelie/1": "Approved", f"{ARN}gentoo/2": "Approved"}
    approve(Refusing(statuses), NAMES, "june", VERDICTS)
    with pytest.raises(ClientError, match="UpdateModelPackage"):
        approve(Refusing(statuses | {f"{ARN}gentoo/2": "PendingManualApproval"}), NAMES, "june", VERDICTS)


def test_a_version_registered_by_hand_is_listed_without_a_score(registered: User) -> None:
    with registry(registered) as client:
        client.create_model_package(ModelPackageGroupName=GROUP, ModelApprovalStatus="Approved")
    by_hand = told(registered, "models")[0]
    assert (by_hand["version"], by_hand["score"], by_hand["default"]) == (2, "", False)
    assert registered.calls("models")[1].splitlines()[1].split()[:3] == ["adelie", "2", "approved"]
