"""The commands about what runs cost: cost, prices and advise."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stepgluon.cli.common import Call
from stepgluon.cli.runs import is_local, of_this_pipeline, record_of
from stepgluon.cli.terminal import write_file
from stepgluon.cost import advise as advice
from stepgluon.cost import prices
from stepgluon.cost.estimate import estimate, words
from stepgluon.cost.known import durations, in_account
from stepgluon.cost.serving import serving, serving_words
from stepgluon.errors import UsageError
from stepgluon.local.data_check import BadData, check_data
from stepgluon.local.work_folder import all_runs, one_run
from stepgluon.names import Names
from stepgluon.runs.executions import one
from stepgluon.runs.start import check_files


def do_cost(call: Call) -> None:
    names, without_gaps = Names(call.config().config), _without_gaps(call)
    if is_local(call):
        runs = [run for run in all_runs(call.options.work) if run["arn"] == names.execution_arn(run["run"])]
        known = durations(runs)
    else:
        with call.account() as (door, names):
            known = in_account(door, names)
    listed = prices.prices_of(names.config.region)
    found, served = estimate(names.config, listed, known, without_gaps), list(serving(names.config, listed))
    text = "\n".join(filter(None, (words(found), serving_words(served))))
    call.result(text, {**found.as_json(), "endpoints": [asdict(one) for one in served]})


def _without_gaps(call: Call) -> list[str]:
    """The models for which the tables have no rows to predict."""
    options, config = call.options, call.config().config
    if not options.data:
        return []
    check_files(options.data)
    if config.data.files:
        raise UsageError("--data reads tables, but with data.files only your own script reads the data")
    found: dict[str, Any] = check_data(Names(config), options.data)
    if found["problems"]:
        raise BadData(found["problems"])
    if config.partitioned:  # its models' jobs are those of groups, whose number only a run knows
        return []
    return [model["name"] for model in found["models"] if not model["rows_predict"]]


def do_prices(call: Call) -> None:
    region = call.config().config.region
    found, text = prices.refresh(region)
    write_file(prices.FILE, text)
    kinds = ", ".join(f"{len(types)} for {kind}" for kind, types in found.hours.items())
    said = f"Prices of {found.published} in {region}: {kinds}. Commit {prices.FILE}.\n"
    call.result(said, {"region": region, "published": found.published, "hours": found.hours})


def do_advise(call: Call) -> None:
    local, loaded = is_local(call), call.config()
    if local:
        of_this_pipeline(call, loaded)
        run = one_run(call.options.work, call.options.run)
    else:
        with call.account() as (door, names):
            run = record_of(door, names, one(door, names, call.options.run))
    known = prices.prices_of(loaded.config.region)
    found = advice.advise(loaded.config, run["jobs"], known, local)
    if not found:
        raise UsageError(f"{run['run']} has no jobs (advise on a run that has ended)")
    text = advice.words(run["run"], found, local, known.published)
    call.result(text, {"run": run["run"], "local": local, "advice": [asdict(each) for each in found]})
