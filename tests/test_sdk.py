"""What is done about the SDK's gaps, and what a mistake in pipeline.py is told."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from stepgluon.errors import DefinitionError
from stepgluon.workflow.sdk import Chain, Choice, Parallel, Pass, Retry, Rule, Task, asl


def test_two_states_of_one_name_are_refused_also_in_different_branches() -> None:
    parallel = Parallel("Both")
    for _ in range(2):
        parallel.add_branch(Chain([Pass("Same")]))
    with pytest.raises(DefinitionError, match="two states are named 'Same': give one of them another name"):
        asl(Chain([parallel]))


def test_a_branch_that_leads_outside_is_refused() -> None:
    after = Pass("After")
    inside = Pass("Inside")
    inside.next(after)
    parallel = Parallel("Both")
    parallel.add_branch(inside)
    parallel.next(after)
    with pytest.raises(DefinitionError, match="'After' stands outside the branch that leads to it"):
        asl(parallel)


def test_newer_fields_of_the_language_are_written() -> None:
    retry = Retry(error_equals=["States.TaskFailed"], max_delay_seconds=60, jitter_strategy="FULL")
    fields = {"arguments": {"Message": "{% $text %}"}, "assign": {"sent": True}, "output": {}}
    task = Task("Work", resource="arn:aws:states:::sns:publish", retry=[retry], **fields)
    machine = asl(task)
    assert machine["QueryLanguage"] == "JSONata"
    state = machine["States"]["Work"]
    assert (state["Arguments"], state["Assign"], state["Output"]) == ({"Message": "{% $text %}"}, {"sent": True}, {})
    assert state["Retry"] == [{"ErrorEquals": ["States.TaskFailed"], "MaxDelaySeconds": 60, "JitterStrategy": "FULL"}]


def test_a_choice_leads_where_the_chain_goes_on() -> None:
    choice = Choice("Ask")
    choice.add_choice(Rule("{% $asked %}", {"answer": True}), Pass("Yes"))
    states = asl(Chain([choice, Pass("No")]))["States"]
    assert states["Ask"]["Default"] == "No"
    assert states["Ask"]["Choices"] == [{"Condition": "{% $asked %}", "Assign": {"answer": True}, "Next": "Yes"}]
    assert list(states) == ["Ask", "Yes", "No"]


def test_importing_leaves_the_process_as_it_was() -> None:
    code = (
        "import sys, os, logging; before = (sys.excepthook, dict(os.environ), logging.getLogger().level)\n"
        "import stepgluon.workflow.sdk\n"
        "assert before == (sys.excepthook, dict(os.environ), logging.getLogger().level)"
    )
    environment = {**os.environ, "AWS_PROFILE": "nobody", "AWS_REGION": "mars-1"}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert logging.getLogger().level == logging.WARNING
