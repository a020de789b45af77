"""Runs the machine without running it: what is in the data at each state, and what every path finds there.

Only what is certain is reported: where two ways meet, a key that came on one of them may be there, and what a loop
brings back may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from stepgluon import limits
from stepgluon.selfcheck import choices, errors, tasks
from stepgluon.selfcheck.graph import Scope, State
from stepgluon.selfcheck.paths import Malformed, Path, parse_path
from stepgluon.selfcheck.report import Report
from stepgluon.selfcheck.templates import Reader, not_a_template
from stepgluon.selfcheck.values import ANYTHING, CAUSE, ERROR, REASON, Missing, Sizes, Unknown, Value, follow, join, put

# A failed job's cause is its whole description: what was asked for, and what became of it (statuses, times, reason).
_BECAME = 4096


# For each state that is still to come: which states lead to it, with which data.
Ways = dict[str, list[tuple[str, Value]]]


class Run:
    """One walk through a machine whose form and graph are sound."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.static: dict[str, Any] = {}
        self.tasks = tasks.Tasks(report)
        self._sizes = Sizes()
        self._sent = 0  # bytes of what the last Task sends

    def scope(self, scope: Scope, data: Value) -> Value:
        """Walk a scope that begins with this data; what comes out at its ends."""
        ways: Ways = {scope.start: [("", data)]}
        outputs: list[Value] = []
        for name in scope.order:
            state = scope.states[name]
            came = [("", ANYTHING)] if name in scope.loops else ways.pop(name, [("", ANYTHING)])
            data = reduce(join, [given for _, given in came])
            several = len(came) > 1 and state["Type"] != "Choice"
            reader = Reader(name, data, self.report, self.static, in_map=scope.in_map, noting=several)
            effective = self._path(state, "InputPath", reader)
            if state["Type"] == "Choice":
                self._choice(state, reader, effective, ways)
                continue
            result = self._result(scope, name, state, reader, effective)
            if several:
                self._each_way(name, came, reader.noted)
            for catcher in state.get("Catch", ()):
                _lead(ways, catcher["Next"], name, _caught(state, catcher, data, self._sent))
            if state["Type"] == "Fail":
                continue
            reader.data = result
            output = self._path(state, "OutputPath", reader)
            self._weigh(name, "output", output, data)
            if "Next" in state:
                _lead(ways, state["Next"], name, output)
            else:
                outputs.append(output)
        return reduce(join, outputs) if outputs else ANYTHING

    def _each_way(self, name: str, came: list[tuple[str, Value]], paths: list[Path]) -> None:
        """What is there on one way may be missing on another, and each way is taken in some run."""
        for source, given in came:
            for path in paths:
                found = follow(given, path.steps, path.text)
                if isinstance(found, Missing):
                    self.report.add("data-path", name, f"coming from {source}, {found.reason}")

    def _result(self, scope: Scope, name: str, state: State, reader: Reader, effective: Value) -> Value:
        """The state's result, put where ResultPath says."""
        raw, kind = reader.data, state["Type"]
        reader.data = effective
        if "InputPath" in state:
            reader.stop_noting()  # what follows is read from a part of the input
        if kind == "Pass":
            result = self._pass(state, reader)
        elif kind == "Task":
            result = self.tasks.answer(state, reader)
            self._weigh(name, "task's input", reader.data, raw)
            # A job's description repeats what was asked for, but for the tags.
            tags = reader.data.get("Tags") if isinstance(reader.data, dict) else None
            self._sent = self._sizes.of(reader.data) - (self._sizes.of(tags) if tags else 0)
        elif kind == "Parallel":
            given = self._parameters(state, reader)
            self._weigh(name, "branches' input", given, raw)
            result = [self.scope(branch, given) for branch in scope.inner[name]]
        elif kind == "Map":
            result = self._map(scope, name, state, reader)
        else:
            self._own_paths(state, reader)
            reader.stop_noting()
            return effective
        reader.stop_noting()
        if "ResultSelector" in state:
            reader.data, reader.every_attempt = result, False
            result = reader.evaluate(state["ResultSelector"], "ResultSelector")
        return self._placed(state, raw, result)

    def _parameters(self, state: State, reader: Reader) -> Value:
        return reader.evaluate(state["Parameters"], "Parameters") if _is_object(state, "Parameters") else reader.data

    def _pass(self, state: State, reader: Reader) -> Value:
        given = self._parameters(state, reader)
        if "Result" not in state:
            return given
        key = not_a_template(state["Result"])
        if key:
            message = f"Result is taken as it is, so {key} does nothing there; use Parameters"
            self.report.add("result-template", reader.state, message)
        return state["Result"]

    def _map(self, scope: Scope, name: str, state: State, reader: Reader) -> Value:
        inside = Reader(name, reader.data, self.report, self.static, in_map=True)
        items = reader.path(state["ItemsPath"], "ItemsPath") if "ItemsPath" in state else reader.data
        if isinstance(items, (dict, str, int, float)) and "ItemReader" not in state and type(items) is dict:
            self.report.add("data-path", name, "ItemsPath leads to an object; a Map needs a list")
        selector = "ItemSelector" if "ItemSelector" in state else "Parameters"
        item: Value = inside.evaluate(state[selector], selector) if _is_object(state, selector) else ANYTHING
        for processor in scope.inner[name]:
            self.scope(processor, item)
        return Unknown(None, "list")

    def _own_paths(self, state: State, reader: Reader) -> None:
        """Paths of Wait and Fail."""
        for field in ("SecondsPath", "TimestampPath"):
            if field in state:
                reader.path(state[field], field)
        for field in ("ErrorPath", "CausePath"):
            if field in state:
                reader.text(state[field], field)

    def _choice(self, state: State, reader: Reader, effective: Value, ways: Ways) -> None:
        reader.data = effective
        onward = self._path(state, "OutputPath", reader)
        reader.data = effective
        for number, rule in enumerate(state["Choices"]):
            for comparison in choices.comparisons(rule):
                for path in choices.paths(comparison):
                    if not isinstance(parse_path(path), Malformed):
                        reader.path(path, f"Choices[{number}]")
            _lead(ways, rule["Next"], reader.state, onward)
            onward = _otherwise(rule, onward)
        if "Default" in state:
            _lead(ways, state["Default"], reader.state, onward)

    def _path(self, state: State, field: str, reader: Reader) -> Value:
        if field not in state:
            return reader.data
        return {} if state[field] is None else reader.path(state[field], field)

    def _placed(self, state: State, raw: Value, result: Value) -> Value:
        if "ResultPath" not in state:
            return result
        if state["ResultPath"] is None:
            return raw
        return self._put(state["ResultPath"], raw, result)

    def _put(self, text: str, raw: Value, result: Value) -> Value:
        path = parse_path(text)
        if isinstance(path, Malformed) or not path.definite:
            return ANYTHING
        placed = put(raw, path.steps, result)
        return ANYTHING if isinstance(placed, Missing) else placed

    def _weigh(self, name: str, what: str, value: Value, before: Value) -> None:
        """Say once where the data grows over what a state may carry, not again at each state after it."""
        if value is before:
            return
        size = self._sizes.of(value)
        if size > limits.PAYLOAD_BYTES and self._sizes.of(before) <= limits.PAYLOAD_BYTES:
            message = f"the {what} can have {size:,} bytes, and {limits.PAYLOAD_BYTES:,} is the limit; keep less of it"
            self.report.add("payload-size", name, message)


