#!/usr/bin/env python3
"""The workflow, told once: change it here, and look at it with `python pipeline.py graph -o workflow.html`.

The words are those of the AWS Step Functions Data Science SDK; stepgluon/workflow/states.py makes each state.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepgluon.config.schema import Model, PipelineConfig
    from stepgluon.workflow.sdk import Chain
    from stepgluon.workflow.states import States


def workflow(config: PipelineConfig) -> Chain:
    """Prepare the data, train, judge and choose a model for each entry, predict, put the predictions together."""
    from stepgluon.workflow.sdk import Catch, Chain, Choice, Parallel
    from stepgluon.workflow.states import States

    make = States(config)

    input_is_bad = Choice("Is the input usable?")
    announce_start = make.mail("Announce start")
    begin = Choice("Where to begin?")
    prepare = make.processing_job("Prepare data")
    train = Parallel("Train models", result_path="$.models")
    explain_training = make.failures.explain("Explain failed trainings", "training", "$.models")
    any_rejected = Choice("Is any model rejected?")
    read_promoted = make.read_promoted("Read promoted models")
    read_verdicts = make.read_verdicts("Read verdicts")
    choose = Parallel("Choose models", result_path="$.models")
    record = make.record_verdicts("Record verdicts")
    announce_models = make.mail("Announce models")
    every_model_found = Choice("Is there a model for each?")
    predict = Parallel("Predict", result_path="$.predictions")
    explain_predicting = make.failures.explain("Explain failed predictions", "prediction", "$.predictions")
    all_predicted = Choice("Is everything predicted?")
    postprocess = make.processing_job("Post-process")
    announce_results = make.mail("Announce results")

    for model in config.models:
        train.add_branch(train_one(make, model))
        choose.add_branch(choose_one(make, model))
        predict.add_branch(predict_one(make, model))

    # What follows a Choice here is where it leads when none of its rules, below, matches.
    chain = Chain([
        make.defaults("Defaults"),
        input_is_bad,
        make.whole_input("Input"),
        make.settings("Settings"),
        make.thresholds("Thresholds"),
        announce_start,
        begin,
        prepare,
        train,
        explain_training,
        any_rejected,
        choose,
        record,
        announce_models,
        every_model_found,
        predict,
        explain_predicting,
        all_predicted,
        postprocess,
        announce_results,
        make.done("Done"),
    ])  # fmt: skip

    # Only where a model is rejected are the defaults looked up; `when: any` then uses the default of every model.
    everything = [make.use_every_default("Use every default")] if config.fallback.when == "any" else []
    any_rejected.add_choice(make.a_model_is_rejected(), Chain([*everything, read_promoted, choose]))
    read_promoted.add_catch(Catch(error_equals=["S3.NoSuchKeyException"], result_path="$.failure", next_step=choose))

    # A failed job is caught inside its branch (train_one, predict_one). What goes wrong here ends the run as failed,
    # with one mail that says where, why and what to do. A mail that cannot be sent neither stops nor hides a run.
    failure = make.failures.path()
    input_is_bad.add_choice(make.bad_input(), make.failures.bad_input(failure))
    # `redrive RUN` starts a run that takes up RUN: it uses what that one has finished, and begins with the next stage.
    begin.add_choice(make.begins_with("train"), train)
    begin.add_choice(make.begins_later(), make.take_up(read_verdicts, any_rejected, postprocess, failure))
    every_model_found.add_choice(make.a_model_is_missing(), make.failures.missing_models(choose, failure))
    all_predicted.add_choice(make.a_prediction_is_missing(), make.failures.missing_predictions(predict, failure))
    for step in [*chain, read_promoted, read_verdicts]:
        if make.is_mail(step):
            step.add_catch(Catch(error_equals=["States.ALL"], result_path=None, next_step=step.next_step))
        elif make.can_fail(step):
            failed = make.failures.of(step, failure)
            step.add_catch(Catch(error_equals=["States.ALL"], result_path="$.failure", next_step=failed))
    return chain


def train_one(make: States, model: Model) -> Chain:
    """A training that fails is a rejected model, not a failed run: its branch reports it, and the others go on.

    It fails when it has failed again after `retries`, each time under a fresh name.
    """
    from stepgluon.workflow.sdk import Catch, Chain, Choice

    train = make.training_job(model)
    read_score = make.read_score(model)
    judge = Choice(f"Judge {model.name}")

    for step in (train, read_score):
        # Judged without a score, it is rejected.
        step.add_catch(Catch(error_equals=["States.ALL"], result_path="$.failure", next_step=judge))
    judge.add_choice(make.good_enough(model), make.accept(model))
    judge.add_choice(make.has_score(), make.reject(model))
    judge.default_choice(make.reject_without_score(model))
    return Chain([train, read_score, judge])


def choose_one(make: States, model: Model) -> Chain:
    """An accepted model predicts; for a rejected one its default does, where there is one."""
    from stepgluon.workflow.sdk import Chain, Choice

    choose = Choice(f"Choose {model.name}")
    choose.add_choice(make.accepted(model), make.keep(model))
    choose.add_choice(make.has_default(model), make.use_default(model))
    if make.config.fallback.if_missing == "use_trained":
        choose.add_choice(make.trained(model), make.keep_anyway(model))
    choose.default_choice(make.no_model(model))
    return Chain([choose])


def predict_one(make: States, model: Model) -> Chain:
    """A prediction that fails is reported too, so that the others finish before the run fails."""
    from stepgluon.workflow.sdk import Catch, Chain

    predict = make.prediction_job(model)
    not_predicted = make.not_predicted(model)
    predict.add_catch(Catch(error_equals=["States.ALL"], result_path="$.failure", next_step=not_predicted))
    return Chain([predict])


if __name__ == "__main__":
    from stepgluon.cli.main import main

    sys.exit(main(workflow))
