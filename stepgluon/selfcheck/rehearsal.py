"""Runs a machine with canned responses: a small interpreter that evaluates the machine's own expressions.

Problems that follow from a guessed response (`certain` is false) are never reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stepgluon import limits
from stepgluon.selfcheck import integrations
from stepgluon.selfcheck.engine import Failed
from stepgluon.selfcheck.form import is_expression
from stepgluon.selfcheck.memory import Answer, Call, Error, Memory, Rest, Setting, Visit
from stepgluon.selfcheck.report import kind_of
from stepgluon.selfcheck.scopes import Scope, State

MOST_VISITS = 300  # of one scope's states in one rehearsal: canned responses may not end a loop
MOST_ITEMS = 3  # of a Map are run; the others get the last one's result


class Ended(Exception):
    """The run fails with AWS's error and cause."""

    def __init__(self, error: str, cause: str | None = None) -> None:
        super().__init__(error)
        self.error, self.cause = error, cause


class Stopped(Exception):
    """The rehearsal cannot continue: a mistake was found, or a loop does not end."""


@dataclass
class Data:
    """The variables and data that a state sees, and which of them are guessed."""

    variables: dict[str, Any]
    input: Any
    guessed: set[str] = field(default_factory=set)  # variables; "" is the input


class Rehearsal:
    """One run of the machine."""

    def __init__(self, root: Scope, memory: Memory, setting: Setting) -> None:
        setting = replace(setting, input=memory.intern(setting.input))
        memory.settings.append(setting)
        self._root, self._memory, self._setting = root, memory, setting
        self._report = memory.report
        self.visited: Counter[str] = Counter()
        self.sizes: dict[tuple[str, str], int] = {}
        self.outcome = ""  # SUCCEEDED, the error's name, or empty if the rehearsal stopped
        self.cause: str | None = None

    def run(self) -> Rehearsal:
        data = Data({}, self._setting.input)
        try:
            self._scope(self._root, data, None)
            self.outcome = "SUCCEEDED"
        except Ended as ended:
            self.outcome, self.cause = ended.error, ended.cause
        except Stopped:
            pass
        return self

    def _scope(self, scope: Scope, data: Data, item: Any) -> tuple[Any, bool]:
        """The output of a scope, and whether it is guessed. Earlier rehearsals are reused."""
        here: list[str] = []
        keys: list[Any] = []
        name: str | None = scope.start
        rest = None
        try:
            while name is not None:
                key = self._key(scope, name, data, item)
                rest = None if self._setting.whole else self._memory.rests.get(key)
                if rest is not None:
                    break
                keys.append(key)
                here.append(name)
                self.visited[name] += 1
                if len(here) > MOST_VISITS:
                    here = list(dict.fromkeys(here))
                    raise Stopped
                name = _State(self, scope, name, data, item).visit()
            end: Any = rest.end if rest is not None else (data.input, "" in data.guessed)
        except (Ended, Stopped) as ended:
            end = ended
        visits = [*here, *(rest.visits if rest is not None else ())]
        self._memory.visits.setdefault(scope, set()).add(frozenset(Counter(visits).items()))
        for number, key in enumerate(keys):
            self._memory.rests[key] = Rest(visits[number:], end)
        if isinstance(end, Exception):
            raise end
        return end  # type: ignore[no-any-return]

    def _key(self, scope: Scope, name: str, data: Data, item: Any) -> Any:
        """Everything that the rest of a scope depends on."""
        states, reads = self._memory.ahead(scope, name)
        setting, variables = self._setting, data.variables
        values = tuple(id(variables.get(variable)) for variable in reads)
        world = setting.answer.ahead(states, self.visited)
        ids = (id(data.input), id(item), id(setting.input), frozenset(data.guessed))
        return (scope, name, values, world, ids, setting.name, setting.retries)


