"""The release of all models found in the data to one endpoint; docs/decisions/0077-one-endpoint-for-many-models.md.

The endpoint's archives are all objects of the work bucket, so new models need no new endpoint: post-process writes
targets.json, which maps each model to its archive, and the machine points to that file. The states of
endpoint_states.py create the endpoint, and update it if image or settings change.
"""

from __future__ import annotations

from dataclasses import replace

from stepgluon.config.schema import PipelineConfig
from stepgluon.workflow import endpoints
from stepgluon.workflow.expressions import expression, jsonata, text
from stepgluon.workflow.mails import BAD_RELEASES
from stepgluon.workflow.parts import WRITE, Item, assign_own
from stepgluon.workflow.sdk import Pass, Rule, Task
from stepgluon.workflow.states import States

_TARGETS = "$folder & 'result/targets.json'"


class SharedRelease(States):
    def __init__(self, config: PipelineConfig) -> None:
        super().__init__(config)
        self.items = [replace(item, entry="$model") for item in self.items]  # the template of all models

    def choose_to_serve(self, item: Item, name: str) -> Pass:
        """The endpoint's names, which depend on no model."""
        found = {
            "folder": expression("$work"),
            "archive": expression("$work"),
            "image": expression(self.jobs.image("$model")),
            "run": expression("$run"),
            "serving": expression("{}"),
            "why": expression("$headline.served.models > 0 ? '' : 'no model is good enough, and none is promoted'"),
        }
        return Pass(item.state(name), assign=assign_own(self._named(item, jsonata(found))), output={})

    def point_to_model(self, item: Item, name: str) -> Task:
        """Write where the archive of each model is; from now on clients use the models of this run."""
        own = {"model": "$model.name", "run": "$run", "config": "$own.config", "targets": _TARGETS}
        body = expression(jsonata({key: expression(value) for key, value in own.items()}))
        key = expression("'endpoints/' & $model.name & '.json'")
        return self._s3(item.state(name), WRITE, key, given={"Body": body}, output={})

    def end_release(self, item: Item, name: str, approved: bool = False) -> Pass:
        outcome = endpoints.outcome("$model", "the models of this run")
        return Pass(item.state(name), assign={"release": expression(outcome)}, output={})

    def endpoint_is_stuck(self) -> Rule:
        return Rule(expression("$release.outcome = 'stuck'"))

    def _released(self) -> str:
        """Condition: nothing went wrong with the release, if there is one."""
        return f" and $not($release.outcome in {jsonata(BAD_RELEASES)})" if self.config.served else ""

    def _unreleased(self) -> str:
        """What went wrong with the release; empty if nothing did."""
        said = text(" {}: {}", "$model.name", "$release.said")
        return f"($release.outcome in {jsonata(BAD_RELEASES)} ? {said} : '')" if self.config.served else "''"
