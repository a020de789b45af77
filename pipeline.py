#!/usr/bin/env python3
"""The workflow. Change it here, and view it with `python pipeline.py graph -o workflow.html`.

The classes are those of the AWS Step Functions Data Science SDK. Each state is created by a method in
stepgluon/workflow/states.py, those of a model in branch_states.py; in a state's name, * stands for the model's name.
`partitioned` is the workflow with a model for each value found in the data; its states are in group_states.py.

`release` and `monitoring` are machines beside it, for configs that need them (`graph --machine release`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from stepgluon.workflow.monitor_machine import monitoring as monitoring
from stepgluon.workflow.release_machine import release as release
from stepgluon.workflow.release_machine import release_to_endpoint

if TYPE_CHECKING:
    from stepgluon.config.schema import PipelineConfig
    from stepgluon.workflow.group_states import GroupStates
    from stepgluon.workflow.parts import Item
    from stepgluon.workflow.sdk import Chain, Choice, Pass, Task
    from stepgluon.workflow.states import States


def workflow(config: PipelineConfig) -> Chain:
    """Prepare the data; train, evaluate and choose a model for each entry; predict; and assemble the predictions."""
    from stepgluon.workflow.sdk import Chain, Choice
    from stepgluon.workflow.states import States

    if config.partitioned:
        return partitioned(config)
    make = States(config)
    announce_start = make.mail("Announce start", "started")
    prepare = make.prepare("Prepare data")
    train = make.train_models("Train models")
    announce_models = make.mail("Announce models", "models")
    choose = make.choose_models("Choose models", announce_models)
    predict = make.predict_models("Predict")
    postprocess = make.postprocess("Post-process")
    announce_results = make.mail("Announce results", "finished")
    complete = Choice("Is it complete?")

    for model in make.items:
        train.add_branch(train_one(make, model))
        predict.add_branch(predict_one(make, model))

    releases = []
    if config.served:
        releases = [release_models := make.release_models("Release models")]
        for model in make.items:
            release_models.add_branch(release_one(make, model))
        complete.add_choice(make.endpoint_is_stuck(), make.stuck("Repair endpoint"))

    chain = Chain([
        make.begin("Begin"),
        announce_start,
        *builds(make, prepare),
        prepare,
        make.read_fingerprints("Read fingerprints"),
        train,
        choose,
        announce_models,
        predict,
        make.record_verdicts("Record verdicts"),
        make.list_predictions("List predictions"),
        postprocess,
        *releases,
        announce_results,
        complete,
        make.incomplete("Incomplete"),
    ])  # fmt: skip
    complete.add_choice(make.nothing_is_missing(), make.done("Done"))

    # A failed state ends the run: the console points at it, and a redrive starts there. The run continues after only
    # three: a mail that cannot be sent, a failed job that a retry may fix, and no promoted models yet.
    continue_after(make, [announce_start, announce_models, announce_results], prepare, postprocess)
    return chain


def continue_after(make: States, mails: list[Task], prepare: Task, postprocess: Task) -> None:
    """Continue after mails that cannot be sent, and try failed jobs again if that may help."""
    for mail in mails:
        mail.add_catch(make.ignored(mail))
    for job, question in ((prepare, "Prepare again?"), (postprocess, "Post-process again?")):
        job.add_catch(make.failed_job(make.again(question, job)))


def builds(make: States, then: Task) -> list[Task]:
    """Build the images that the config builds in runs, unless ECR has them: a tag is the hash of an image's content."""
    looks = [make.look_for_image(image, f"Look for image {image}") for image in make.images]
    for image, look, following in zip(make.images, looks, [*looks[1:], then], strict=False):
        build = make.build_image(image, f"Build image {image}")
        build.next(following)
        look.add_catch(make.without_image(build))
    return looks


