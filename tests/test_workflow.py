"""What becomes of a run: the compiled definition in an interpreter, the services answering as each test says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from botocore.session import get_session
from configs import penguins
from interpreter import Run, Throws, failed_job, run

from pipeline import workflow
from stepgluon.config.load import loads
from stepgluon.runs import history
from stepgluon.selfcheck.integrations import integration
from stepgluon.workflow.compile import compile_definition

MODELS = {"adelie": 231.5, "chinstrap": 300, "gentoo": 349.99}
WORK = "s3://penguins-work-123456789012-eu-west-1"
OLD = f"{WORK}/promoted/old/gentoo/job/"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/penguins-autogluon@"
NO_FILE = Throws("S3.NoSuchKeyException", "The specified key does not exist.")
MISTAKE = "Not retried: june/a.csv has no column 'body_mass_g'; add it or change label"
CONFIG = penguins("fallback: {threshold: 350, %s}", species="adelie, chinstrap, gentoo")


@cache
def definition(fallback: str = "if_missing: fail") -> str:
    return compile_definition(loads(CONFIG % fallback, "config.yml", None, {}), workflow).text


def score(mae: Any, **more: Any) -> dict[str, Any]:
    return {"Body": json.dumps({"mae": mae, "mae_of_median": 612, "manifest": "5" * 64, **more})}


def answers(**changed: Any) -> dict[str, Any]:
    """Nothing is known before, and every job does what it should; `changed` says otherwise, with _ for spaces."""
    good = answers_of({model: score(error) for model, error in MODELS.items()})
    return good | {state.replace("_", " "): answer for state, answer in changed.items()}


def answers_of(scores: dict[str, Any]) -> dict[str, Any]:
    """The same for these models, with what is read of the score of each."""
    prints = [
        {"name": model, "train": model * 2, "predict": model * 3, "files": ["0.parquet"], "rows": 20}
        for model in scores
    ]
    good: dict[str, Any] = {"Prepare data": {"ProcessingJobName": "prepare"}, "Choose models": NO_FILE}
    good |= {"Read fingerprints": {"Body": json.dumps({"gaps": 70, "models": prints})}}
    good |= {"Record verdicts": {}, "List predictions": {}, "Post-process": {"ProcessingJobName": "post"}}
    for model, read in scores.items():
        good[f"Look up {model}"] = good[f"Look up {model} result"] = NO_FILE
        good[f"Train {model}"] = {"TrainingJobName": f"train-{model}"}
        good[f"Read score of {model}"] = read
        good[f"Predict {model}"] = {"ProcessingJobName": f"predict-{model}"}
        good[f"Remember {model}"] = good[f"Remember {model} result"] = {}
    return good


PROMOTED = {"Body": json.dumps({"m_gentoo": {"uses": "default", "model_uri": OLD, "run": "old", "manifest": "7" * 64}})}


def models(ended: Run) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for model in ended.output["models"]}


def subjects(ended: Run) -> list[str]:
    return [mail["Subject"] for mail in ended.mails]


def count(ended: Run, state: str) -> int:
    return ended.states.count(state)


# A run as it should be


def test_good_models_predict_and_three_mails_are_sent() -> None:
    ended = run(definition(), answers(), {"data": "s3://raw/june/", "note": "first try"})
    assert ended.status == "SUCCEEDED"
    assert subjects(ended) == ["penguins june-go: started", "penguins june-go: models", "penguins june-go: finished"]
    adelie = models(ended)["adelie"]
    assert {key: adelie[key] for key in ("verdict", "mae", "mae_of_median", "threshold", "uses", "outcome")} == {
        "verdict": "accepted",
        "mae": 231.5,
        "mae_of_median": 612,
        "threshold": 350,
        "uses": "trained",
        "outcome": "predicted",
    }
    assert adelie["model_uri"].startswith(f"{WORK}/models/adelie/")
    assert adelie["model_uri"].endswith("/train-adelie/output/model/")
    assert "s3://raw/june/" in ended.mail("started")
    assert "first try" in ended.mail("started")
    line = "- adelie: accepted. MAE 231.5 g (limit 350; always guessing the median: 612). This run's model predicts."
    assert line in ended.mail("models")
    assert "/runs/june-go/result/" in ended.mail("finished")
    told = ended.mail("finished")
    assert re.search(r" has finished: 60 of 70 gaps filled by 3 models in \d+ s; 10 left open\.\n\n- adelie: ", told)
    assert f"\n{line.removesuffix('predicts.')}filled 20 gaps.\n" in told
    assert "\nUse its models whenever" in told and "promote june-go" in told
    assert f"\nReport:  {WORK}/runs/june-go/result/report.html\n" in told


def test_a_model_without_gaps_needs_no_prediction_job() -> None:
    def gaps(*counts: int) -> dict[str, Any]:
        told = json.loads(answers()["Read fingerprints"]["Body"])
        for each, count in zip(told["models"], counts, strict=True):
            each["rows"] = count
        return {"Body": json.dumps(told | {"gaps": sum(counts)})}

    ended = run(definition(), answers(Read_fingerprints=gaps(0, 1, 20)))
    assert ended.status == "SUCCEEDED" and "Predict adelie" not in ended.states
    assert {"Predict gentoo", "Predict chinstrap"} <= set(ended.states)
    files = [file for file in ended.call("List predictions")["Body"][1:] if file.startswith("predictions/")]
    assert len(files) == 2 and not any("/adelie/" in file for file in files)
    assert re.search(
        r"- adelie: .*\. It has no gaps to fill\.\n- chinstrap: .* filled 1 gap\.\n", ended.mail("finished")
    )

    ended = run(definition(), answers(Read_fingerprints=gaps(0, 0, 0)))
    assert ended.status == "SUCCEEDED" and not any(state.startswith("Predict ") for state in ended.states)
    assert re.search(r" has finished after \d+ s\. There were no gaps to fill\.\n", ended.mail("finished"))


def test_promote_is_offered_only_for_an_accepted_model_that_is_not_promoted_yet() -> None:
    jobs = {model: f"{WORK}/promoted/old/{model}/train-{model}/" for model in MODELS}
    promoted = {f"m_{model}": {"uses": "default", "model_uri": place, "run": "old"} for model, place in jobs.items()}
    ended = run(definition(), answers(Choose_models={"Body": json.dumps(promoted)}))
    assert all(verdict["promoted"] for verdict in models(ended).values())
    assert "promote" not in ended.mail("finished")
    del promoted["m_gentoo"]
    ended = run(definition(), answers(Choose_models={"Body": json.dumps(promoted)}))
    assert "promote june-go" in ended.mail("finished")
    bad = {f"Read score of {model}": score(999) for model in MODELS}
    ended = run(definition("if_missing: use_trained"), answers() | bad)
    assert ended.status == "SUCCEEDED" and "promote june-go" not in ended.mail("finished")


def test_the_labels_unit_stands_beside_the_error() -> None:
    verdict = models(run(definition(), answers()))["adelie"]
    assert verdict["unit"] == "g" and verdict["reason"] == history.verdict(verdict)


def test_jobs_get_this_runs_places_and_fresh_names() -> None:
    first, second = (run(definition(), answers(), {"data": "s3://raw/june/"}) for _ in range(2))
    names = [
        call[kind]
        for ended in (first, second)
        for _, call in ended.calls
        for kind in ("ProcessingJobName", "TrainingJobName")
        if kind in call
    ]
    assert len(set(names)) == len(names) == 16
    prepare = first.call("Prepare data")
    assert prepare["ProcessingInputs"][0]["S3Input"]["S3Uri"] == "s3://raw/june/"
    train = first.call("Train gentoo")
    assert train["HyperParameters"] == {"model": "gentoo"}
    source = train["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    assert source["S3Uri"] == f"{WORK}/runs/june-go/prepared/models/gentoo/"
    assert train["ResourceConfig"]["InstanceType"] == "ml.m5.xlarge"
    predict = first.call("Predict gentoo")
    assert predict["ProcessingInputs"][1]["S3Input"]["S3Uri"] == models(first)["gentoo"]["model_uri"]
    assert predict["Environment"] == {"STEPGLUON_MODEL": "gentoo", "STEPGLUON_MANIFEST": "5" * 64}


def test_post_process_gets_the_list_of_all_predictions() -> None:
    ended = run(definition(), answers())
    listed = ended.call("List predictions")["Body"]
    assert listed[:2] == [{"prefix": f"{WORK}/"}, "runs/june-go/prepared/profile.json"]
    places = {
        place["S3Uri"].removeprefix(f"{WORK}/") + "/0.parquet"
        for model in MODELS
        for place in [ended.call(f"Predict {model}")["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]]
    }
    trained = {models(ended)[model]["model_uri"].removeprefix(f"{WORK}/") + "evaluation.json" for model in MODELS}
    assert set(listed[2:]) == places | trained
    manifest = {entry["InputName"]: entry["S3Input"] for entry in ended.call("Post-process")["ProcessingInputs"]}
    assert manifest["predictions"]["S3DataType"] == "ManifestFile"
    assert manifest["predictions"]["S3Uri"] == f"{WORK}/runs/june-go/predictions.manifest"


def test_evaluations_that_train_did_not_write_are_not_listed() -> None:
    unscored = {"Read_score_of_adelie": NO_FILE, "Read_score_of_gentoo": {"Body": json.dumps({"mae": 200})}}
    ended = run(definition("if_missing: use_trained"), answers(**unscored))
    listed = ended.call("List predictions")["Body"]
    assert [file.split("/")[1] for file in listed[1:] if file.endswith("evaluation.json")] == ["chinstrap"]


# Reuse


def test_what_was_trained_and_predicted_before_is_looked_up_and_not_done_again() -> None:
    marker = {"job": "train-old", "run": "may", "mae": 200, "mae_of_median": 612, "manifest": "5" * 64}
    known = {"Look up adelie": {"Body": json.dumps(marker)}}
    known["Look up adelie result"] = {"Body": json.dumps({"folder": "4711", "run": "may"})}
    ended = run(definition(), answers() | known)
    assert ended.status == "SUCCEEDED"
    assert not {"Train adelie", "Read score of adelie", "Predict adelie"} & set(ended.states)
    assert {"Train gentoo", "Predict gentoo"} <= set(ended.states)
    adelie = models(ended)["adelie"]
    assert (adelie["mae"], adelie["run"], adelie["cached"], adelie["predictions_cached"]) == (200, "may", True, True)
    assert any(file.endswith("/4711/0.parquet") for file in ended.call("List predictions")["Body"][2:])


def test_a_known_model_is_judged_by_this_runs_threshold() -> None:
    marker = {"Body": json.dumps({"job": "train-old", "run": "may", "mae": 351})}
    ended = run(definition("if_missing: use_trained"), answers(Look_up_adelie=marker))
    assert models(ended)["adelie"]["verdict"] == "rejected"
    assert "Train adelie" not in ended.states


def test_fresh_looks_nothing_up() -> None:
    ended = run(definition(), answers(), {"fresh": True})
    keys = {call["Key"] for state, call in ended.calls if state.startswith("Look up")}
    assert len(keys) == 6
    assert all(key.startswith("markers/fresh/") for key in keys)
    assert all(not call["Key"].startswith("markers/fresh/") for s, call in ended.calls if s.startswith("Remember"))


@pytest.mark.parametrize("body", ["", "{", "3", "[1]", "null"])
def test_a_damaged_marker_is_as_good_as_none(body: str) -> None:
    ended = run(definition(), answers(Look_up_adelie={"Body": body}, Look_up_adelie_result={"Body": body}))
    assert ended.status == "SUCCEEDED"
    assert {"Train adelie", "Predict adelie"} <= set(ended.states)


def test_a_marker_that_cannot_be_written_stops_nothing() -> None:
    full = Throws("S3.S3Exception", "Slow down")
    ended = run(definition(), answers(Remember_adelie=full, Remember_adelie_result=full))
    assert ended.status == "SUCCEEDED"


def test_markers_depend_on_the_rows() -> None:
    ended = run(definition(), answers())
    keys = [call["Key"] for state, call in ended.calls if state.startswith("Remember")]
    assert len(set(keys)) == 6
    assert all(key.startswith(("markers/models/", "markers/predictions/")) for key in keys)


# The image that predicts travels with the model


def test_a_model_predicts_in_the_image_that_its_marker_names() -> None:
    trained = run(definition(), answers())
    assert trained.call("Remember gentoo")["Body"]["image"] == f"{IMAGE}${{AutogluonDigest}}"
    assert image_of(trained, "gentoo") == models(trained)["gentoo"]["image"] == f"{IMAGE}${{AutogluonDigest}}"
    marker = {**trained.call("Remember gentoo")["Body"], "image": f"{IMAGE}older"}
    found = run(definition(), answers(Look_up_gentoo={"Body": json.dumps(marker)}))
    assert image_of(found, "gentoo") == f"{IMAGE}older"
    del marker["image"]  # of an earlier version
    found = run(definition(), answers(Look_up_gentoo={"Body": json.dumps(marker)}))
    assert image_of(found, "gentoo") == f"{IMAGE}${{AutogluonDigest}}"


@pytest.mark.parametrize("image", [f"{IMAGE}older", None, 5])
def test_a_promoted_model_predicts_in_its_own_image_or_in_that_of_its_model_s_program(image: Any) -> None:
    entry = {"uses": "default", "model_uri": OLD, "run": "old", "manifest": "7" * 64, "image": image}
    promoted = {"Body": json.dumps({"m_gentoo": entry})}
    ended = run(definition(), answers(Read_score_of_gentoo=score(350.01), Choose_models=promoted))
    own = image if isinstance(image, str) else f"{IMAGE}${{AutogluonDigest}}"
    assert image_of(ended, "gentoo") == own
    assert image_of(ended, "adelie") == f"{IMAGE}${{AutogluonDigest}}"
    usual = run(definition(), answers(Read_score_of_gentoo=score(350.01), Choose_models=PROMOTED))
    places = {models(one)["gentoo"]["place"] for one in (ended, usual)}
    assert len(places) == (2 if isinstance(image, str) else 1), "another image's predictions are not reused"


def image_of(ended: Run, model: str) -> str:
    return str(ended.call(f"Predict {model}")["AppSpecification"]["ImageUri"])


# Judging


def test_a_model_that_is_not_good_enough_is_replaced_by_the_promoted_one() -> None:
    ended = run(definition(), answers(Read_score_of_gentoo=score(350.01), Choose_models=PROMOTED))
    assert ended.status == "SUCCEEDED"
    assert (models(ended)["gentoo"]["verdict"], models(ended)["gentoo"]["uses"]) == ("rejected", "default")
    predict = ended.call("Predict gentoo")
    assert predict["ProcessingInputs"][1]["S3Input"]["S3Uri"] == OLD
    assert predict["Environment"]["STEPGLUON_MANIFEST"] == "7" * 64
    assert models(ended)["adelie"]["uses"] == "trained"
    line = (
        "- gentoo: rejected. MAE 350.01 g (limit 350; always guessing the median: 612). The model promoted from run old"
    )
    assert line in ended.mail("models")


def test_a_failed_training_job_is_replaced_by_the_promoted_model_and_its_sentence_is_mailed() -> None:
    broken = failed_job("Not retried: column 'sex' of gentoo has no value (fill it or drop it)")
    ended = run(definition(), answers(Train_gentoo=broken, Choose_models=PROMOTED))
    assert ended.status == "SUCCEEDED"
    assert models(ended)["gentoo"]["uses"] == "default"
    sentence = "- gentoo: rejected. column 'sex' of gentoo has no value (fill it or drop it). The model promoted"
    assert sentence in ended.mail("models")
    assert {"Judge adelie", "Judge chinstrap", "Accept adelie", "Accept chinstrap"} <= set(ended.states)


def test_an_error_of_exactly_the_threshold_is_good_enough() -> None:
    ended = run(definition(), answers(Read_score_of_gentoo=score(350)))
    assert models(ended)["gentoo"]["verdict"] == "accepted"


@pytest.mark.parametrize(
    "body",
    [
        *('{"mae": -1}', '{"mae": null}', '{"mae": "12"}', '{"mae": [1]}', '{"mae": {"a": 1}}', '{"mae": true}', "{}"),
        *("[1]", "3", '"text"', "", "{", '{"mae": NaN}', '{"mae": Infinity}', '{"mae": 1', "null", '[{"mae": 1}]'),
    ],
)
def test_only_a_number_is_a_score(body: str) -> None:
    ended = run(definition(), answers(Read_score_of_gentoo={"Body": body}, Choose_models=PROMOTED))
    assert ended.status == "SUCCEEDED"
    assert models(ended)["gentoo"]["verdict"] == "rejected"
    reason = "MAE -1 g (limit 350)" if body == '{"mae": -1}' else "No score"
    assert f"- gentoo: rejected. {reason}. " in ended.mail("models")


def test_a_score_that_is_not_there_rejects_the_model() -> None:
    ended = run(definition(), answers(Read_score_of_gentoo=NO_FILE, Choose_models=PROMOTED))
    assert models(ended)["gentoo"]["verdict"] == "rejected"
    assert "- gentoo: rejected. No score." in ended.mail("models")


def test_a_score_file_too_long_for_a_state_rejects_its_model_alone() -> None:
    """States.DataLimitExceeded cannot be caught; of the file only its beginning is read, which is no JSON then."""
    train = json.loads(definition())["States"]["Train models"]
    ranges = [
        branch["States"][f"Read score of {model}"]["Arguments"]["Range"]
        for model, branch in zip(MODELS, train["Branches"], strict=True)
    ]
    assert ranges == ["bytes=0-65535"] * 3
    cut = {"Body": json.dumps({"mae": 1, "log": "x" * 70_000})[:65_536]}
    ended = run(definition(), answers(Read_score_of_gentoo=cut, Choose_models=PROMOTED))
    assert {name: model["verdict"] for name, model in models(ended).items()} == {
        "adelie": "accepted",
        "chinstrap": "accepted",
        "gentoo": "rejected",
    }


def test_the_run_file_can_change_the_threshold() -> None:
    ended = run(definition(), answers(Choose_models=PROMOTED), {"overrides": {"threshold": 349}})
    assert models(ended)["gentoo"]["verdict"] == "rejected"
    assert models(ended)["chinstrap"]["threshold"] == 349


def small(*limit: str) -> str:
    """The definition of a config whose model gentoo has this limit, and whose other models have none."""
    models = [f"{{name: {m}, label: g, where: {{s: {m}}}, {', '.join(limit) * (m == 'gentoo')}}}" for m in MODELS]
    text = f"name: penguins\nfallback: {{if_missing: fail}}\nmodels: [{', '.join(models)}]\n"
    return compile_definition(loads(text, "config.yml", None, {}), workflow).text


@pytest.mark.parametrize(
    ("limit", "mae", "median", "reason"),
    [
        ("", 1e300, 612, "accepted. MAE 1e+300 (no limit; always guessing the median: 612)"),
        ("", 5, None, "accepted. MAE 5 (no limit)"),
        ("", -1, 612, "rejected. MAE -1 (no limit; always guessing the median: 612)"),
        ("", None, 612, "rejected. No score"),
        ("better_than_median: 20%", 490, 612.5, "accepted. MAE 490 (limit 490, 20 % better than G: 612.5)"),
        ("better_than_median: 20%", 310, 388.141, "accepted. MAE 310 (limit 310.5128, 20 % better than G: 388.141)"),
        ("better_than_median: 20%", 490.1, 612.5, "rejected. MAE 490.1 (limit 490, 20 % better than G: 612.5)"),
        (
            "better_than_median: 12.5%",
            1,
            "612",
            "rejected. MAE 1 (limit 12.5 % better than G, whose error is missing)",
        ),
        ("better_than_median: 99%", 0, 0, "accepted. MAE 0 (limit 0, 99 % better than G: 0)"),
        ("threshold: 5", 6, 612, "rejected. MAE 6 (limit 5; G: 612)"),
    ],
)
def test_a_limit_may_be_relative_to_guessing_the_median_or_absent(
    limit: str, mae: Any, median: Any, reason: str
) -> None:
    scored = score(mae, mae_of_median=median)
    ended = run(small(limit), answers(Read_score_of_gentoo=scored, Choose_models=PROMOTED))
    verdict = models(ended)["gentoo"]
    assert verdict["reason"] == f"{reason.replace('G', 'always guessing the median')}."
    assert verdict["verdict"] == reason.split(".")[0]
    assert f"- gentoo: {verdict['reason']}" in ended.mail("models")
    assert verdict.get("better_than_median") == (float(limit.split()[1][:-1]) if "%" in limit else None)
    assert {"threshold", "mae_of_median"} <= verdict.keys()


@pytest.mark.parametrize("limit", ["", "better_than_median: 20%", "threshold: 9"])
def test_the_run_file_can_give_any_model_a_threshold(limit: str) -> None:
    ended = run(small(limit), answers(Choose_models=PROMOTED), {"overrides": {"threshold": 349}})
    verdicts = models(ended)
    assert {name: verdict["verdict"] for name, verdict in verdicts.items()} == {
        **{"adelie": "accepted", "chinstrap": "accepted", "gentoo": "rejected"}
    }
    assert {verdict["threshold"] for verdict in verdicts.values()} == {349}
    assert verdicts["gentoo"]["reason"] == "rejected. MAE 349.99 (limit 349; always guessing the median: 612)."


# Defaults


def test_without_a_default_the_run_ends_where_models_are_chosen() -> None:
    ended = run(definition(), answers(Read_score_of_gentoo=score(999)))
    assert (ended.status, ended.error) == ("FAILED", "States.QueryEvaluationError")
    assert "No model can predict for gentoo" in ended.cause
    assert "python pipeline.py promote RUN" in ended.cause
    assert ended.states[-1] == "Choose models"


def test_without_a_default_the_trained_model_is_used_where_the_config_says_so() -> None:
    ended = run(definition("if_missing: use_trained"), answers(Read_score_of_gentoo=score(999)))
    assert ended.status == "SUCCEEDED"
    assert (models(ended)["gentoo"]["verdict"], models(ended)["gentoo"]["uses"]) == ("rejected", "trained")
    place = ended.call("Predict gentoo")["ProcessingInputs"][1]["S3Input"]["S3Uri"]
    assert place.endswith("/train-gentoo/output/model/")


def test_a_training_that_failed_leaves_no_model_to_use_anyway() -> None:
    ended = run(definition("if_missing: use_trained"), answers(Train_gentoo=failed_job("Not retried: gone")))
    assert (ended.status, ended.states[-1]) == ("FAILED", "Choose models")
    assert "No model can predict for gentoo: training or testing failed, and no model is promoted." in ended.cause


def test_the_trained_model_is_used_by_default() -> None:
    assert definition("when: each") == definition("if_missing: use_trained")


def test_one_bad_model_replaces_all_where_the_config_says_any() -> None:
    promoted = {f"m_{m}": {"uses": "default", "model_uri": f"s3://w/{m}/"} for m in MODELS}
    bad = answers(Read_score_of_gentoo=score(999), Choose_models={"Body": json.dumps(promoted)})
    ended = run(definition("when: any, if_missing: fail"), bad)
    assert ended.status == "SUCCEEDED"
    assert {m["uses"] for m in models(ended).values()} == {"default"}
    assert models(ended)["adelie"]["verdict"] == "accepted"


def test_no_bad_model_replaces_none_where_the_config_says_any() -> None:
    ended = run(definition("when: any, if_missing: fail"), answers())
    assert {m["uses"] for m in models(ended).values()} == {"trained"}


def test_a_good_model_without_a_default_is_kept_where_any_bad_one_replaces_all() -> None:
    bad = answers(Read_score_of_gentoo=score(999))
    ended = run(definition("when: any, if_missing: use_trained"), bad)
    assert ended.status == "SUCCEEDED"
    assert {m["uses"] for m in models(ended).values()} == {"trained"}


@pytest.mark.parametrize("text", ["[]", "3", '{"m_gentoo": 3}', '{"m_gentoo": {}}', '{"m_gentoo": {"model_uri": 3}}'])
def test_a_promoted_model_without_a_place_is_none(text: str) -> None:
    ended = run(definition(), answers(Read_score_of_gentoo=score(999), Choose_models={"Body": text}))
    assert "No model can predict for gentoo" in ended.cause


@pytest.mark.parametrize("text", ["{", "no JSON"])
def test_a_damaged_list_of_promoted_models_fails_the_run_that_needs_it(text: str) -> None:
    damaged = {"Body": text}
    assert run(definition(), answers(Choose_models=damaged)).status == "SUCCEEDED"
    ended = run(definition(), answers(Read_score_of_gentoo=score(999), Choose_models=damaged))
    assert (ended.status, ended.states[-1]) == ("FAILED", "Choose models")


def test_a_default_named_in_the_config_is_used() -> None:
    given = f"default_model: {WORK}/models/mine"
    ended = run(definition(given), answers(Read_score_of_gentoo=score(999)))
    predict = ended.call("Predict gentoo")
    assert predict["ProcessingInputs"][1]["S3Input"]["S3Uri"] == f"{WORK}/models/mine/"
    assert predict["Environment"]["STEPGLUON_MANIFEST"] == ""


def test_promoted_models_that_cannot_be_read_are_not_taken_for_none() -> None:
    denied = Throws("S3.S3Exception", "Access Denied (Service: S3, Status Code: 403)")
    bad = answers(Read_score_of_gentoo=score(999), Choose_models=denied)
    ended = run(definition("if_missing: use_trained"), bad)
    assert (ended.status, ended.error, ended.states[-1]) == ("FAILED", "S3.S3Exception", "Choose models")


# Failures


@pytest.mark.parametrize(
    "given",
    [
        *("text", 3, True, [1, 2], [], {"data": 3}, {"note": {"a": 1}}, {"overrides": None}, {"overrides": "x"}),
        *({"overrides": [1]}, {"overrides": {"threshold": "9999"}}, {"overrides": {"threshold": None}}),
        *({"fresh": "yes"}, {"resume": {"run": "x", "from": "train"}}),
    ],
)
def test_an_input_that_cannot_be_used_ends_the_run_at_once(given: Any) -> None:
    ended = run(definition(), answers(), given)
    assert (ended.status, ended.error, ended.states) == ("FAILED", "States.QueryEvaluationError", ["Begin"])
    assert "The input of this execution cannot be used: " in ended.cause


@pytest.mark.parametrize(
    ("stage", "end"), [("Prepare data", "Prepare again?"), ("Post-process", "Post-process again?")]
)
def test_a_wrong_table_is_not_tried_twice(stage: str, end: str) -> None:
    ended = run(definition(), answers() | {stage: failed_job(MISTAKE, "Processing")})
    assert (ended.status, ended.states[-1], count(ended, stage)) == ("FAILED", end, 1)
    assert MISTAKE.removeprefix("Not retried: ") in ended.cause


@pytest.mark.parametrize("stage", ["Prepare data", "Post-process"])
def test_a_job_that_another_try_mends_is_tried_again(stage: str) -> None:
    crash = failed_job("the machine was lost", "Processing")
    ended = run(definition(), answers() | {stage: [crash, {"ProcessingJobName": "second"}]})
    assert (ended.status, count(ended, stage)) == ("SUCCEEDED", 2)
    names = [call["ProcessingJobName"] for state, call in ended.calls if state == stage]
    assert len(set(names)) == 2


def test_a_job_that_always_crashes_ends_the_run_after_its_tries() -> None:
    ended = run(definition(), answers(Prepare_data=failed_job("the machine was lost", "Processing")))
    assert (ended.status, count(ended, "Prepare data")) == ("FAILED", 2)
    assert "the machine was lost" in ended.cause


def test_a_training_is_tried_again_unless_the_data_are_wrong() -> None:
    crash, mistake = failed_job("out of memory"), failed_job(MISTAKE)
    ended = run(definition("if_missing: use_trained"), answers(Train_gentoo=[crash, {"TrainingJobName": "second"}]))
    assert (models(ended)["gentoo"]["verdict"], count(ended, "Train gentoo")) == ("accepted", 2)
    ended = run(definition(), answers(Train_gentoo=mistake, Choose_models=PROMOTED))
    assert (models(ended)["gentoo"]["verdict"], count(ended, "Train gentoo")) == ("rejected", 1)


def test_a_service_that_refuses_ends_the_run_with_its_own_words() -> None:
    refused = Throws("SageMaker.ResourceLimitExceededException", "The limit for ml.m5.xlarge is 0 {Instances}.")
    ended = run(definition(), answers(Prepare_data=refused))
    assert "SageMaker.ResourceLimitExceededException: The limit for ml.m5.xlarge is 0 {Instances}." in ended.cause


def test_a_failed_prediction_delivers_the_rest() -> None:
    broken = failed_job("Not retried: the model is of AutoGluon 1.4.", "Processing")
    ended = run(definition(), answers(Predict_adelie=broken))
    assert (ended.status, ended.error, ended.states[-1]) == ("FAILED", "Incomplete", "Incomplete")
    assert "adelie: the model is of AutoGluon 1.4." in ended.cause
    assert {"Predict gentoo", "Predict chinstrap", "Post-process"} <= set(ended.states)
    assert subjects(ended)[-1] == "penguins june-go: incomplete"
    assert "- adelie: the model is of AutoGluon 1.4." in ended.mail("incomplete")
    assert re.search(
        r" has finished: 40 of 70 gaps filled by 2 models in \d+ s; 30 left open\.\n", ended.mail("incomplete")
    )
    listed = ended.call("List predictions")["Body"][1:]
    assert sum(file.startswith("predictions/") for file in listed) == 2
    outcomes = {verdict["name"]: verdict["outcome"] for verdict in ended.call("Record verdicts")["Body"]}
    assert outcomes == {"adelie": "failed", "chinstrap": "predicted", "gentoo": "predicted"}
    assert count(ended, "Predict adelie") == 1


def test_all_predictions_may_fail() -> None:
    broken = {f"Predict {model}": failed_job("lost", "Processing") for model in MODELS}
    ended = run(definition(), answers() | broken)
    assert (ended.status, ended.error) == ("FAILED", "Incomplete")
    assert not any(file.startswith("predictions/") for file in ended.call("List predictions")["Body"][1:])
    assert count(ended, "Predict adelie") == 2


def test_all_trainings_may_fail() -> None:
    broken = {f"Train {model}": failed_job("CapacityError: no machines") for model in MODELS}
    ended = run(definition(), answers() | broken)
    assert "No model can predict for adelie, chinstrap, gentoo" in ended.cause


@pytest.mark.parametrize("mail", ["Announce start", "Announce models", "Announce results"])
def test_a_mail_that_cannot_be_sent_stops_nothing(mail: str) -> None:
    ended = run(definition(), answers() | {mail: Throws("SNS.NotFoundException", "Topic does not exist")})
    assert ended.status == "SUCCEEDED"
    assert len(ended.mails) == 3


def test_the_subject_is_the_runs_name_if_that_begins_with_the_pipelines() -> None:
    ended = run(definition(), answers(), name="penguins-261130-3f2")
    assert subjects(ended)[0] == "penguins-261130-3f2: started"


@pytest.mark.parametrize("name", ["x" * 80, "日本" * 10, "a" * 60, "penguins-" + "x" * 71])
def test_a_subject_is_short_and_ascii_whatever_the_run_is_called(name: str) -> None:
    ended = run(definition(), answers(), name=name)
    for subject in subjects(ended):
        assert len(subject) <= 99
        assert subject.isascii()


def test_every_error_that_is_handled_by_name_is_one_that_its_service_can_raise() -> None:
    """A name that never comes would be no retry at all, and nothing would say so."""
    handled = set(handled_errors(json.loads(definition())))
    assert {resource.partition(":")[0] for resource, _ in handled} == {"aws-sdk", "sagemaker", "sns"}
    for resource, error in handled:
        called = integration(f"arn:aws:states:::{resource}")
        assert called is not None
        operation = resource.removesuffix(".sync").split(":")[-1]
        model = get_session().get_service_model(called.service)
        own = model.operation_model(operation[:1].upper() + operation[1:]).error_shapes
        kind = error.partition(".")[0]
        named = {f"{kind}.{shape.name.removesuffix('Exception')}Exception" for shape in own}
        assert error in named | {called.error(), f"{kind}.SdkClientException"}, resource


def handled_errors(part: Any) -> Iterator[tuple[str, str]]:
    """Each integration with the errors of its service that its Retry and Catch name."""
    for item in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from handled_errors(item)
    if isinstance(part, dict) and part.get("Type") == "Task":
        for block in (*part.get("Retry", []), *part.get("Catch", [])):
            for error in block["ErrorEquals"]:
                if not error.startswith("States."):
                    yield part["Resource"].partition(":::")[2], error
