"""Evaluates the fields of one state in a rehearsal, and reports what is wrong with their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from stepgluon import limits
from stepgluon.selfcheck import expressions, form
from stepgluon.selfcheck.answers import Scenario
from stepgluon.selfcheck.evaluation import Evaluation, Failed, Reads
from stepgluon.selfcheck.history_events import EXECUTION, retries_of
from stepgluon.selfcheck.report import Report, did_you_mean
from stepgluon.selfcheck.scopes import Scope


class Ended(Exception):
    """The run fails with AWS's error and cause."""

    def __init__(self, error: str, cause: str | None = None) -> None:
        super().__init__(error)
        self.error, self.cause = error, cause


class Stopped(Exception):
    """The rehearsal cannot continue: a mistake was found, or a loop does not end."""


@dataclass
class Shared:
    """What the rehearsals of one machine share."""

    report: Report
    watch: Callable[[Any], None] = lambda visit: None  # gets each Visit
    values: Evaluation = field(default_factory=Evaluation)
    checked: dict[tuple[int, str], list[Any]] = field(default_factory=dict)  # the problems of requests
    seen: set[int] = field(default_factory=set)  # the ids of fields whose paths below $states exist
    contexts: dict[Hashable, Any] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)  # by state: its job's name at the first attempt


@dataclass(frozen=True)
class Data:
    """The variables and data that a state sees, and which of them are guessed."""

    variables: dict[str, Any]
    value: Any  # its input
    guessed: frozenset[str] = frozenset()  # variables; "" is the input
    times: int = 1  # how many runs of this scope this one stands for


class Run:
    """What the visits of one rehearsal share."""

    def __init__(self, shared: Shared, scenario: Scenario) -> None:
        self.shared, self.scenario = shared, scenario
        self.visited: Counter[str] = Counter()
        self.sizes: Counter[tuple[str, str]] = Counter()  # the largest value of each field
        self.names: dict[str, str] = {}  # of jobs, with their states
        self.events = EXECUTION  # with every retry used up
        self.child_events = 0  # the same of a child execution
        self.input = shared.values.intern(scenario.input)


class StateFields:
    """The fields of a state, as one visit of it sees them."""

    def __init__(self, run: Run, scope: Scope, name: str, data: Data, item: Any) -> None:
        self.name, self.state, self.before = name, scope.states[name], data
        self._run, self._scope, self._item = run, scope, item
        self._shared, self._scenario, self._values = run.shared, run.scenario, run.shared.values
        self._guessed: set[str] = {"input"} if "" in data.guessed else set()  # parts of $states
        self._retries = retries_of(self.state)
        self._attempt: tuple[int, int] = (self._retries, limits.REDRIVES) if run.scenario.retried else (0, 0)
        self._states = {"input": data.value, "context": self._context(*self._attempt, item)}

    @property
    def context(self) -> Any:
        return self._states["context"]

    @property
    def reads(self) -> Reads:
        return self._values.reads(expressions.own(self.state))

    def _context(self, retry: int, redrive: int, item: Any) -> Any:
        machine, name = "arn:aws:states:eu-west-1:123456789012:stateMachine:rehearsed", self._scenario.execution
        time, key = "2026-01-31T23:59:59.999Z", (name, id(self._run.input), self.name, retry, redrive, id(item))
        if key in self._shared.contexts:
            return self._shared.contexts[key]
        context = {
            "Execution": {
                "Id": f"{machine.replace('stateMachine', 'execution')}:{name}",
                **{"Input": self._run.input, "Name": name, "StartTime": time},
                **({"RedriveTime": time} if redrive else {}),
                **{"RoleArn": "arn:aws:iam::123456789012:role/rehearsed", "RedriveCount": redrive},
            },
            "State": {"Name": self.name, "EnteredTime": time, "RetryCount": retry},
            "StateMachine": {"Id": machine, "Name": "rehearsed"},
        }
        if self.state.get("Resource", "").endswith(".waitForTaskToken"):
            context["Task"] = {"Token": "token"}
        if item is not None:
            context["Map"] = {"Item": item}
        return self._shared.contexts.setdefault(key, self._values.intern(context))

    def _value(self, template: Any, place: str, attempt: int = 0) -> Any:
        variables, reads = self.before.variables, self._values.reads(template)
        for name in reads.variables:
            if name not in variables:
                code, why = expressions.unassigned(self._scope, name)
                self._found(code, f"it reads ${name}, {why}", place)
        if id(template) not in self._shared.seen:
            self._paths(reads.paths, place)
            self._shared.seen.add(id(template))
        run = (self._scenario.execution, self._run.visited[self.name], attempt) if reads.impure else None
        try:
            value = self._values.value(template, variables, self._states, place, run)
        except Failed as failed:
            if failed.on_purpose or self._is_guess(template):
                raise Ended("States.QueryEvaluationError", str(failed)) from None
            where, _, message = str(failed).partition(": ")
            self._found("expression-undefined" if message == "it is undefined" else "expression-fails", message, where)
        if place != "Items":  # which may be as large as a variable
            self._sized(place, value)
        return value

    def _paths(self, paths: Iterable[tuple[str, ...]], place: str) -> None:
        """Check that each part of $states exists, and each member of the context."""
        for path in paths:
            there: Any = self._states
            for part in path[: 3 if path[0] == "context" else 1] if path else ():
                if part not in there:
                    what = f"$states.{'.'.join(path)}, which does not exist there{did_you_mean(part, there)}"
                    self._found("states-part", f"it reads {what}", place)
                there = there[part]

    def _typed(self, template: Any, place: str) -> Any:
        """The value of a field that accepts only some values."""
        value = self._value(template, place)
        for _, code, message in form.problems(place.rpartition(".")[2], value):
            if self._is_guess(template):
                raise Stopped
            self._found(code, message, place)
        return value

    def _is_guess(self, template: Any) -> bool:
        if not self._guessed and not self.before.guessed:
            return False
        reads = self._values.reads(template)
        parts = self._guessed if "*" in reads.states else self._guessed.intersection(reads.states)
        return bool(parts) or not self.before.guessed.isdisjoint(reads.variables)

    def _sized(self, place: str, value: Any) -> None:
        size, key = self._values.size(value), (self.name, place)
        self._run.sizes[key] = max(size, self._run.sizes[key])

    def _add(self, code: str, message: str, place: str) -> None:
        self._shared.report.add(code, self.name, f"{place}: {message} ({self._scenario.name})", place)

    def _found(self, code: str, message: str, place: str) -> NoReturn:
        self._add(code, message, place)
        raise Stopped
