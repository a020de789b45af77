"""The Step Functions Data Science SDK, with its gaps closed. No other module works around them.

Problems of stepfunctions 2.3.0, and our workarounds:

- Importing the package takes seconds, because it imports sagemaker and pandas; it warns on stderr, sets the root logger
  to ERROR, replaces the printer of tracebacks, and fails when the shell names an AWS profile that does not exist. The
  modules with the states need none of that, so `_states` imports them without their packages' `__init__`.
- A service step (TrainingStep, ProcessingStep, SnsPublishStep, ...) loads all of botocore's partitions, takes the
  partition from the shell's region and not from the config, and silently drops API fields; an Estimator looks for
  credentials. So jobs are plain `Task`s, whose Resource and Arguments states.py writes in full.
- Newer fields of the language are refused: the classes below allow them.
- A duplicate state name is not noticed between branches, and loses a state within a branch; and a graph is converted to
  a dict repeatedly. So `asl()` walks the graph and writes its states itself, once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from stepgluon.errors import DefinitionError


def _states() -> tuple[Any, Any]:
    """The SDK's module of states and its base class of rules, imported with empty parent packages."""
    found = find_spec("stepfunctions")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'stepfunctions'", name="stepfunctions")
    place = found.submodule_search_locations[0]
    parents = {"stepfunctions": place, "stepfunctions.steps": os.path.join(place, "steps")}
    before = {name: sys.modules[name] for name in parents if name in sys.modules}
    for name, folder in parents.items():
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [folder]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `is` with a literal
            from stepfunctions.steps import choice_rule, states
    finally:
        for name in parents:
            del sys.modules[name]
        sys.modules.update(before)
    return states, choice_rule.BaseRule


_sdk: Any
_BaseRule: Any
_sdk, _BaseRule = _states()
Chain: Any = _sdk.Chain


_sdk.to_pascalcase = lru_cache(_sdk.to_pascalcase)  # a dozen names, a hundred thousand times


def _also(base: Any, *fields: str) -> Any:
    """The SDK's class plus newer fields; its JSONPath fields, which AWS would refuse, stay unused."""
    # The SDK rebuilds this list for each field of each state.
    names = {field.value for field in base.allowed_fields(object.__new__(base))} | {*fields}
    own = {"is_field_allowed": lambda self, name: name in names, "__doc__": base.__doc__}
    return type(base.__name__, (base,), own)


_DATA = ("assign", "output")
_MANY = (
    *("label", "items", "item_reader", "item_batcher", "item_selector", "result_writer"),
    *("tolerated_failure_count", "tolerated_failure_percentage"),
)
Retry: Any = _also(_sdk.Retry, "max_delay_seconds", "jitter_strategy")
Catch: Any = _also(_sdk.Catch, *_DATA)
Pass: Any = _also(_sdk.Pass, *_DATA)
Wait: Any = _also(_sdk.Wait, *_DATA)
Choice: Any = _also(_sdk.Choice, *_DATA)
Succeed: Any = _also(_sdk.Succeed, "output")
Fail: Any = _sdk.Fail
Task: Any = _also(_sdk.Task, "arguments", *_DATA)
Parallel: Any = _also(_sdk.Parallel, "arguments", *_DATA)
Map: Any = _also(_sdk.Map, *_MANY, *_DATA)
_ENDINGS = (Choice, Succeed, Fail)  # without Next and End


class Rule(_BaseRule):  # type: ignore[misc] # the SDK has no types
    """A rule of a Choice: a JSONata condition, with assignments."""

    def __init__(self, condition: str, assign: dict[str, Any] | None = None) -> None:
        self._fields = {"Condition": condition, **({"Assign": assign} if assign else {})}

    def to_dict(self) -> dict[str, Any]:
        return dict(self._fields)


# In reading order; others follow.
_ORDER = (
    *("Type", "Comment", "Resource", "Arguments", "Label", "Items", "ItemReader", "ItemBatcher", "ItemSelector"),
    *(
        "Error",
        "Cause",
        "Seconds",
        "Assign",
        "Output",
        "TimeoutSeconds",
        "Choices",
        "Default",
        "MaxConcurrency",
        "ToleratedFailurePercentage",
        "ItemProcessor",
    ),
    *("Branches", "ResultWriter", "Retry", "Catch", "Next", "End"),
)


def asl(start: Any, **machine: Any) -> dict[str, Any]:
    """The Amazon States Language of the graph that starts with a state or Chain; `machine` has its top-level fields."""
    return {"QueryLanguage": "JSONata", **machine, **_scope(start, {})}


def _scope(start: Any, names: dict[str, Any]) -> dict[str, Any]:
    """StartAt and States of the machine or a branch; `names` has all states found so far in the machine."""
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
    fields = _fields(state)
    if state.next_step is not None:
        fields["Next"] = _first(state.next_step).state_id
    elif not isinstance(state, _ENDINGS):
        fields["End"] = True
    if state.retries:
        fields["Retry"] = [_fields(retry) for retry in state.retries]
    if state.catches:
        fields["Catch"] = [{**_fields(catch), "Next": _first(catch.next_step).state_id} for catch in state.catches]
    if isinstance(state, Choice):
        fields["Choices"] = [{**rule.to_dict(), "Next": _first(step).state_id} for rule, step in state.choices]
        if state.default is not None:
            fields["Default"] = _first(state.default).state_id
    elif isinstance(state, Parallel):
        fields["Branches"] = [_scope(branch, names) for branch in state.branches]
    elif isinstance(state, Map):
        del fields["Iterator"]  # the SDK's name of ItemProcessor
        mode = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"} if "ItemReader" in fields else {"Mode": "INLINE"}
        fields["ItemProcessor"] = {"ProcessorConfig": mode, **_scope(state.iterator, names)}
    return {**{field: fields[field] for field in _ORDER if field in fields}, **fields}


def _fields(block: Any) -> dict[str, Any]:
    return {_sdk.to_pascalcase(name): value for name, value in block.fields.items() if value is not None}