def train_one(make: States, model: Item) -> Chain:
    """Train one model and evaluate it. A failed training rejects the model, but does not fail the run."""
    from stepgluon.workflow.sdk import Chain, Choice

    judge = Choice(model.state("Judge *"))
    train = make.tune(model, "Tune *") if model.tuned else make.train(model, "Train *")
    read_score = make.read_score(model, "Read score of *")
    accept = make.accept(model, "Accept *")
    if model.approval:  # the marker says which version of the registry a model is, so a cached one gets no second
        register, record = make.register(model, "Register *"), make.remember(model, "Remember version of *")
        Chain([register, record, accept])
        register.add_catch(make.unregistered(accept))
        record.add_catch(make.ignored(record))
        judge.add_choice(make.registered(model), accept)
        judge.add_choice(make.good_enough(model), register)
    else:
        judge.add_choice(make.good_enough(model), accept)

    remember, failed = make.remember(model, "Remember *"), judge
    scoring = [make.score(model, "Score *")] if model.archived else []  # takes the archive that the training leaves
    asking = test_one(make, model, judge, scoring[0]) if model.tested else []
    if measuring := [*asking, *scoring]:  # a model that could not be measured is not trained again
        judge.add_choice(make.worth_another_measurement(), measuring[0])
    judge.add_choice(make.worth_another_try(of_aws=model.archived), train)
    judge.default_choice(make.reject(model, "Reject *"))
    listing = []
    if model.tuned:  # a tuning's best training goes on; the report shows the others
        trials, write = make.list_trials(model, "List trials of *"), make.write_trials(model, "Write trials of *")
        trials.add_catch(make.no_trials(write))
        write.add_catch(make.failed_score(judge))
        listing = [trials, write]
        failed = make.find_failure(model, "Find failure of *")
        failed.add_catch(make.unknown_failure(judge))
        failed.next(judge)
    Chain([*(scoring if asking else []), read_score, remember, judge])
    Chain([train, *listing, *(asking[:1] or [*scoring, read_score])])
    train.add_catch(make.failed_training(failed))
    for job in scoring:
        job.add_catch(make.failed_measurement(judge))
    read_score.add_catch(make.failed_score(judge))
    remember.add_catch(make.ignored(remember))
    look_up = make.look_up(model, "Look up *", train)  # was exactly this trained before?
    look_up.next(judge)
    return Chain([look_up])


def test_one(make: States, model: Item, judge: Choice, score: Task) -> list[Task]:
    """Let a container answer the held-out rows. SageMaker's model is deleted afterwards, even if the job failed."""
    from stepgluon.workflow.sdk import Chain

    create, test = make.create_model(model, "Create model of *"), make.ask(model, "Test *")
    delete = make.delete_model(model, "Delete model of *")
    judge.add_choice(make.answered(), score)
    Chain([create, test, delete, judge])
    create.add_catch(make.failed_measurement(judge))
    test.add_catch(make.failed_measurement(delete))
    delete.add_catch(make.ignored(delete))
    return [create, test]


def predict_one(make: States, model: Item) -> Chain:
    """Predict one model's rows, if it has any. A failed prediction is reported, and the others are delivered."""
    from stepgluon.workflow.sdk import Chain, Choice

    necessary = Choice(model.state("Due *?"))
    remember = make.remember_result(model, "Remember * result")
    report = make.report(model, "Report *")
    if model.transforms:  # a server answers the rows; its answers to files are the predictions
        first, answer = make.create_chosen(model, "Create chosen model of *"), make.transform(model, "Predict *")
        delete = make.delete_model(model, "Delete chosen model of *")
        predicting = [make.check(model, "Check answers of *")] if model.checked else []
        necessary.add_choice(make.answered(), [*predicting, remember][0])
        Chain([first, answer, delete, necessary])
        first.add_catch(make.failed_answers(necessary))
        answer.add_catch(make.failed_answers(delete))
        delete.add_catch(make.ignored(delete))
    else:
        first = make.predict(model, "Predict *")
        predicting = [first]
    necessary.add_choice(make.worth_another_try(), first)
    necessary.default_choice(report)

    Chain([*predicting, remember, report])
    for job in predicting:
        job.add_catch(make.failed_prediction(necessary))
    remember.add_catch(make.ignored(remember))
    look_up = make.look_up_result(model, "Look up * result", necessary)
    look_up.next(report)
    return Chain([look_up])


def release_one(make: States, model: Item) -> Chain:
    """Release a model to its endpoint, if it has one."""
    from stepgluon.workflow.sdk import Chain

    if model.model not in make.config.served:
        return Chain([make.without_endpoint(model, "No endpoint of *")])
    choose = make.choose_to_serve(model, "Choose * to serve")
    return Chain([choose, release_to_endpoint(make, model, make.end_release(model, "End release of *"))])


