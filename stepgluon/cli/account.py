"""The commands for the account: start, status and rollback."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from stepgluon.advice import pipeline_py
from stepgluon.aws import Aws, answer
from stepgluon.cli.common import Call
from stepgluon.cost.estimate import check_cost, estimate, in_a_mail
from stepgluon.cost.known import in_account
from stepgluon.cost.prices import prices_of
from stepgluon.deploy.plan import workflow_words
from stepgluon.errors import UsageError
from stepgluon.local.data_check import checking
from stepgluon.names import Names
from stepgluon.runs.rollback import planned, roll_back
from stepgluon.runs.run_list import runs_table
from stepgluon.runs.start import check_files, folder_of, look, start, upload
from stepgluon.runs.status import status, words


def do_start(call: Call) -> None:
    options = call.options
    files = [] if options.folder or options.data[0].startswith("s3://") else [Path(name) for name in options.data]
    if files:
        check_files(files)
    elif not options.folder and len(options.data) > 1:
        raise UsageError("--data takes one s3:// folder, or local files")
    check_cost(call.config(to_deploy=True).config)
    with call.account() as (door, names):
        look(door, names)
        if files:
            with checking(names, files, call.terminal.say) as check:
                check()
            folder = upload(door, names, files)
            call.terminal.say(f"Uploaded the data to {folder}")
        else:
            folder = folder_of(door, names, options.folder or options.data[0])
        run = start(door, names, folder, options.threshold, options.note, options.fresh, _estimate(door, names))
    text = f"Run {run} has started.\nFollow it: {pipeline_py('watch', run)}\n"
    call.result(text, {"run": run, "data": folder})


def _estimate(door: Aws, names: Names) -> str:
    """What the run may cost, by the durations of earlier runs; empty without prices."""
    prices = prices_of(names.config.region)
    # A role that starts runs may not be allowed to read them.
    known = answer(lambda: in_account(door, names), "AccessDeniedException", "AccessDenied") if prices.hours else {}
    return in_a_mail(estimate(names.config, prices, known))


def do_status(call: Call) -> None:
    with call.account() as (door, names):
        found = status(door, names)
    call.result(words(found, runs_table(found.runs, "start --data FILE")), asdict(found))


def do_rollback(call: Call) -> None:
    with call.account() as (door, names):
        plan = planned(door, names, call.options.to)
        roll_back(door, names, plan)
    changed = workflow_words(plan.workflow) if plan.workflow else "Both have the same workflow.\n"
    text = (
        f"Version {plan.after.number} is live in place of version {plan.before.number}.\n{changed}"
        f"Runs in progress are not affected. A deploy that changes the workflow makes a new version live.\n"
        f"To undo this: {pipeline_py(f'rollback --to {plan.before.number}')}\n"
    )
    call.result(text, asdict(plan))
