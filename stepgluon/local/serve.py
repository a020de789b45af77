"""`local up`: serves the local AWS with the deployed pipeline until Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from localaws.server.web import bind
from localaws.stepfunctions.versions import unqualified
from stepgluon.config.source import LoadedConfig
from stepgluon.local.deployed import Deployed
from stepgluon.local.run import at_work
from stepgluon.local.surroundings import this_computer
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
) -> None:
    """Serve until KeyboardInterrupt, which is re-raised."""
    if port:
        with this_computer():
            bind(port).close()  # fails early if the port is taken
    with at_work(loaded, workflow, work, progress.say, port=port) as place:
        result(words(place))
        for begun in place.journal.cut_off():
            if unqualified(begun.machine) == place.names.machine_arn:
                progress.say(f"Continuing run {begun.name}, which was cut off.")
                place.go_on(begun)
        place.functions.deliver_left()  # uploads left by the last server
        threading.Event().wait()


def words(place: Deployed) -> str:
    """How to reach the pipeline, with the five commands for a manual run."""
    aws = f"aws --endpoint-url {place.aws.endpoint}"
    raw, work, config = place.names.raw_bucket, place.names.work_bucket, place.names.config
    return f"""The local AWS is at {place.aws.endpoint}, with the pipeline {place.names.prefix} in it. Ctrl-C ends it.
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
