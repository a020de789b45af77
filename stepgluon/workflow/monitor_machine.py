"""The machine that looks for drift: it runs on a schedule, beside the pipeline. Its states are in monitor_states.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepgluon.config.schema import PipelineConfig
    from stepgluon.workflow.monitor_states import MonitorStates
    from stepgluon.workflow.parts import Item
    from stepgluon.workflow.sdk import Chain


def monitoring(config: PipelineConfig) -> Chain:
    """Compare the rows that each monitored model gets with those that trained it; mail drift, or also retrain."""
    from stepgluon.workflow.monitor_states import MonitorStates
    from stepgluon.workflow.sdk import Chain, Choice, Parallel

    make = MonitorStates(config)
    compare, ask = Parallel("Compare models", arguments={}), Choice("Are all compared?")
    for model in make.monitored:
        compare.add_branch(monitor_one(make, model))
    ask.add_choice(make.all_compared(), make.done("Done"))
    ask.default_choice(make.unfinished("Not monitored"))
    return Chain([make.begin("Begin"), compare, ask])


def monitor_one(make: MonitorStates, model: Item) -> Chain:
    """Look for drift of what serves. A rerun is started once for each model that serves, so never in circles."""
    from stepgluon.workflow.sdk import Chain, Choice

    report, announce = make.report(model, "Report *"), make.announce(model, "Announce drift of *")
    rows, drifted = Choice(model.state("Are there rows of *?")), Choice(model.state("Has * drifted?"))
    served, promoted = make.find_served(model, "Find what serves *"), make.find_promoted(model, "Find promoted *")
    captured, more = make.find_captured(model, "Find captured rows of *"), Choice(model.state("More rows of *?"))
    tables, choose = make.find_tables(model, "Find tables of *"), make.choose_rows(model, "Choose captured rows of *")
    compare, read = make.compare(model, "Compare rows of *"), make.read_result(model, "Read result of *")
    rerun = []
    if make.retrains(model):
        mark = make.mark(model, "Remember drift of *")
        mark.add_catch(make.marked(model, announce))
        last, given = (
            make.find_last_run(model, "Find last run for *"),
            make.read_its_input(model, "Read its input for *"),
        )
        rerun = [mark, last, given, make.retrain(model, "Retrain *")]
    Chain([served, captured, more])
    more.add_choice(make.more_parts(), captured)
    more.default_choice(tables)
    Chain([tables, rows])
    promoted.next(captured)
    served.add_catch(make.nothing_there(promoted))
    promoted.add_catch(make.nothing_there(report))
    rows.add_choice(make.serves(), choose)
    rows.default_choice(report)
    Chain([choose, compare, read, drifted])
    drifted.add_choice(make.drifted(), [*rerun, announce][0])
    drifted.default_choice(report)
    Chain([*rerun, announce, report])
    for task in (served, promoted):
        task.add_catch(make.failed(announce, "$nothing"))
    for task in (captured, tables, choose, compare, read, *rerun[1:]):
        task.add_catch(make.failed(announce))
    announce.add_catch(make.unsent(report))
    return Chain([served])
