"""The commands that need no account: check, doctor, run, local up and local down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stepgluon.advice import pipeline_py
from stepgluon.cli.common import Call
from stepgluon.cost.estimate import check_cost
from stepgluon.errors import UsageError
from stepgluon.local.data_check import check_data, checking, words
from stepgluon.names import Names
from stepgluon.runs.start import check_files, one_line
from stepgluon.runs.view import panel


def do_check(call: Call) -> int:
    check_files(call.options.data)
    config = call.config().config
    if config.data.files:
        raise UsageError("check reads tables, but with data.files only your own script reads the data")
    found = check_data(Names(config), call.options.data)
    call.result(words(found), found)
    return 1 if found["problems"] else 0


def do_doctor(call: Call) -> None:
    from dataclasses import asdict

    from stepgluon.local.doctor import abilities, words

    found = abilities()
    call.result(words(found), [asdict(one) for one in found])


def do_run(call: Call) -> int:
    from stepgluon.local.left_serving import still_serving
    from stepgluon.local.run import Order, run

    options, loaded = call.options, call.config()
    check_files(options.data)
    check_cost(loaded.config)
    order = Order(tuple(options.data), options.work, options.threshold, options.note, options.fresh, options.open)
    names = Names(loaded.config)
    again = [*map(str, options.data)]
    again += ["--threshold", str(options.threshold)] if options.threshold is not None else []
    again += ["--note", one_line(options.note)] if options.note else []

    def show(record: dict[str, Any]) -> None:
        call.result(f"\n{panel(record, pipeline_py('run --data', *again), address='')}", record)

    with (
        call.terminal.progress() as progress,
        still_serving(options.work, names, progress.say) as port,
        checking(names, options.data, progress.say) as check,
    ):
        record = run(loaded, call.workflow, replace(order, port=port), progress, check, show)
    return 0 if record["status"] == "SUCCEEDED" else 1


def do_local(call: Call) -> None:
    from stepgluon.local.left_serving import end_serving, end_with_starter
    from stepgluon.local.up import serve

    options, terminal = call.options, call.terminal
    if options.action == "down":
        terminal.result(end_serving(options.work) + "\n")
        return
    end_with_starter()
    serve(call.config(), call.workflow, options.work, options.port, terminal.progress(), terminal.result, options.open)
