"""The definitions of whole configs: adding a case is adding a folder with a config.yml, and `make golden`."""

from __future__ import annotations

import json

import pytest
from golden import CASES, HERE, config_of, environment_of, same_as

from pipeline import workflow
from stepgluon.config import load
from stepgluon.definition import compile_definition


@pytest.mark.parametrize("case", CASES)
def test_a_config_compiles_to_the_definition_that_was_read_and_found_good(case: str) -> None:
    definition = compile_definition(load(config_of(case), environment_of(case), {}), workflow)
    assert json.loads(definition.text) == definition.asl
    expected = HERE / "golden" / case / "definition.asl.json"
    assert same_as(expected, definition.text), (
        f"{expected.relative_to(HERE.parent)} differs: run make golden, read the diff"
    )
