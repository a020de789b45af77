"""The states that release a model to its endpoint, run in an interpreter."""

from __future__ import annotations

import json
from functools import cache, partial
from typing import Any

import pytest
from interpreter import Run, Throws, run

from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.names import Names
from stepgluon.workflow.compile import Definition, compile_definition

CONFIG = """
name: shop
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models:
  - name: price
    label: price
    serve:
      instance: {type: ml.m5.large, count: 2}
      scale: {min: 1, max: 4, invocations: 100}
      release: {canary: 10%, bake: 10m, roll_back_on: [errors, latency > 500ms]}
      capture: 20%
  - {name: rent, label: rent, serve: {serverless: {memory_gb: 3, concurrency: 20}}}
  - {name: size, label: size, register: {approval: manual}, serve: {release: {linear: 25%, bake: 5m}}}
  - {name: floor, label: floor}
fallback: {threshold: 350, if_missing: use_trained}
"""
WORK = "s3://shop-work-123456789012-eu-west-1/"
MODELS = ("price", "rent", "size", "floor")
NO_FILE = Throws("S3.NoSuchKeyException", "The specified key does not exist.")
MISSING = Throws("SageMaker.SageMakerException", 'Could not find endpoint "arn:aws:sagemaker:…:endpoint/shop-price".')
THROTTLED = Throws("SageMaker.SageMakerException", "Rate exceeded")
EXISTS = Throws("SageMaker.AmazonSageMakerException", 'Cannot create already existing model "arn:…"')
PACKAGE = "arn:aws:sagemaker:eu-west-1:123456789012:model-package"


@cache
def compiled() -> Definition:
    return compile_definition(loads(CONFIG, "config.yml", None, {}), workflow)


def endpoint(status: str, serves: str = "before", **more: Any) -> dict[str, Any]:
    variants = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 3}] if status == "InService" else []
    return {"EndpointStatus": status, "EndpointConfigName": serves, "ProductionVariants": variants, **more}