class _State:
    """One visit of a state."""

    def __init__(self, run: Rehearsal, scope: Scope, name: str, data: Data, item: Any) -> None:
        self._run, self._scope, self._name, self._data, self._item = run, scope, name, data, item
        self._state: State = scope.states[name]
        self._memory, self._setting, self._report = run._memory, run._setting, run._report
        self._states: dict[str, Any] = {"input": data.input}
        self._guessed_now: set[str] = {"input"} if "" in data.guessed else set()
        most: int = sum(retrier.get("MaxAttempts", 3) for retrier in self._state.get("Retry", ()))
        last = (most, limits.REDRIVES)
        self._retry, self._redrive = last if self._setting.retries else (0, 0)
        self._set_context(self._retry, self._redrive)
        self._answer: Answer | Error | None = None
        self._request: Any = None

    def visit(self) -> str | None:
        """Run the state and pass the visit to the memory's watcher; return the next state's name."""
        watch, data = self._memory.watch, self._data
        if watch is None:
            return self.run()
        given, variables = data.input, dict(data.variables)

        def seen(following: str | None, error: str = "") -> None:
            own = {key: value for key, value in self._state.items() if key not in ("Branches", "ItemProcessor")}
            reads = self._memory.reads(own)
            visit = Visit(
                state=self._state,
                name=self._name,
                given=given,
                variables=variables,
                context=self._states["context"],
                reads_context=not {"context", "*"}.isdisjoint(reads.states),
                impure=reads.impure,
                answer=self._answer,
                request=self._request,
                following=following,
                error=error,
                output=data.input,
                assigned=dict(data.variables),
            )
            watch(visit)

        try:
            following = self.run()
        except Ended as ended:
            seen(None, ended.error)
            raise
        seen(following)
        return following

    def _set_context(self, retry: int, redrive: int) -> None:
        context = self._memory.context(self._setting, self._name, retry, redrive, self._item)
        self._states["context"] = context

    def run(self) -> str | None:
        """Run the state; return the next state's name, None at the end."""
        kind = self._state["Type"]
        for field_name in ("TimeoutSeconds", "HeartbeatSeconds", "Seconds"):
            if is_expression(self._state.get(field_name)):
                self._typed(field_name, (int,), "a whole number")
        if is_expression(self._state.get("Timestamp")):
            self._typed("Timestamp", (str,), "a time as text")
        if kind == "Choice":
            return self._choice()
        if kind == "Fail":
            error, cause = (self._typed(part, (str,), "text", "") for part in ("Error", "Cause"))
            raise Ended(error, cause)
        if kind in ("Task", "Parallel", "Map"):
            try:
                self._states["result"] = {"Task": self._task, "Parallel": self._parallel, "Map": self._map}[kind]()
                return self._leave(self._state, "", self._states["result"], "result")
            except Ended as ended:
                return self._catch(ended)
        return self._leave(self._state, "", self._data.input, "input")

    # The kinds of state

    def _choice(self) -> str | None:
        for number, rule in enumerate(self._state["Choices"]):
            place = f"Choices[{number}]"
            condition = self._value(rule["Condition"], f"{place}.Condition")
            if not isinstance(condition, bool):
                message = f"{place}.Condition is {kind_of(condition)}, and true or false is expected"
                self._found("condition-type", message, f"{place}.Condition")
            if condition:
                return self._leave(rule, f"{place}.", self._data.input, "input")
        if "Default" not in self._state:
            self._found("no-default", "no rule matches, and there is no Default", "Default", bool(self._guessed_now))
        return self._leave({**self._state, "Next": self._state["Default"]}, "", self._data.input, "input")

    def _task(self) -> Any:
        resource = self._state["Resource"]
        called = integrations.integration(resource)
        if called is None or called.problem:
            raise Stopped  # already reported
        request, guessed = self._arguments()
        if not guessed and not self._setting.odd:
            for path, code, message in self._memory.problems(called, resource, request):
                place = f"Arguments{path}"
                self._report.add(code, self._name, f"{place}: {message}{self._when()}", place)
        if called.action in integrations.JOBS and isinstance(request, dict):
            self._job_name(integrations.JOBS[called.action], request)
        call = Call(self._name, resource, request, self._setting.scenario, self._run.visited[self._name] - 1)
        self._memory.calls.setdefault((self._name, id(request)), call)
        answer = self._memory.answer(self._setting.answer, call)
        self._answer, self._request = answer, request
        if isinstance(answer, Error):
            raise Ended(answer.name, answer.cause)
        if not answer.certain:
            self._guessed_now.add("result")
        return self._memory.intern(answer.value)

    def _arguments(self) -> tuple[Any, bool]:
        if "Arguments" not in self._state:
            return self._data.input, "input" in self._guessed_now
        value = self._value(self._state["Arguments"], "Arguments")
        self._sized("Arguments", value)
        return value, self._is_guess(self._state["Arguments"])

    def _job_name(self, key: str, request: dict[str, Any]) -> None:
        """Keep the name for comparison: each retry, redrive, visit and run needs another one."""
        self._memory.names.setdefault(self._setting.scenario, {}).setdefault(self._name, []).append(request.get(key))
        if self._name in self._memory.attempts or "Arguments" not in self._state:
            return
        found = []
        for attempt, (retry, redrive) in enumerate(((0, 0), (1, 0), (0, 1))):
            self._set_context(retry, redrive)
            value = self._value(self._state["Arguments"], "Arguments", attempt)
            found.append(value.get(key) if isinstance(value, dict) else None)
        self._set_context(self._retry, self._redrive)
        self._memory.attempts[self._name] = (found[0], found[1], found[2])

    def _parallel(self) -> Any:
        request, guessed = self._arguments()
        results = []
        for branch in self._scope.inner[self._name]:
            results.append(self._inner(branch, request, guessed, self._item))
        self._answer = Answer(results)
        return self._memory.intern_list(results)

    def _inner(self, scope: Scope, given: Any, guessed: bool, item: Any) -> Any:
        variables = {} if scope.distributed else dict(self._data.variables)
        marks = set() if scope.distributed else self._data.guessed - {""}
        data = Data(variables, given, marks | ({""} if guessed else set()))
        output, guess = self._run._scope(scope, data, item)
        if guess:
            self._guessed_now.add("result")
        return output

    def _map(self) -> Any:
        scope = self._scope.inner[self._name][0]
        items, guessed = self._data.input, "input" in self._guessed_now
        if "ItemReader" in self._state:
            items, guessed = [{}], True
        elif "Items" in self._state:
            items, guessed = self._value(self._state["Items"], "Items"), self._is_guess(self._state["Items"])
        if isinstance(items, dict):
            items = [{"Key": key, "Value": value} for key, value in items.items()]
        if not isinstance(items, list):
            self._found("items", f"Items is {kind_of(items)}, and a list is expected", "Items", guessed)
        results = []
        for index, value in enumerate(items[:MOST_ITEMS]):
            item = self._memory.intern({"Index": index, "Value": value})
            given = value
            self._states["context"] = self._memory.context(self._setting, self._name, 0, self._redrive, item)
            if "ItemSelector" in self._state:
                given = self._value(self._state["ItemSelector"], "ItemSelector")
            if "ItemBatcher" in self._state:
                given, guessed = self._memory.intern({"Items": [given], "BatchInput": {}}), True
            results.append(self._inner(scope, given, guessed, item))
        self._set_context(self._retry, self._redrive)
        results += results[-1:] * (len(items) - len(results))
        if "ResultWriter" in self._state:
            self._guessed_now.add("result")
        self._memory.visits.setdefault(scope, set())
        return self._memory.intern_list(results)

    # Leaving a state

    def _catch(self, ended: Ended) -> str | None:
        for number, catcher in enumerate(self._state.get("Catch", ())):
            if takes(catcher["ErrorEquals"], ended.error):
                output = {"Error": ended.error, **({} if ended.cause is None else {"Cause": ended.cause})}
                self._states["errorOutput"] = self._memory.intern(output)
                self._states.pop("result", None)
                self._guessed_now.discard("result")
                return self._leave(catcher, f"Catch[{number}].", self._states["errorOutput"], "errorOutput")
        raise ended

    def _leave(self, fields: Mapping[str, Any], place: str, output: Any, source: str) -> str | None:
        """Evaluate Assign and Output of the state, or of one of its rules or catchers."""
        guessed = source in self._guessed_now
        assigned = {}
        for variable, template in fields.get("Assign", {}).items():
            assigned[variable] = self._value(template, f"{place}Assign.{variable}")
            self._sized(f"{place}Assign.{variable}", assigned[variable])
        marks = {name: self._is_guess(fields["Assign"][name]) for name in assigned}
        if "Output" in fields:
            output = self._value(fields["Output"], f"{place}Output")
            guessed = self._is_guess(fields["Output"])
        self._sized(f"{place}Output", output)
        data = self._data
        data.variables.update(assigned)
        data.input = output
        data.guessed = (data.guessed | {name for name, mark in marks.items() if mark}) - {
            *(name for name, mark in marks.items() if not mark),
            "",
        }
        data.guessed |= {""} if guessed else set()
        return fields.get("Next")

    # Values

    def _value(self, template: Any, place: str, attempt: int = 0) -> Any:
        reads = self._memory.reads(template)
        missing = [name for name in reads.variables if name not in self._data.variables]
        if missing:
            message = f"{place} reads ${missing[0]}, which is not assigned on this way{self._when()}"
            self._found("variable-unassigned", message, place, (self._name, missing[0]) in self._memory.undefined)
        try:
            run = (self._setting.name, *((self._run.visited[self._name], attempt) if reads.impure else ()))
            return self._memory.evaluate(template, self._data.variables, self._states, place, run)
        except Failed as failed:
            if failed.on_purpose or self._is_guess(template):
                raise Ended("States.QueryEvaluationError", str(failed)) from None
            code = "expression-undefined" if str(failed).endswith("it is undefined") else "expression-fails"
            self._found(code, f"{failed}{self._when()}", place)
            raise AssertionError from failed

    def _typed(self, field_name: str, types: tuple[type, ...], expected: str, otherwise: Any = None) -> Any:
        value = self._value(self._state.get(field_name, otherwise), field_name)
        if not isinstance(value, types) or isinstance(value, bool):
            self._found("field-value", f"{field_name} is {kind_of(value)}, and {expected} is expected", field_name)
        return value

    def _is_guess(self, template: Any) -> bool:
        reads = self._memory.reads(template)
        whole = self._guessed_now if "*" in reads.states else self._guessed_now & set(reads.states)
        return bool(whole) or not self._data.guessed.isdisjoint(reads.variables)

    def _sized(self, place: str, value: Any) -> None:
        size, key = self._memory.size(value), (self._name, place)
        self._run.sizes[key] = max(size, self._run.sizes.get(key, 0))

    def _when(self) -> str:
        return f" ({self._setting.scenario})"

    def _found(self, code: str, message: str, place: str, silent: bool = False) -> None:
        if not silent:
            self._report.add(code, self._name, message, place)
        raise Stopped


def takes(errors: list[str], error: str) -> bool:
    """https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html: States.TaskFailed is any error
    of a Task but a timeout, and no wildcard is an error that ends the execution.
    """
    if error in errors:
        return True
    if error in ("States.DataLimitExceeded", "States.Runtime"):
        return False
    timeout = error in ("States.Timeout", "States.HeartbeatTimeout")
    return "States.ALL" in errors or ("States.TaskFailed" in errors and not timeout)
