"""Caches shared by all rehearsals of one machine: values, responses and paths.

Many scenarios run the same part of the machine, so values are interned, and an expression is evaluated once for each
set of values that it reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from stepgluon.selfcheck import engine, expressions, integrations
from stepgluon.selfcheck.engine import Failed
from stepgluon.selfcheck.form import is_expression
from stepgluon.selfcheck.report import Report
from stepgluon.selfcheck.scopes import Scope, State

_IMPURE = re.compile(r"\$(uuid|random|now|millis|shuffle)\(")
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Call:
    """A request that a Task sends."""

    state: str
    resource: str
    request: Any
    scenario: str
    visit: int = 0


@dataclass(frozen=True)
class Answer:
    value: Any
    certain: bool = True


@dataclass(frozen=True)
class Error:
    name: str
    cause: str | None = None


@dataclass(frozen=True)
class Visit:
    """One visit of a state in a rehearsal: its input, its service's response, and the results."""

    state: State
    name: str
    given: Any  # its input
    variables: Mapping[str, Any]
    context: Any
    reads_context: bool
    impure: bool  # another evaluation gives other values
    answer: Answer | Error | None  # of a Task; for a Parallel, its branches' outputs
    request: Any  # a Task's evaluated Arguments
    following: str | None
    error: str  # the error with which the state ends the run; otherwise empty
    output: Any
    assigned: Mapping[str, Any]  # the variables after the visit


class World(Protocol):
    """The services' responses."""

    def __call__(self, call: Call) -> Answer | Error: ...

    def usual(self, call: Call) -> bool:
        """Whether the response is the same in other worlds."""

    def ahead(self, states: frozenset[str], visits: Mapping[str, int]) -> Hashable:
        """The parts that can still make a difference if only these states are visited from now on."""


@dataclass(frozen=True)
class Setting:
    """The conditions of a run."""

    scenario: str
    answer: World
    input: Any = field(default_factory=dict)
    name: str = "_-A9" * 20  # of the execution: the longest
    retries: bool = True  # each Task is at its last retry in the last redrive
    odd: bool = False  # an input that a service may refuse: its requests are not checked
    whole: bool = False  # reuse nothing from an earlier rehearsal


@dataclass(frozen=True)
class _Reads:
    variables: tuple[str, ...]
    states: tuple[str, ...]
    dynamic: bool  # whether it contains an expression
    impure: bool  # each evaluation gives another value


@dataclass(frozen=True)
class Rest:
    visits: list[str]
    end: Any  # the output and whether it is guessed, or the exception


