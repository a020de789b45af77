"""The definitions of whole configs: adding a case is adding a folder with a config.yml, and `make golden`."""

from __future__ import annotations

import json

import pytest
from golden import CASES, GOLDEN, HERE, TEMPLATE_CASES, config_of, environment_of, same_as

from pipeline import workflow
from stepgluon.config.load import load
from stepgluon.deploy.release import release
from stepgluon.workflow.compile import compile_definition


@pytest.mark.parametrize("case", CASES)
def test_a_config_compiles_to_the_definition_that_was_read_and_found_good(case: str) -> None:
    definition = compile_definition(load(config_of(case), environment_of(case), {}), workflow)
    assert json.loads(definition.text) == definition.asl
    expected = GOLDEN / case / "definition.asl.json"
    assert same_as(expected, definition.text), (
        f"{expected.relative_to(HERE.parent)} differs: run make golden, read the diff"
    )
    for name, text in definition.texts.items():
        assert same_as(GOLDEN / case / f"{name}.asl.json", text), f"{case}: {name}.asl.json differs: run make golden"


@pytest.mark.parametrize("case", TEMPLATE_CASES)
def test_a_config_is_deployed_with_the_templates_that_were_read_and_found_good(case: str) -> None:
    definition = (GOLDEN / case / "definition.asl.json").read_text(encoding="utf-8")
    others = {file.name.removesuffix(".asl.json"): file for file in sorted((GOLDEN / case).glob("*.asl.json"))}
    del others["definition"]
    texts = {name: file.read_text(encoding="utf-8") for name, file in others.items()}
    made = release(load(config_of(case), environment_of(case), {}), definition, texts)
    templates = [template for template in (made.base, made.pipeline, made.cicd) if template]
    differ = [t.part for t in templates if not same_as(GOLDEN / case / f"{t.part}.json", t.text)]
    assert not differ, f"{case}: {differ} differ: run make golden, read the diff"
    stems = {file.stem for file in GOLDEN.glob(f"{case}/*.json")}
    assert {stem for stem in stems if not stem.endswith(".asl")} == {t.part for t in templates}


def test_the_templates_of_a_machine_around_the_runs_are_among_them() -> None:
    assert any(list((GOLDEN / case).glob("release.asl.json")) for case in TEMPLATE_CASES)
