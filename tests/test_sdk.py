"""What is done about the SDK's gaps, and what a mistake in pipeline.py is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from pipeline import predict_one, train_one
from stepgluon.config.load import loads
from stepgluon.errors import DefinitionError
from stepgluon.selfcheck import findings
from stepgluon.workflow.expressions import expression
from stepgluon.workflow.sdk import Chain, Choice, Map, Parallel, Pass, Retry, Rule, Succeed, Task, asl
from stepgluon.workflow.states import OUTCOMES, States

CONFIG = """
name: shop
account: "123456789012"
region: eu-west-1
notify: [ml-team@example.com]
models: {partition_by: kind, values: [boots, hats], label: y}
train: {max_runtime: 1h}
fallback: {threshold: 350}
"""


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


def test_a_map_is_made_of_the_same_states_as_a_branch() -> None:
    config = loads(CONFIG, "config.yml", None, {}).config
    make = States(config)
    # Each item has what a branch finds in the lists: the model's entries.
    item = replace(make.items[0], name="a model", entry="$item.*")
    entries = f"""[$map($models, function($m) {{(
        $chosen := {{'name': $m.name, 'place': 'predictions/' & $m.name, 'model_uri': $work & 'models/', 'manifest': '',
                    'predict_job': {make.jobs.name("predict", "$m")}}};
        {{
        'models': $merge([$m, {{'place': 'models/' & $m.name, 'job': {make.jobs.name("train", "$m")},
                               'train': {make.jobs.training("$m", "'models/'")}}}]),
        'chosen': $chosen, 'predictions': {make.jobs.prediction("$chosen")}, 'starts': $unpredicted }} )}})]"""

    def over(name: str, branch: Chain) -> Map:
        """A Map whose items take their model from their input, and then are what a branch is."""
        take = Pass(f"Take {name}", assign={"item": "{% $states.input %}"}, output={})
        return Map(name, iterator=Chain([take, *branch.steps]), items="{% $entries %}", output={})

    given = Pass("Know outcomes", assign=OUTCOMES, output={})
    listed = Pass("List items", assign={"entries": expression(entries)}, output={})
    maps = [over("Train", train_one(make, item)), over("Predict", predict_one(make, item))]
    machine = asl(Chain([make.begin("Begin"), given, listed, *maps, Succeed("Done")]), TimeoutSeconds=3600)
    assert findings(machine) == []

    branches = [train_one(make, make.items[0]), predict_one(make, make.items[0])]
    for step, branch in zip(maps, branches, strict=True):
        states = machine["States"][step.state_id]["ItemProcessor"]["States"]
        of_branch = json.dumps(asl(branch)["States"])
        for entry in ("models", "chosen", "predictions", "starts"):
            of_branch = of_branch.replace(f"${entry}[0]", f"$item.{entry}")
        kept = {name: state for name, state in states.items() if not name.startswith("Take ")}
        assert kept == json.loads(of_branch.replace("boots", "a model"))
