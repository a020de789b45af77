"""The release of a model to its endpoint, which is part of a run, and the machine that releases an approved version.

The registry's event "model package approved" starts that machine. Its states are in endpoint_states.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepgluon.config.schema import PipelineConfig
    from stepgluon.workflow.parts import Item
    from stepgluon.workflow.sdk import Chain, Choice, Pass
    from stepgluon.workflow.states import States


def release(config: PipelineConfig) -> Chain:
    """A machine of its own: release a version of the registry that was approved; the registry's event starts it."""
    from stepgluon.workflow.sdk import Chain, Choice
    from stepgluon.workflow.states import States

    make = States(config)
    which, complete = Choice("Which model?"), Choice("Is it released?")
    announce = make.mail("Announce release", "released")
    for model in make.approved_items:
        look = make.describe_version(model, "Describe version of *")
        end = make.end_release(model, "End release of *", approved=True)
        end.next(announce)
        which.add_choice(make.is_of(model), Chain([look, release_to_endpoint(make, model, end)]))
    which.default_choice(make.not_served("Not served"))
    complete.add_choice(make.endpoint_is_stuck(), make.stuck("Repair endpoint"))
    complete.add_choice(make.all_released(), make.done("Done"))
    complete.default_choice(make.not_released("Not released"))
    Chain([announce, complete])
    announce.add_catch(make.ignored(announce))
    return Chain([make.begin_release("Begin"), which])


def release_to_endpoint(make: States, model: Item, end: Pass) -> Choice:
    """The endpoint answers all the time: SageMaker starts the new model first, and rolls a bad one back."""
    from stepgluon.workflow.sdk import Chain, Choice

    state = Choice(model.state("Endpoint of *?"))
    look, wait = make.describe_endpoint(model, "Describe endpoint of *"), make.wait(model, "Wait for endpoint of *")
    add_model, add_config = make.create_served(model, "Create served model *"), make.create_config(model, "Configure *")
    create, delete = (
        make.create_endpoint(model, "Create endpoint of *"),
        make.delete_endpoint(model, "Delete endpoint of *"),
    )
    update, point = make.update_endpoint(model, "Update endpoint of *"), make.point_to_model(model, "Point to *")
    last = [end]
    if model.scaled:
        stop, scale = make.stop_scaling(model, "Stop scaling of *"), make.scale(model, "Scale *")
        last = [scale, make.follow_traffic(model, "Follow traffic of *"), end]
        stop.next(state)
        stop.add_catch(make.not_scaled(state))
        for task in last[:2]:
            task.add_catch(make.noted("Its scaling could not be set", end))
        state.add_choice(make.failed_release(stopped=True), scale)
    state.add_choice(make.unknown_endpoint(), look)
    state.add_choice(make.failed_release(), end)
    state.add_choice(make.in_progress(), wait)
    state.add_choice(make.serves(), point)
    state.add_choice(make.rolled_back(), last[0])
    state.add_choice(make.needs("Missing|Failed|InService", unless="made"), add_model)
    if model.scaled:
        state.add_choice(make.needs("Failed|InService", unless="stopped"), stop)
    state.add_choice(make.needs("Missing"), create)
    state.add_choice(make.needs("Failed"), delete)
    state.add_choice(make.needs("InService"), update)
    state.default_choice(end)

    Chain([wait, look, state])
    Chain([add_model, add_config, state])
    Chain([point, *last])
    look.add_catch(make.undescribed(state))
    add_model.add_catch(make.made_before(add_config))
    add_config.add_catch(make.made_before(state))
    for task in (create, delete, update):
        task.next(wait)
        task.add_catch(make.refused(wait))
    point.add_catch(make.noted("Which model it serves could not be written", last[0]))
    return state