class Memory:
    """The state shared by all rehearsals of one machine."""

    def __init__(
        self,
        report: Report,
        undefined: Collection[tuple[str, str]] = (),
        watch: Callable[[Visit], None] | None = None,
    ) -> None:
        self.report = report
        self.watch = watch
        self.undefined = undefined  # states and variables that are already reported
        self.settings: list[Setting] = []  # kept, because the ids of their parts are cached
        self.calls: dict[tuple[str, int], Call] = {}
        self.visits: dict[Scope, set[frozenset[tuple[str, int]]]] = {}  # for each run through a scope: state and count
        self.names: dict[str, dict[str, list[Any]]] = {}  # of jobs, by scenario and state
        self.attempts: dict[str, tuple[Any, Any, Any]] = {}  # a job's name: first, in a retry, in a redrive
        self._values: dict[str, tuple[Any, int, Any]] = {}
        self._kept: dict[int, tuple[Any, int, Any]] = {}  # by id: the interned value, its size, and the value
        self._lists: dict[tuple[int, ...], Any] = {}
        self._reads: dict[int, tuple[Any, _Reads]] = {}
        self._made: dict[Any, Any] = {}
        self._of_state: dict[int, tuple[str, ...]] = {}
        self._contexts: dict[Any, Any] = {}
        self._checked: dict[tuple[int, str], Any] = {}
        self._answers: dict[tuple[str, int, int], Answer | Error] = {}
        self.rests: dict[Any, Rest] = {}  # the rest of a scope's run, by everything it depends on
        self._ahead: dict[tuple[Scope, str], tuple[frozenset[str], tuple[str, ...]]] = {}

    def intern(self, value: Any) -> Any:
        """The same object for equal values, like services' responses."""
        found = self._kept.get(id(value))
        if found is None:
            text = _compact(value)
            kept, size, _ = self._values.setdefault(text, (value, len(text.encode()), None))
            found = self._kept[id(kept)] = (kept, size, kept)
            self._kept[id(value)] = (kept, size, value)  # keep the value too, so no other object gets its id
        return found[0]

    def intern_list(self, values: list[Any]) -> Any:
        """The same for a list of already interned values."""
        key = tuple(map(id, values))
        if key not in self._lists:
            self._lists[key] = self.intern(values)
        return self._lists[key]

    def size(self, value: Any) -> int:
        """The size as JSON, in bytes."""
        kept = self._kept.get(id(value))
        return kept[1] if kept else len(_compact(value).encode())

    def reads(self, template: Any) -> _Reads:
        known = self._reads.get(id(template))
        if known is None:
            variables: set[str] = set()
            states: set[str] = set()
            dynamic = impure = False
            for _, text in expressions.texts(template, ""):
                if is_expression(text):
                    dynamic = True
                    impure = impure or bool(_IMPURE.search(text))
                    names = expressions.names(expressions.inside(text))
                    variables |= names.variables | names.functions
                    states.update(path[0] if path else "*" for path in names.states)
            known = self._reads[id(template)] = (template, _Reads(tuple(variables), tuple(states), dynamic, impure))
        return known[1]

    def _state_reads(self, state: State) -> tuple[str, ...]:
        if id(state) not in self._of_state:
            own = {key: value for key, value in state.items() if key not in ("Branches", "ItemProcessor")}
            self._of_state[id(state)] = self.reads(own).variables
        return self._of_state[id(state)]

    def context(self, setting: Setting, state: str, retry: int, redrive: int, item: Any) -> Any:
        key = (setting.name, id(setting.input), state, retry, redrive, id(item))
        if key not in self._contexts:
            machine = "arn:aws:states:eu-west-1:123456789012:stateMachine:rehearsed"
            time = "2026-01-31T23:59:59.999Z"
            made = {
                "Execution": {
                    "Id": f"{machine.replace('stateMachine', 'execution')}:{setting.name}",
                    **{"Input": setting.input, "Name": setting.name, "StartTime": time, "RedriveCount": redrive},
                    "RoleArn": "arn:aws:iam::123456789012:role/rehearsed",
                },
                "State": {"Name": state, "EnteredTime": time, "RetryCount": retry},
                "StateMachine": {"Id": machine, "Name": "rehearsed"},
                "Task": {"Token": "token"},
                **({"Map": {"Item": item}} if item is not None else {}),
            }
            self._contexts[key] = (made, item)
        return self._contexts[key][0]

    def evaluate(
        self, template: Any, variables: Mapping[str, Any], states: dict[str, Any], place: str, run: Hashable
    ) -> Any:
        """The value of a field, for each run and visit; raises Failed with the path of a part without a value."""
        reads = self.reads(template)
        if not reads.dynamic:
            return self.intern(template)
        used = [(name, variables[name]) for name in reads.variables if name in variables]
        parts = states if "*" in reads.states else {part: states[part] for part in reads.states if part in states}
        ids = (*(id(value) for _, value in used), 0, *(id(value) for value in parts.values()))
        key = (id(template), run, ids)
        if key not in self._made:
            bound = {**dict(used), "states": parts}
            try:
                made: Any = self.intern(_evaluate(template, bound, place))
            except Failed as failed:
                made = failed
            self._made[key] = (made, used, parts)  # keeps the objects of the key's ids alive
        found = self._made[key][0]
        if isinstance(found, Failed):
            raise found
        return found

    def answer(self, world: World, call: Call) -> Answer | Error:
        if not world.usual(call):
            return world(call)
        key = (call.resource, id(call.request), call.visit)
        if key not in self._answers:
            self._answers[key] = world(call)
        return self._answers[key]

    def ahead(self, scope: Scope, name: str) -> tuple[frozenset[str], tuple[str, ...]]:
        """The states that can be visited from a state on, including inner ones, and the variables that they read."""
        if (scope, name) not in self._ahead:
            names, waiting = {name}, [name]
            while waiting:
                new = set(scope.targets[waiting.pop()]) - names
                names |= new
                waiting += new
            inner = [self.ahead(part, part.start) for one in names for part in scope.inner.get(one, ())]
            reads = {variable for one in names for variable in self._state_reads(scope.states[one])}
            reads.update(*(some for _, some in inner))
            self._ahead[scope, name] = (frozenset(names).union(*(some for some, _ in inner)), tuple(sorted(reads)))
        return self._ahead[scope, name]

    def problems(self, called: integrations.Integration, resource: str, request: Any) -> Any:
        key = (id(request), resource)
        if key not in self._checked:
            self._checked[key] = integrations.problems(called, request)
        return self._checked[key]


def _evaluate(template: Any, bound: dict[str, Any], place: str) -> Any:
    if isinstance(template, str) and is_expression(template):
        text = expressions.inside(template)
        if text[1:] in bound and text[0] == "$":
            return bound[text[1:]]
        try:
            return engine.evaluate(text, bound)
        except Failed as failed:
            raise Failed(f"{place}: {failed}" if not failed.on_purpose else str(failed), failed.on_purpose) from None
    if isinstance(template, dict):
        return {key: _evaluate(value, bound, f"{place}.{key}") for key, value in template.items()}
    if isinstance(template, list):
        return [_evaluate(value, bound, f"{place}[{number}]") for number, value in enumerate(template)]
    return template