def _is_object(state: State, field: str) -> bool:
    return isinstance(state.get(field), dict)


def _lead(ways: Ways, target: str, source: str, data: Value) -> None:
    ways.setdefault(target, []).append((source, data))


def _caught(state: State, catcher: Mapping[str, Any], data: Value, sent: int) -> Value:
    """What a catcher's state begins with: the state's own input, and the error where ResultPath says."""
    if state["Type"] != "Task":
        cause = CAUSE
    else:
        cause = min(CAUSE, sent + _BECAME) if state["Resource"].endswith((".sync", ".sync:2")) else REASON
    error = {"Error": Unknown(ERROR, "text"), "Cause": Unknown(cause, "text")}
    if "ResultPath" not in catcher:
        return error
    if catcher["ResultPath"] is None:
        return data
    path = parse_path(catcher["ResultPath"])
    placed = ANYTHING if isinstance(path, Malformed) or not path.definite else put(data, path.steps, error)
    return ANYTHING if isinstance(placed, Missing) else placed


def _otherwise(rule: Mapping[str, Any], data: Value) -> Value:
    """What is known where a rule did not match: a cause that is no JSON object is a message, not a description."""
    parts = rule.get("And", [rule])
    matches = [part for part in parts if part.get("StringMatches", "").startswith("{")]
    if len(matches) != 1 or not all(part is matches[0] or part.get("IsPresent") is True for part in parts):
        return data
    path = parse_path(matches[0]["Variable"])
    if isinstance(path, Malformed) or not path.definite or path.steps[-1:] != ("Cause",):
        return data
    if not isinstance(follow(data, path.steps, path.text), Unknown):
        return data
    placed = put(data, path.steps, Unknown(REASON, "text"))
    return data if isinstance(placed, Missing) else placed


def result_paths(scope: Scope, report: Report) -> None:
    """Report each ResultPath that is no reference path."""
    for name, state in scope.states.items():
        if state.get("ResultPath") is not None and (reason := errors.not_a_reference(state["ResultPath"])):
            report.add("reference-path", name, f"ResultPath: {reason}")
