"""What messages and mails advise can be copied as it stands."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from golden import HERE

from pipeline import workflow
from stepgluon import advice
from stepgluon.advice import WORK, as_given, pipeline_py
from stepgluon.cli.parser import parser
from stepgluon.config.load import loads
from stepgluon.deploy.templates.pipeline import pipeline
from stepgluon.names import Names
from stepgluon.runs.start import one_line
from stepgluon.workflow.compile import compile_definition

CONFIG = (HERE / "golden" / "one-model" / "config.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("config", "environment", "said"),
    [
        ("pipeline-config.yml", None, ""),
        (None, None, ""),
        ("other.yml", None, " --config other.yml"),
        ("pipeline-config.yml", "prod", " --env prod"),
        ("a folder/my config.yml", "prod", " --config 'a folder/my config.yml' --env prod"),
    ],
)
def test_a_hint_repeats_what_was_given_and_no_more(config: str | None, environment: str | None, said: str) -> None:
    with as_given(Path(config) if config else None, environment):
        assert pipeline_py("watch run") == f"python pipeline.py watch run{said}"
    assert pipeline_py("watch run") == "python pipeline.py watch run", "afterwards nothing of it is left"


def test_a_hint_repeats_the_work_folder_for_commands_that_have_one() -> None:
    with as_given(None, "prod", Path("my work")):
        assert pipeline_py("show latest") == "python pipeline.py show latest --env prod --work 'my work'"
        assert pipeline_py("deploy --only base") == "python pipeline.py deploy --only base --env prod"
        assert pipeline_py("runs --aws") == "python pipeline.py runs --aws --env prod"
    with as_given(None, None, Path(WORK)):
        assert pipeline_py("show latest") == "python pipeline.py show latest"


def test_the_commands_that_repeat_the_work_folder_are_those_that_take_it() -> None:
    commands = next(action.choices for action in parser()._actions if isinstance(action.choices, dict))
    takes = {name for name, command in commands.items() if "--work" in command.format_help()}
    assert takes == set(advice._OF_A_FOLDER)


def test_the_mails_of_an_environment_advise_commands_for_it() -> None:
    loaded = loads(f"{CONFIG}environments: {{prod: {{}}}}\n", "config.yml", "prod", {})
    text = compile_definition(loaded, workflow).text
    for command in ("promote", "redrive", "show"):
        assert f"python pipeline.py {command} ' & $run & ' --env prod" in text
    function = pipeline(Names(loaded.config), "d", "t", "f")["Resources"]["Tell"]["Properties"]
    assert function["Environment"]["Variables"]["COMMAND"] == "python pipeline.py {} --env prod"


@pytest.mark.parametrize("note", ["", " a \n b\t", "x" * 500, "y" * 501, "\x1b[0m\u202e\u2028z\ud800"])
def test_a_note_of_start_is_treated_as_the_triggers_is(note: str) -> None:
    spec = importlib.util.spec_from_file_location("trigger", HERE.parent / "lambda" / "start_pipeline.py")
    assert spec and spec.loader
    trigger = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(trigger)
    assert one_line(note) == trigger.one_line(note)
