"""An account as the commands see it: the local AWS with the pipeline in it, reached by boto3's ordinary ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import forks
import pytest
from botocore.exceptions import ClientError
from local_aws import MINUTES, Scripted, settings, until
from stand_in import unchecked
from test_run import CONFIG

from pipeline import workflow
from stepgluon.cli.main import main
from stepgluon.config.load import loads
from stepgluon.config.source import LoadedConfig
from stepgluon.local import data_check
from stepgluon.local.deployed import Deployed, deployed
from stepgluon.workflow.compile import compile_definition


class Picky(Scripted):
    """Refuses the jobs whose names have this text in them."""

    unwanted = ""

    def refuse(self, kind: str, name: str) -> tuple[str, str] | None:
        if self.unwanted and self.unwanted in name:
            return ("ValidationException", "No such job is wanted.")
        return super().refuse(kind, name)


class Account:
    """Calls commands, and changes what is deployed."""

    def __init__(self, place: Deployed, folder: Path, capsys: pytest.CaptureFixture[str], config: str = CONFIG) -> None:
        self.place, self.folder, self._capsys = place, folder, capsys
        self.machines = place.aws.client("stepfunctions")
        self.s3 = place.aws.client("s3")
        self.names = place.names
        (folder / "pipeline-config.yml").write_text(config)
        self.orders()
        self._release()

    def orders(self, **orders: Any) -> None:
        text = json.dumps({stage.replace("_", "-"): order for stage, order in orders.items()})
        (self.folder / "orders.json").write_text(text)

    def calls(self, *words: str) -> tuple[int, str, str]:
        code = main(workflow, words, {})
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def told(self, *words: str) -> Any:
        code, out, err = self.calls(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    def starts(self, *words: str) -> str:
        return str(self.told("start", *(words or ("--data", "orders.json")))["run"])

    def ended(self, run: str) -> str:
        """The status of a run when it has ended."""
        arn = self.names.execution_arn(run)
        assert self.place.journal.wait_for_end(arn, MINUTES)
        return str(self.machines.describe_execution(executionArn=arn)["status"])

    def _release(self) -> None:
        try:
            self.machines.describe_state_machine_alias(stateMachineAliasArn=self.names.live)
        except ClientError:
            made = self.machines.publish_state_machine_version(stateMachineArn=self.names.machine_arn)
            routes = [{"stateMachineVersionArn": made["stateMachineVersionArn"], "weight": 100}]
            self.machines.create_state_machine_alias(name="live", routingConfiguration=routes)

    def changed(self, change: Any) -> str:
        """A new version of the definition, which is live; its ARN."""
        definition = json.loads(
            self.machines.describe_state_machine(stateMachineArn=self.names.machine_arn)["definition"]
        )
        change(definition)
        made = self.machines.update_state_machine(
            stateMachineArn=self.names.machine_arn, definition=json.dumps(definition), publish=True
        )
        version = str(made["stateMachineVersionArn"])
        self.machines.update_state_machine_alias(
            stateMachineAliasArn=self.names.live,
            routingConfiguration=[{"stateMachineVersionArn": version, "weight": 100}],
        )
        return version

    def mails(self) -> list[str]:
        return [file.stem.rpartition("-")[0] for file in sorted(self.place.outbox.glob("*.eml"))]


@cache
def compiled(config: str = CONFIG) -> tuple[LoadedConfig, str]:
    loaded = loads(config, "config.yml", None, {})
    return loaded, compile_definition(loaded, workflow).text


@contextmanager
def deployed_for(folder: Path, faults: Scripted, config: str = CONFIG) -> Iterator[Deployed]:
    loaded, definition = compiled(config)
    chosen = settings(folder / "aws", account="123456789012", region="eu-west-1", cores=2, fresh=True)
    with pytest.MonkeyPatch.context() as patch, faults.active(), deployed(loaded, definition, chosen) as place:
        forks.arrange(patch.setattr)
        patch.setattr(data_check, "started", unchecked)
        yield place


__all__ = ["Account", "Picky", "deployed_for", "until"]