def new(calls: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    """In service with the config that was asked for last."""
    asked = [given for state, given in calls if state in (f"Create endpoint of {name}", f"Update endpoint of {name}")]
    return endpoint("InService", asked[-1]["EndpointConfigName"])


PRICE, RENT, SIZE = (partial(new, name=name) for name in ("price", "rent", "size"))
NEXT = [endpoint("Creating"), PRICE]  # after it was created
UPDATED = [endpoint("InService"), endpoint("Updating"), PRICE]


def answers(**changed: Any) -> dict[str, Any]:
    """Every model is good, and no endpoint exists yet; `changed` says otherwise, with _ for spaces."""
    prints = [{"name": m, "train": f"rows of {m}", "predict": m, "files": ["0.parquet"], "rows": 2} for m in MODELS]
    good: dict[str, Any] = {"Prepare data": {}, "Choose models": NO_FILE, "Record verdicts": {}, "List predictions": {}}
    good |= {"Read fingerprints": {"Body": json.dumps({"gaps": 8, "models": prints})}, "Post-process": {}}
    for model in MODELS:
        good[f"Look up {model}"] = good[f"Look up {model} result"] = NO_FILE
        good[f"Train {model}"] = {"TrainingJobName": f"train-{model}"}
        good[f"Read score of {model}"] = {"Body": json.dumps({"mae": 200, "mae_of_median": 612, "manifest": "5" * 64})}
        good[f"Predict {model}"] = good[f"Remember {model}"] = good[f"Remember {model} result"] = {}
        for state in ("Create served model", "Configure", "Create endpoint of", "Delete endpoint of", "Point to"):
            good[f"{state} {model}"] = {}
        for state in ("Update endpoint of", "Scale", "Follow traffic of", "Stop scaling of"):
            good[f"{state} {model}"] = {}
    good |= {"Register size": {"ModelPackageArn": f"{PACKAGE}/shop-model-size/3"}, "Remember version of size": {}}
    good |= {"Describe endpoint of price": [MISSING, *NEXT], "Describe endpoint of rent": [MISSING, RENT]}
    return good | {state.replace("_", " "): answer for state, answer in changed.items()}


def ran(looks: list[Any] | None = None, **changed: Any) -> Run:
    """A run in which price's endpoint looks so, one poll after the other."""
    polls = {"Describe endpoint of price": [MISSING, *NEXT] if looks is None else looks}
    return run(compiled().text, answers(**changed) | polls, {}, "june")


@cache
def first() -> Run:
    return ran()


def release_of(ended: Run, name: str = "price") -> str:
    """What the last mail says of the endpoint."""
    text = ended.mails[-1]["Message"]
    return next(line for line in text.splitlines() if line.startswith(f"- {name}: ") and "MAE" not in line)


def asked(ended: Run, state: str) -> list[Any]:
    return [parameters for name, parameters in ended.calls if name == state]


def states(ended: Run, model: str = "price") -> list[str]:
    """The calls of a model's release, without its polls."""
    after = ended.states[ended.states.index("Release models") :]
    return [s for s in after if s.endswith(f" {model}") and not s.startswith(("Describe", "Wait", "Point"))]


def test_a_new_endpoint_is_created_and_the_mail_says_how_to_ask_it() -> None:
    ended = first()
    assert ended.status == "SUCCEEDED"
    assert asked(ended, "Create endpoint of price")[0]["EndpointName"] == "shop-price"
    assert release_of(ended) == "- price: shop-price serves it now."
    assert release_of(ended, "rent") == "- rent: shop-rent serves it now."
    text = ended.mails[-1]["Message"]
    assert "invoke-endpoint --endpoint-name shop-price --region eu-west-1 --content-type text/csv" in text
    assert "- size: shop-size" not in text, "it waits for an approval"
    assert ended.output["models"][3].get("release") is None, "floor has no endpoint"


def test_the_model_is_the_trained_folder_in_the_programs_own_image() -> None:
    (request,) = asked(first(), "Create served model price")
    container = request["PrimaryContainer"]
    source = container["ModelDataSource"]["S3DataSource"]
    place = first().call("Train price")["OutputDataConfig"]["S3OutputPath"]
    assert source["S3Uri"] == f"{place}/train-price/output/model/"
    assert container["Image"].startswith("123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop-autogluon@")
    assert container["Environment"] == {"STEPGLUON_MANIFEST": "5" * 64}
    assert request["ExecutionRoleArn"].endswith(":role/shop-job-eu-west-1")


def test_a_serverless_endpoint_reads_an_archive_because_it_takes_nothing_else() -> None:
    container = asked(first(), "Create served model rent")[0]["PrimaryContainer"]
    assert container["ModelDataUrl"].endswith("/train-rent/output/model/model.tar.gz")
    (variant,) = asked(first(), "Configure rent")[0]["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 20}
    told = json.loads(Names(loads(CONFIG, "config.yml", None, {}).config).config_json)["models"]
    assert [model.get("archive") for model in told] == [None, True, None, None]
    assert "serve" not in told[0], "a job does not depend on it"


def test_the_config_captures_a_share_of_the_requests() -> None:
    (request,) = asked(first(), "Configure price")
    (variant,) = request["ProductionVariants"]
    assert variant["VariantName"] == "AllTraffic"
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.m5.large", 2)
    capture = request["DataCaptureConfig"]
    assert (capture["InitialSamplingPercentage"], capture["DestinationS3Uri"]) == (20, f"{WORK}captured/price/")


def test_an_endpoint_in_service_is_updated_step_by_step_under_its_alarms() -> None:
    ended = ran(list(UPDATED))
    (request,) = asked(ended, "Update endpoint of price")
    policy = request["DeploymentConfig"]
    assert policy["BlueGreenUpdatePolicy"] == {
        "TrafficRoutingConfiguration": {
            **{"Type": "CANARY", "WaitIntervalInSeconds": 600},
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
        },
        "MaximumExecutionTimeoutInSeconds": 4800,
    }
    config = loads(CONFIG, "config.yml", None, {}).config
    alarms = [Names(config).alarm_of(config.models[0], on) for on in ("errors", "latency")]
    assert policy["AutoRollbackConfiguration"]["Alarms"] == [{"AlarmName": name} for name in alarms]
    assert release_of(ended) == "- price: shop-price serves it now."


def test_an_update_stops_the_scaling_keeps_the_count_and_scales_again() -> None:
    ended = ran(list(UPDATED))
    done = states(ended)
    assert done.index("Stop scaling of price") < done.index("Update endpoint of price") < done.index("Scale price")
    assert asked(ended, "Update endpoint of price")[0]["RetainAllVariantProperties"] is True
    (target,) = asked(ended, "Scale price")
    config = loads(CONFIG, "config.yml", None, {}).config
    assert target["ResourceId"] == Names(config).scaled(config.models[0]) == "endpoint/shop-price/variant/AllTraffic"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    policy = asked(ended, "Follow traffic of price")[0]["TargetTrackingScalingPolicyConfiguration"]
    assert policy["TargetValue"] == 100


def test_the_pointer_says_which_model_the_endpoint_serves() -> None:
    (request,) = asked(first(), "Point to price")
    config = loads(CONFIG, "config.yml", None, {}).config
    assert request["Key"] == Names(config).pointer(config.models[0])
    told = request["Body"]
    place = first().call("Train price")["OutputDataConfig"]["S3OutputPath"]
    assert told == {
        **{"model": "price", "folder": f"{place}/train-price/output/model/", "job": "train-price", "run": "june"},
        "fingerprint": place.rpartition("/")[2],
        "config": asked(first(), "Configure price")[0]["EndpointConfigName"],
        "profile": f"{place}/train-price/output/model/profile.json",
    }
    assert asked(first(), "Point to rent")[0]["Body"]["archive"].endswith("/output/model/model.tar.gz")


def test_a_model_that_serves_already_is_not_released_again() -> None:
    serves = asked(first(), "Configure price")[0]["EndpointConfigName"]
    ended = ran([endpoint("InService", serves)])
    assert (
        states(ended) == ["Choose price to serve", "Scale price", "Follow traffic of price", "End release of price"][1:]
    )
    assert release_of(ended) == "- price: shop-price already serves it."
    assert ended.status == "SUCCEEDED"


def test_other_settings_have_another_config_and_another_model_another_name() -> None:
    name = asked(first(), "Configure price")[0]["EndpointConfigName"]
    assert name.startswith("shop-price-") and len(name) == len("shop-price-") + 12
    worse = {"Body": json.dumps({"mae": 210, "mae_of_median": 612, "manifest": "6" * 64})}
    other = ran(Read_score_of_price=worse)
    assert asked(other, "Configure price")[0]["EndpointConfigName"] != name
    assert (
        asked(other, "Create served model price")[0]["ModelName"]
        != first().call("Create served model price")["ModelName"]
    )


def test_a_rolled_back_release_is_told_and_the_run_ends_incomplete_with_its_predictions() -> None:
    ended = ran(
        [endpoint("InService"), endpoint("Updating"), endpoint("InService", FailureReason="alarm shop-price-errors")]
    )
    assert (ended.status, ended.error) == ("FAILED", "Incomplete")
    assert release_of(ended).startswith("- price: Rolled back: shop-price serves the previous model again. alarm")
    assert "Rolled back" in ended.cause
    assert ended.mails[-1]["Subject"].endswith("incomplete")
    assert states(ended)[-3:] == ["Scale price", "Follow traffic of price", "End release of price"]
    assert not asked(ended, "Point to price")
    assert release_of(ended, "rent") == "- rent: shop-rent serves it now.", "one failed release stops no other"


def test_an_update_whose_rollback_failed_ends_the_run_by_name() -> None:
    ended = ran([endpoint("InService"), endpoint("UpdateRollbackFailed", FailureReason="no capacity")])
    assert (ended.status, ended.error) == ("FAILED", "UpdateRollbackFailed")
    assert "price: shop-price needs repair" in ended.cause


def test_a_failed_endpoint_is_deleted_and_created_anew() -> None:
    ended = ran([endpoint("Failed"), endpoint("Deleting"), MISSING, *NEXT])
    done = states(ended)
    assert done.index("Stop scaling of price") < done.index("Delete endpoint of price")
    assert done.index("Delete endpoint of price") < done.index("Create endpoint of price")
    assert release_of(ended) == "- price: shop-price serves it now."


def test_an_endpoint_that_does_not_come_up_is_told_with_its_reason() -> None:
    reason = "The primary container did not pass the ping health check."
    ended = ran([MISSING, endpoint("Creating"), endpoint("Failed", FailureReason=reason)])
    assert (ended.status, ended.error) == ("FAILED", "Incomplete")
    assert release_of(ended) == f"- price: Not released: shop-price is Failed. {reason}"
    assert "Delete endpoint of price" not in ended.states, "its log explains it"


def test_another_runs_update_is_waited_for() -> None:
    ended = ran([endpoint("Updating"), endpoint("Updating"), *UPDATED])
    assert len(asked(ended, "Update endpoint of price")) == 1
    assert release_of(ended) == "- price: shop-price serves it now."


def test_two_runs_that_update_at_once_do_so_one_after_the_other() -> None:
    busy = Throws("SageMaker.AmazonSageMakerException", 'Cannot update in-progress endpoint "arn:…".')
    looks = [endpoint("InService"), endpoint("Updating", "theirs"), endpoint("InService", "theirs"), PRICE]
    ended = ran(looks, Update_endpoint_of_price=[busy, busy, busy, busy, {}])
    assert release_of(ended) == "- price: shop-price serves it now."
    late = ran([*UPDATED[:2], endpoint("InService", "theirs")])
    assert release_of(late) == "- price: Another run or a person has changed shop-price in the meantime."
    assert late.status == "SUCCEEDED"


def test_an_endpoint_that_is_deleted_by_hand_during_a_release_is_said_and_made_by_the_next_run() -> None:
    for looks in ([MISSING, endpoint("Creating")], [endpoint("InService"), endpoint("Updating"), endpoint("Deleting")]):
        ended = ran([*looks, MISSING])
        assert (ended.status, ended.error) == ("FAILED", "Incomplete")
        assert release_of(ended) == "- price: Not released: shop-price was deleted during the release."
        assert "Point to price" not in ended.states
    assert release_of(ran([MISSING, *NEXT])) == "- price: shop-price serves it now."


def test_throttled_polls_are_repeated_and_a_forbidden_one_is_not() -> None:
    ended = ran([THROTTLED, THROTTLED, MISSING, THROTTLED, *NEXT])
    assert release_of(ended) == "- price: shop-price serves it now."
    refused = "User: arn:… is not authorized to perform: sagemaker:DescribeEndpoint"
    forbidden = ran([Throws("SageMaker.SageMakerException", refused)])
    assert refused in release_of(forbidden)
    assert forbidden.error == "Incomplete"
    assert len(asked(ran([THROTTLED] * 10), "Describe endpoint of price")) == 10


def test_an_exhausted_quota_is_told_and_the_old_endpoint_scales_on() -> None:
    words = "The account-level service limit 'ml.m5.large for endpoint usage' is 2 Instances"
    quota = Throws("SageMaker.ResourceLimitExceededException", words)
    ended = ran([endpoint("InService"), endpoint("InService")], Update_endpoint_of_price=quota)
    assert words in release_of(ended)
    assert states(ended)[-3:] == ["Scale price", "Follow traffic of price", "End release of price"]


def test_names_that_exist_already_are_the_same_model() -> None:
    ended = ran(Create_served_model_price=EXISTS, Configure_price=EXISTS)
    assert release_of(ended) == "- price: shop-price serves it now."


def test_a_model_that_cannot_be_created_is_told_once() -> None:
    gone = Throws("SageMaker.AmazonSageMakerException", "Could not find model data at s3://…")
    ended = ran(
        [MISSING], Create_served_model_price=gone, Configure_price=Throws("SageMaker.X", "Could not find model")
    )
    assert release_of(ended).endswith("Could not find model data at s3://…")
    assert "Create endpoint of price" not in ended.states


def test_scaling_that_fails_leaves_the_release_and_is_told() -> None:
    ended = ran(Scale_price=Throws("ApplicationAutoScaling.ValidationException", "no service-linked role"))
    assert ended.status == "SUCCEEDED"
    assert "serves it now. Its scaling could not be set: " in release_of(ended)


def test_a_rejected_model_is_not_released_and_the_promoted_one_is() -> None:
    bad = {"Body": json.dumps({"mae": 900, "mae_of_median": 612, "manifest": "5" * 64})}
    ended = ran([], Read_score_of_price=bad)
    assert release_of(ended) == "- price: Not released: it is not good enough, and no model is promoted."
    assert ended.status == "SUCCEEDED"
    place = f"{WORK}promoted/may/price/train-7/"
    entry = {"uses": "default", "model_uri": place, "run": "may", "manifest": "7" * 64, "image": "old@sha256:1"}
    promoted = ran(Read_score_of_price=bad, Choose_models={"Body": json.dumps({"m_price": entry})})
    container = asked(promoted, "Create served model price")[0]["PrimaryContainer"]
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] == place
    assert container["Image"] == "old@sha256:1"
    assert asked(promoted, "Point to price")[0]["Body"]["job"] == "train-7"


# The machine that releases approved versions


def approved(group: str = "shop-model-size") -> dict[str, Any]:
    return {"detail": {"ModelPackageArn": f"{PACKAGE}/{group}/3", "ModelApprovalStatus": "Approved"}}


def version(status: str = "Approved") -> dict[str, Any]:
    registered = first().call("Register size")
    return {
        **{"ModelApprovalStatus": status, "InferenceSpecification": registered["InferenceSpecification"]},
        "CustomerMetadataProperties": registered["CustomerMetadataProperties"],
    }


def ran_release(given: Any, **changed: Any) -> Run:
    found = answers() | {"Describe version of size": version(), "Describe endpoint of size": [MISSING, SIZE]}
    return run(compiled().others["release"].text, found | changed, given, "released")


def test_an_approved_version_is_released_as_the_run_made_it() -> None:
    ended = ran_release(approved())
    assert ended.status == "SUCCEEDED", ended.cause
    container = asked(ended, "Create served model size")[0]["PrimaryContainer"]
    place = first().call("Train size")["OutputDataConfig"]["S3OutputPath"]
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] == f"{place}/train-size/output/model/"
    assert container["Environment"] == {"STEPGLUON_MANIFEST": "5" * 64}
    told = asked(ended, "Point to size")[0]["Body"]
    assert (told["run"], told["job"], told["fingerprint"]) == ("june", "train-size", place.rpartition("/")[2])
    assert "- size: shop-size serves it now." in ended.mails[-1]["Message"]


def test_a_released_version_is_served_with_its_own_script() -> None:
    one = version()
    (container,) = one["InferenceSpecification"]["Containers"]
    script = {"SAGEMAKER_PROGRAM": "old.py"}
    scripted = {**one, "InferenceSpecification": {"Containers": [{**container, "Environment": script}]}}
    ended = ran_release(approved(), **{"Describe version of size": scripted})
    container = asked(ended, "Create served model size")[0]["PrimaryContainer"]
    assert container["Environment"] == {"STEPGLUON_MANIFEST": "5" * 64, **script}


def test_a_version_that_is_not_approved_by_now_is_not_released() -> None:
    ended = ran_release(approved(), **{"Describe version of size": version("Rejected")})
    assert "Not released: the version is now Rejected." in ended.mails[-1]["Message"]
    assert "Create endpoint of size" not in ended.states


@pytest.mark.parametrize("given", [approved("shop-model-other"), {}, {"detail": {"ModelPackageArn": 5}}])
def test_another_event_releases_nothing(given: Any) -> None:
    ended = ran_release(given)
    assert ended.status == "FAILED"
    assert not ended.calls
