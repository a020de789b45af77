"""A run that takes up another one: what that one has finished is used, and the next stage is the first.

The execution's input may have `resume`: {"run": the run that is taken up, "from": the stage to begin with}. The new run
works in the folder of that run, under a name and with job names of its own, and sends its own mails. Without `resume`
a run takes up itself, from prepare on. Redriving the execution would not do: Step Functions goes on with the state that
failed, and that is the state Failed. docs/decisions/0062 has the rest.
"""

from __future__ import annotations

from typing import Any

from stepgluon.workflow.intrinsics import parsed, text
from stepgluon.workflow.sdk import Chain, Choice, ChoiceRule, Pass
from stepgluon.workflow.stages import STAGES

NOTHING = {"run.$": "$$.Execution.Name", "from": STAGES[0]}
VERDICTS = text("runs/{}/verdicts.json", "$.home")


def bad(path: str) -> list[Any]:
    """Rules, one of which matches where `resume` is not usable; it is an object."""
    run, stage = f"{path}.run", f"{path}.from"
    known = [ChoiceRule.StringEquals(stage, name) for name in STAGES]
    return [
        ChoiceRule.IsPresent(run, False),
        ChoiceRule.IsPresent(stage, False),
        ChoiceRule.IsString(run, False),
        ChoiceRule.StringEquals(run, ""),
        ChoiceRule.StringMatches(run, "*/*"),
        ChoiceRule.Not(ChoiceRule.Or(known)),
    ]


def begins_with(stage: str) -> Any:
    return ChoiceRule.StringEquals("$.input.resume.from", stage)


def same_models(names: list[str], keys: list[str]) -> Any:
    """Matches when the verdicts are those of exactly these models, and have these keys."""
    last = f"$.models[{len(names) - 1}]"
    return ChoiceRule.And([
        ChoiceRule.IsPresent(f"$.models[{len(names)}]", False),
        *(ChoiceRule.IsPresent(f"{last}.{key}", True) for key in keys),
        *(ChoiceRule.StringEquals(f"$.models[{index}].name", name) for index, name in enumerate(names)),
    ])  # fmt: skip


def take_up(read: Any, same: Any, choose: Any, postprocess: Any, refused: Any) -> Chain:
    """What follows the reading of the verdicts; Step Functions may have written their list as a text."""
    is_text = Choice("Are the verdicts a text?")
    unwrap = Pass("Unwrap verdicts", parameters={"models.$": parsed("$.read.models")}, result_path="$.read")
    take = Pass("Take verdicts", input_path="$.read.models", result_path="$.models")
    following = Choice("Which stage is next?")
    is_text.add_choice(ChoiceRule.IsString("$.read.models", True), unwrap)
    unwrap.next(take)
    following.add_choice(ChoiceRule.Not(same), refused)
    # Chosen anew: a model that was missing may have been promoted since.
    following.add_choice(begins_with("predict"), choose)
    following.default_choice(postprocess)
    return Chain([read, is_text, take, following])
