"""`local up`: serves a local AWS with the pipeline in it until Ctrl-C, for runs by hand and by schedule."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from localaws.notifications import eventbridge
from localaws.server.web import bind
from localaws.stepfunctions.versions import unqualified
from stepgluon.config.source import LoadedConfig
from stepgluon.errors import SurroundingsError
from stepgluon.live import browser
from stepgluon.local.deployed import Deployed
from stepgluon.local.run import at_work
from stepgluon.local.surroundings import this_computer
from stepgluon.local.work_folder import LOCK
from stepgluon.runs.progress import Progress

if TYPE_CHECKING:
    from stepgluon.workflow.compile import Workflow


def serve(
    loaded: LoadedConfig,
    workflow: Workflow,
    work: Path,
    port: int,
    progress: Progress,
    result: Callable[[str], None],
    open: bool = False,
) -> None:
    """Serve until KeyboardInterrupt, which is re-raised."""
    if port:
        with this_computer():
            bind(port).close()  # fails early if the port is taken
    with at_work(loaded, workflow, work, progress.say, port=port) as place:
        result(words(place))
        if open:
            browser.show(f"{place.aws.endpoint}/", progress.say)
        for begun in place.journal.cut_off():
            machine = unqualified(begun.machine)
            if machine == place.names.machine_arn:
                progress.say(f"Continuing run {begun.name}, which was cut off.")
            if machine in (place.names.machine_arn, place.names.release_machine_arn):
                place.go_on(begun)
        place.functions.deliver_left()  # uploads left by the last server
        config = place.names.config
        ignored: dict[str, str] = {}
        while (work / LOCK).exists():
            never = eventbridge.never_due(config.account, config.region)
            for rule, schedule in never.items() - ignored.items():
                progress.say(f"The schedule {rule} is ignored: the local AWS knows rate(…), but not {schedule}.")
            ignored = never
            for rule in eventbridge.fire_due(config.account, config.region, place.aws.objects, time.time()):
                progress.say(f"The schedule {rule} is due.")
            time.sleep(1)
        raise SurroundingsError(f"{work} was deleted")


def words(place: Deployed) -> str:
    """How to reach the pipeline, with the five commands for a manual run."""
    aws = f"aws --endpoint-url {place.aws.endpoint}"
    raw, work, config = place.names.raw_bucket, place.names.work_bucket, place.names.config
    return f"""The local AWS is at {place.aws.endpoint}, with the pipeline {place.names.prefix} in it. Ctrl-C ends it.
Open {place.aws.endpoint}/ in a browser to see its runs.
Any credentials do; with the aws command line, for example:

  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION={config.region}

A run by hand:

  {aws} s3 cp my.csv s3://{raw}/june/
  echo 'note: by hand' | {aws} s3 cp - s3://{raw}/june/go.run
  {aws} stepfunctions list-executions --state-machine-arn {place.names.machine_arn}
  {aws} sagemaker list-training-jobs
  {aws} s3 cp --recursive s3://{work}/runs/RUN/result/ results/

Mails arrive in {place.outbox}.
"""
