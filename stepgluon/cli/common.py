"""A parsed command."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepgluon.aws import Aws
    from stepgluon.cli.terminal import Terminal
    from stepgluon.config.source import LoadedConfig
    from stepgluon.names import Names
    from stepgluon.workflow.compile import Definition, Workflow


@dataclass(frozen=True)
class Call:
    options: argparse.Namespace
    workflow: Workflow
    variables: Mapping[str, str]  # environment variables, for ${VAR} in the config
    terminal: Terminal

    def config(self, to_deploy: bool = False) -> LoadedConfig:
        from stepgluon.config.load import load

        return load(self.options.config, self.options.env, self.variables, to_deploy)

    def definition(self, loaded: LoadedConfig) -> Definition:
        from stepgluon.workflow.compile import compile_definition

        return compile_definition(loaded, self.workflow)

    @contextmanager
    def account(self) -> Iterator[tuple[Aws, Names]]:
        """The account's clients and the pipeline's names; an AWS error in the block becomes one sentence."""
        from stepgluon.aws import Aws, one_sentence
        from stepgluon.names import Names

        names = Names(self.config(to_deploy=True).config)
        with one_sentence():
            yield Aws(names.config.region), names

    def result(self, text: str, value: Any) -> None:
        """Print the text, or with --json the value."""
        as_json = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n" if self.options.json else ""
        self.terminal.result(as_json or text)
