"""The Step Functions Data Science SDK, with its gaps closed. Nothing else in the house knows that they exist.

What is odd about stepfunctions 2.3.0 and sagemaker 2, and what is done about it:

- Importing them takes seconds, warns on stderr, sets the root logger to ERROR, puts another printer of tracebacks in
  place, and fails when the shell names an AWS profile that is not there. So this module is imported only when something
  is compiled, with the warnings silenced and the shell's AWS settings out of sight, and the process is put back as it
  was.
- A service step (TrainingStep, ProcessingStep, SnsPublishStep, ...) asks botocore for all its partitions, takes the
  partition from the shell's region and not from the config, and drops fields of the API without a word; an Estimator
  looks for credentials. So jobs are plain `Task`s, whose Resource and Parameters states.py writes in full.
- Newer fields of the language are refused: the classes below allow them.
- A state's name that occurs twice is not noticed between branches and loses one state within a branch, and a graph is
  turned into a dict over and over. So `asl()` walks the graph itself, once.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterable
from enum import Enum
from typing import Any

from stepgluon.errors import DefinitionError


def _import_quietly() -> None:
    """Import both SDKs without their warnings and without the shell's AWS settings, and leave the process as it was."""
    root = logging.getLogger()
    level, hook, shell = root.level, sys.excepthook, dict(os.environ)
    for variable in [name for name in shell if name.startswith("AWS_")]:
        del os.environ[variable]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"
    logging.getLogger("sagemaker.config").setLevel(logging.WARNING)  # tells on import which defaults it did not find
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import stepfunctions.steps  # noqa: F401
    finally:
        os.environ.clear()
        os.environ.update(shell)
        root.setLevel(level)
        sys.excepthook = hook


_import_quietly()

from stepfunctions.steps import states as _sdk  # noqa: E402
from stepfunctions.steps.choice_rule import BaseRule  # noqa: E402
from stepfunctions.steps.states import Chain  # noqa: E402

__all__ = [
    "Catch",
    "Chain",
    "Choice",
    "Fail",
    "Map",
    "Parallel",
    "Pass",
    "Retry",
    "Rule",
    "Succeed",
    "Task",
    "asl",
]


class _Field(Enum):
    """Fields of the language that came after the SDK's last release."""

    QueryLanguage = "query_language"
    Arguments = "arguments"
    Assign = "assign"
    Output = "output"
    Items = "items"
    ItemReader = "item_reader"
    ItemBatcher = "item_batcher"
    ItemSelector = "item_selector"
    ResultWriter = "result_writer"
    ToleratedFailureCount = "tolerated_failure_count"
    ToleratedFailurePercentage = "tolerated_failure_percentage"
    MaxDelaySeconds = "max_delay_seconds"
    JitterStrategy = "jitter_strategy"


def _also(base: Any, *fields: _Field) -> Any:
    """The SDK's class with these fields; those of JSONPath would be refused by AWS and stay unused."""

    def allowed_fields(self: Any) -> list[Enum]:
        return [*base.allowed_fields(self), *fields]

    return type(base.__name__, (base,), {"allowed_fields": allowed_fields, "__doc__": base.__doc__})


_DATA = (_Field.Assign, _Field.Output)
_MANY = (
    *(_Field.Items, _Field.ItemReader, _Field.ItemBatcher, _Field.ItemSelector, _Field.ResultWriter),
    *(_Field.ToleratedFailureCount, _Field.ToleratedFailurePercentage),
)
Retry: Any = _also(_sdk.Retry, _Field.MaxDelaySeconds, _Field.JitterStrategy)
Catch: Any = _also(_sdk.Catch, *_DATA)
Pass: Any = _also(_sdk.Pass, *_DATA)
Choice: Any = _also(_sdk.Choice, *_DATA)
Succeed: Any = _also(_sdk.Succeed, _Field.Output)
Fail: Any = _sdk.Fail
Task: Any = _also(_sdk.Task, _Field.Arguments, *_DATA)
Parallel: Any = _also(_sdk.Parallel, _Field.Arguments, *_DATA)
Map: Any = _also(_sdk.Map, *_MANY, *_DATA)


class Rule(BaseRule):  # type: ignore[misc] # the SDK has no types
    """A rule of a Choice: a JSONata condition, and what it assigns."""

    def __init__(self, condition: str, assign: dict[str, Any] | None = None) -> None:
        self._fields = {"Condition": condition, **({"Assign": assign} if assign else {})}

    def to_dict(self) -> dict[str, Any]:
        return dict(self._fields)


# In the order in which a reader wants them.
_ORDER = (
    *(
        "Type",
        "Comment",
        "Resource",
        "Arguments",
        "Items",
        "ItemReader",
        "ItemBatcher",
        "ItemSelector",
        "Error",
        "Cause",
    ),
    *("Assign", "Output", "TimeoutSeconds", "Choices", "Default", "MaxConcurrency", "ItemProcessor", "Branches"),
    *("ResultWriter", "Retry", "Catch", "Next", "End"),
)
_RANK = {field: rank for rank, field in enumerate(_ORDER)}


def asl(start: Any, **machine: Any) -> dict[str, Any]:
    """The Amazon States Language of the graph that begins with a state or Chain; `machine` are its top-level fields."""
    return {"QueryLanguage": "JSONata", **machine, **_scope(start, {})}


def _scope(start: Any, names: dict[str, Any]) -> dict[str, Any]:
    """StartAt and States of the machine or of one branch; `names` are all states met so far in the whole machine."""
    states: dict[str, Any] = {}
    first = _first(start)
    waiting = [first]
    while waiting:
        state = waiting.pop()
        if state.state_id in states and names[state.state_id] is state:
            continue
        if state.state_id in names and names[state.state_id] is state:
            raise DefinitionError(
                f"{state.state_id!r} stands outside the branch that leads to it: a branch must end inside"
            )
        if state.state_id in names:
            raise DefinitionError(f"two states are named {state.state_id!r}: give one of them another name")
        names[state.state_id] = state
        states[state.state_id] = _state(state, names)
        waiting.extend(reversed([_first(step) for step in _followers(state)]))
    return {"StartAt": first.state_id, "States": states}


def _first(step: Any) -> Any:
    return step.steps[0] if isinstance(step, Chain) else step


def _followers(state: Any) -> Iterable[Any]:
    if state.next_step is not None:
        yield state.next_step
    if isinstance(state, Choice):
        yield from (step for _, step in state.choices)
        if state.default is not None:
            yield state.default
    yield from (catch.next_step for catch in state.catches)


def _state(state: Any, names: dict[str, Any]) -> dict[str, Any]:
    if isinstance(state, _sdk.Parallel):
        fields = _sdk.State.to_dict(state)  # without the branches, which the SDK would build again
        fields["Branches"] = [_scope(branch, names) for branch in state.branches]
    elif isinstance(state, Map):
        fields = _sdk.State.to_dict(state)
        # What the SDK writes as Iterator is today's ItemProcessor.
        del fields["Iterator"]
        fields["ItemProcessor"] = {"ProcessorConfig": {"Mode": "INLINE"}, **_scope(state.iterator, names)}
    else:
        fields = state.to_dict()
    return {field: fields[field] for field in sorted(fields, key=lambda field: _RANK.get(field, len(_RANK)))}
