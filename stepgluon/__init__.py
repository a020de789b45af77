"""The generator: turns one YAML file into a state machine, deploys it, and runs it.

pipeline-config.yml
  config/     text -> PipelineConfig, all problems at once
pipeline.py   the workflow, with
  workflow/   PipelineConfig -> states -> definition, checked by
  selfcheck/  AWS's rules, and stricter ones
  graph/      its picture
the definition is deployed to an account or locally, in the same way
  deploy/     decide, then act: templates and policies, plan, apply, destroy
  verify/     asks AWS whether a deployment would work, without creating it
  local/      a run on this computer, in localaws, a separate package
cost/         what runs cost, before and after
runs/         runs of the pipeline: start, follow, redrive, promote, roll back
live/         a run's page in the browser, while it runs
cli/          the command line

names         the names, ARNs and addresses of everything
resolved_config  the config that the jobs get
programs      what trains a model, and what predicts with it: one row for each algorithm
scripts       the user's Python files that run in their container, with files in place of tables
limits        the services' limits, and our own
errors        every error a user can meet
aws           all access to AWS
notebook      runs as Python objects: `from stepgluon import Run`
advice        the commands that messages suggest
figures       durations and tables, as the terminal shows them
gc_control    Python's garbage collector, paused where it only costs time

Code that runs elsewhere imports nothing from this package: code/ (the jobs), lambda/ (starts runs, mails failures).
policy/ has the roles, docker/ the images.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepgluon.notebook import Run as Run

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`Run` is imported on use, because it needs the SDKs."""
    if name == "Run":
        from importlib import import_module

        return import_module("stepgluon.notebook").Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