def partitioned(config: PipelineConfig) -> Chain:
    """The workflow with one model for each value found in the data: a Distributed Map over groups of models."""
    from stepgluon.workflow.group_states import GroupStates
    from stepgluon.workflow.sdk import Chain, Choice

    make = GroupStates(config)
    mails = [make.mail("Announce start", "started"), make.mail("Announce results", "finished")]
    prepare, postprocess = make.prepare("Prepare data"), make.postprocess("Post-process")
    complete = Choice("Is it complete?")
    if config.fallback.when == "any":  # a rejected model of any group decides for all
        mails.insert(1, make.mail("Announce models", "models"))
        groups = [
            make.train_groups("Train groups", Chain([train_group(make)])),
            mails[1],
            make.predict_groups("Predict groups", "Predict", Chain([predict_trained_group(make)])),
        ]
    else:
        groups = [make.predict_groups("Train and predict groups", "Groups", Chain([train_group(make)]))]

    releases: list[Pass | Choice] = []
    if config.served:
        (models,) = make.items
        end = make.end_release(models, "End release of *")
        releases = [make.choose_to_serve(models, "Serve *"), release_to_endpoint(make, models, end)]
        end.next(mails[-1])
        complete.add_choice(make.endpoint_is_stuck(), make.stuck("Repair endpoint"))

    Chain([mails[-1], complete, make.incomplete("Incomplete")])
    chain = Chain([
        make.begin("Begin"),
        mails[0],
        make.look_for_promoted("Look for promoted models"),
        prepare,
        make.read_fingerprints("Read fingerprints"),
        *groups,
        make.list_predictions("List predictions"),
        postprocess,
        make.read_headline("Read headline"),
        *(releases or mails[-1:]),
    ])  # fmt: skip
    complete.add_choice(make.nothing_is_missing(), make.done("Done"))
    continue_after(make, mails, prepare, postprocess)
    return chain


def train_group(make: GroupStates) -> Pass:
    """Train the models of a group that were not trained before, and judge all; then predict, unless all groups wait."""
    from stepgluon.workflow.sdk import Chain, Choice

    begin, read, judge = make.begin_group("Begin group"), make.read_group("Read group"), make.judge_group("Judge group")
    due, again = Choice("Anything to train?"), Choice("Train group again?")
    todo, train = make.list_models_to_train("List models to train"), make.train_group("Train group")
    results, remember = make.read_results("Read results of group"), make.remember_group("Remember group")
    look_up = make.look_up_group("Look up group", due)
    if make.waits:
        report = make.report_training("Report training")
        record = make.record_judged("Record verdicts", report)
        Chain([record, report])
    else:
        record, report = predict_group(make)
    Chain([begin, read, look_up, due])
    Chain([todo, train, results, remember, judge, record])
    due.add_choice(make.models_to_train(), todo)
    due.default_choice(judge)
    again.add_choice(make.worth_another_try(), train)
    again.default_choice(judge)
    read.add_catch(make.reported(report))
    for state in (todo, train, results):
        state.add_catch(make.failed_training(again))
    remember.add_catch(make.ignored(remember))
    return begin


def predict_trained_group(make: GroupStates) -> Pass:
    """Choose what predicts in a group whose models are judged already, and predict."""
    from stepgluon.workflow.sdk import Chain

    begin, read = make.begin_group("Begin predictions"), make.read_group("Read group again")
    record, report = predict_group(make)
    verdicts = make.read_verdicts("Read verdicts", report)
    Chain([begin, read, verdicts, record])
    read.add_catch(make.reported(report))
    return begin


def predict_group(make: GroupStates) -> tuple[Task, Pass]:
    """Record what predicts in a group, and predict unless that was done before: the first state, and the last one."""
    from stepgluon.workflow.sdk import Chain, Choice

    report = make.report_group("Report group")
    record, due = make.record_choices("Record choices", report), Choice("Anything to predict?")
    archives, predict = make.list_archives("List archives"), make.predict_group("Predict group")
    result, remember = make.read_predictions("Read result of group"), make.remember_predictions("Remember predictions")
    look_up = make.look_up_predictions("Look up predictions", archives)
    again, failure = Choice("Predict group again?"), make.record_failure("Record failure")
    before = Choice("Predicted before?")
    Chain([record, due])
    Chain([look_up, before])
    Chain([archives, predict, result, remember, report])
    before.add_choice(make.predicted_before(), report)
    before.default_choice(archives)
    failure.next(report)
    due.add_choice(make.models_to_predict(), look_up)
    due.default_choice(report)
    again.add_choice(make.worth_another_try(), predict)
    again.default_choice(failure)
    for state in (archives, predict, result):
        state.add_catch(make.failed_of_group(again))
    for state in (remember, failure):
        state.add_catch(make.ignored(state))
    return record, report


if __name__ == "__main__":
    from stepgluon.cli.main import main

    sys.exit(main(workflow))
