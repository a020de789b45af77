"""The commands about runs that are, and were: runs, show, watch, redrive and promote.

A command goes where its run is: to the work folder when that knows the run, else to the account. `--work DIR` says the
folder and `--aws` says the account; docs/decisions/0061 has the rule. What both can do is one function with two doors.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepgluon.advice import WORK, pipeline_py
from stepgluon.cli.common import Command, a_path, account_of, config_of, json_option, json_text
from stepgluon.errors import UsageError

if TYPE_CHECKING:
    from stepgluon.aws import Aws
    from stepgluon.cli.terminal import Terminal
    from stepgluon.config.source import LoadedConfig
    from stepgluon.names import Names
    from stepgluon.runs.executions import Execution
    from stepgluon.workflow.compile import Workflow

LISTED = 20  # runs of an account


def add(command: Callable[..., Any]) -> None:
    """Adds the commands to the parser; `command` makes one from its name and what it tells."""
    _place_and_json(command("runs", "List the runs, the latest first."))
    for name, tells in {
        "show": "Tell a run's states, jobs, verdicts, and the reason where it failed.",
        "watch": "Follow a run until it ends; Ctrl-C leaves it running.",
        "redrive": "Repeat a run that failed: a new run with its input, which reuses what was trained and predicted.",
        "promote": "Make the accepted models of a run the defaults.",
    }.items():
        parser = command(name, tells)
        parser.add_argument("run", metavar="RUN", help="its name, or latest")
        _place_and_json(parser)


def _place_and_json(parser: Any) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--work", type=a_path, metavar="DIR", help=f"of this computer, in this folder; default: {WORK}/")
    place.add_argument("--aws", action="store_true", help="of the account")
    json_option(parser)


def _here(options: argparse.Namespace) -> bool:
    """Whether the command is about this computer."""
    from stepgluon.local.work_folder import knows

    if options.aws or options.work:
        return bool(options.work)
    options.work = Path(WORK)
    run = getattr(options, "run", None)
    if run is None or knows(options.work, run):
        return True

    from stepgluon.aws import there_are_credentials

    return not there_are_credentials()


def _runs(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> None:
    from stepgluon.runs.view import runs_table

    if _here(options):
        from stepgluon.local.work_folder import all_runs

        runs, start = all_runs(options.work), "run --local --data FILE"
    else:
        from stepgluon.aws import one_sentence
        from stepgluon.runs.executions import listed
        from stepgluon.runs.status import run_told

        door, names = account_of(options, variables)
        with one_sentence():
            runs, start = [run_told(execution) for execution in listed(door, names, LISTED)], "start --data FILE"
    terminal.result(json_text(runs) if options.json else runs_table(runs, start))


def _show(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> None:
    from stepgluon.runs.view import details

    if _here(options):
        from stepgluon.local.work_folder import one_run

        run = one_run(options.work, options.run)
    else:
        from stepgluon.aws import one_sentence
        from stepgluon.runs.executions import one

        door, names = account_of(options, variables)
        with one_sentence():
            run = _told(door, names, one(door, names, options.run))
    terminal.result(json_text(run) if options.json else details(run))


def _told(door: Aws, names: Names, execution: Execution) -> dict[str, Any]:
    from stepgluon.runs.executions import last_words, tell
    from stepgluon.runs.watch import story_of

    told = tell(door, names, execution, story_of(door, execution.arn))
    return {**told, "said": last_words(door, told)}


def _watch(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> int:
    if _here(options):
        from stepgluon.local.redrive import watched_here

        return _ended(watched_here(options.work, options.run, terminal.progress()), options, terminal)

    from stepgluon.aws import one_sentence
    from stepgluon.runs.executions import one

    door, names = account_of(options, variables)
    with one_sentence():
        return _followed(door, names, one(door, names, options.run), options, terminal)


def _followed(door: Aws, names: Names, execution: Execution, options: argparse.Namespace, terminal: Terminal) -> int:
    """Follows a run of the account to its end and tells it; Ctrl-C ends the following alone."""
    from stepgluon.runs.watch import watch

    progress = terminal.progress()
    try:
        watch(door, execution.arn, progress.tell, progress.say, time.sleep)
    except KeyboardInterrupt:
        progress.done()
        progress.say(f"The run goes on. Follow it again: {pipeline_py('watch', execution.run)}")
        raise
    progress.done()
    return _ended(_told(door, names, execution), options, terminal)


def _ended(told: dict[str, Any], options: argparse.Namespace, terminal: Terminal) -> int:
    from stepgluon.runs.view import panel

    again = pipeline_py("redrive", told["run"])
    text = f"\n{panel(told, again)}"
    terminal.result(json_text(told) if options.json else text)
    return 0 if told["status"] == "SUCCEEDED" else 1


def _redrive(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> int:
    if _here(options):
        from stepgluon.local.redrive import redriven

        loaded = config_of(options, variables)
        _one_of_this_pipeline(options, loaded)
        return _ended(redriven(loaded, workflow, options.work, options.run, terminal.progress()), options, terminal)

    from stepgluon.aws import one_sentence
    from stepgluon.runs.executions import one
    from stepgluon.runs.redrive import planned, redrive

    door, names = account_of(options, variables)
    with one_sentence():
        plan = planned(door, names, one(door, names, options.run))
        run = redrive(door, names, plan)
    text = f"{plan.words()}\nFollow it: {pipeline_py('watch', run)}\n"
    terminal.result(json_text({"run": run, "of": plan.of}) if options.json else text)
    return 0


def _one_of_this_pipeline(options: argparse.Namespace, loaded: LoadedConfig) -> dict[str, Any]:
    """A run of the work folder, which may have runs of other pipelines and environments as well."""
    from stepgluon.local.work_folder import one_run
    from stepgluon.names import Names

    known, names = one_run(options.work, options.run), Names(loaded.config)
    if known["arn"] != names.execution_arn(known["run"]):
        _, _, _, region, account, _, machine, run = known["arn"].split(":")
        raise UsageError(
            f"{run} is a run of {machine} in {account}, {region}, and the config is of {names.machine} in "
            f"{names.config.account}, {names.config.region} (name its own with --config and --env)"
        )
    return known


def _promote(options: argparse.Namespace, workflow: Workflow, variables: Mapping[str, str], terminal: Terminal) -> None:
    from stepgluon.runs.promote import promote

    if _here(options):
        from stepgluon.local.work_folder import buckets_of, story_here
        from stepgluon.names import Names

        loaded = config_of(options, variables)
        run = str(_one_of_this_pipeline(options, loaded)["run"])
        with buckets_of(loaded, options.work) as s3:
            promoted = promote(s3, Names(loaded.config), run, lambda: story_here(options.work, run).models)
    else:
        from stepgluon.aws import one_sentence
        from stepgluon.runs.executions import LATEST, find, one
        from stepgluon.runs.watch import story_of

        door, names = account_of(options, variables)
        with one_sentence():
            # Step Functions forgets an execution after 90 days; its folder may be there still.
            found = one(door, names, LATEST) if options.run == LATEST else find(door, names, options.run)
            run = found.run if found else options.run
            models = (lambda: story_of(door, found.arn).models) if found else list
            promoted = promote(door.client("s3"), names, run, models)
    _say_promoted(run, promoted, options, terminal)


def _say_promoted(run: str, promoted: dict[str, Any], options: argparse.Namespace, terminal: Terminal) -> None:
    from stepgluon.runs.follow import number

    lines = [f"{name} (MAE {number(error)})" for name, error in promoted.items()]
    text = f"Promoted from run {run}: {', '.join(lines)}.\n"
    terminal.result(json_text({"run": run, "promoted": promoted}) if options.json else text)


COMMANDS: dict[str, Command] = {
    "runs": _runs,
    "show": _show,
    "watch": _watch,
    "redrive": _redrive,
    "promote": _promote,
}
