"""Runs a machine with canned responses: a small interpreter that evaluates the machine's own expressions.

Problems that follow from a guessed response (`certain` is false) are never reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stepgluon.selfcheck import integrations
from stepgluon.selfcheck.answers import Answer, Error, Scenario
from stepgluon.selfcheck.history_events import EXECUTION, ITERATION, events_of
from stepgluon.selfcheck.report import is_expression
from stepgluon.selfcheck.scopes import Scope
from stepgluon.selfcheck.state_fields import Data, Ended, Run, Shared, StateFields, Stopped

MOST_VISITS = 300  # of one state in one rehearsal: canned responses may not end a loop
CHILDREN = 1000  # of a Distributed Map whose outputs are not written to S3
MOST_ITEMS = 3  # of a Map are run; the others get the last one's result
_NAME_ONCE = "SageMaker takes a name once"


class Rehearsal(Run):
    """One run of the machine."""

    def __init__(self, root: Scope, shared: Shared, scenario: Scenario) -> None:
        super().__init__(shared, scenario)
        scenario.endpoints.start()
        try:
            self.play(root, Data({}, self.input), None)
        except Ended:
            pass
        except Stopped:
            self.events = 0

    def play(self, scope: Scope, data: Data, item: Any) -> Data:
        name: str | None = scope.start
        while name is not None:
            self.visited[name] += 1
            if self.visited[name] > MOST_VISITS:
                polls = [
                    one for one in scope.states if str(scope.states[one].get("Resource")).endswith(":describeEndpoint")
                ]
                if any(self.visited[one] >= MOST_VISITS - 1 for one in polls):
                    message = f"it polls an endpoint that never changes more than {MOST_VISITS} times; count the polls"
                    self.shared.report.add("endless-poll", name, message)
                raise Stopped
            visit = Visit(self, scope, name, data, item)
            visit.play()
            name, data = visit.following, visit.after
        return data


class Visit(StateFields):
    """One visit of a state: its input, its service's response, and the results."""

    def __init__(self, run: Rehearsal, scope: Scope, name: str, data: Data, item: Any) -> None:
        super().__init__(run, scope, name, data, item)
        self._rehearsal = run
        self.after = data
        self.request: Any = None  # a Task's evaluated Arguments
        self.answer: Answer | Error | None = None  # of a Task; for a Parallel or Map, its branches' outputs
        self.following: str | None = None
        self.error = ""  # with which the state ends the run

    def play(self) -> None:
        try:
            self.following = self._enter()
        except Ended as ended:
            self.error = ended.error
            self._shared.watch(self)
            raise
        self._shared.watch(self)

    def _enter(self) -> str | None:
        state, kind = self.state, self.state["Type"]
        self._run.events += self.before.times * events_of(self.state)
        for name in ("TimeoutSeconds", "HeartbeatSeconds", "Seconds", "Timestamp"):
            if is_expression(state.get(name)):
                self._typed(state[name], name)
        if kind == "Choice":
            return self._choice()
        if kind == "Fail":
            raise Ended(*(self._typed(state.get(name, ""), name) for name in ("Error", "Cause")))
        if kind not in ("Task", "Parallel", "Map"):
            return self._leave(state, "", self.before.value, "input")
        try:
            self._states["result"] = {"Task": self._task, "Parallel": self._parallel, "Map": self._map}[kind]()
            return self._leave(state, "", self._states["result"], "result")
        except Ended as ended:
            return self._catch(ended)

    # The kinds of state

    def _choice(self) -> str | None:
        for number, rule in enumerate(self.state["Choices"]):
            place = f"Choices[{number}]."
            if self._typed(rule["Condition"], f"{place}Condition"):
                return self._leave(rule, place, self.before.value, "input")
        if "Default" not in self.state:
            if any(self._is_guess(rule["Condition"]) for rule in self.state["Choices"]):
                raise Stopped
            self._found("no-default", "no rule matches, and there is no Default", "Default")
        return self._leave({**self.state, "Next": self.state["Default"]}, "", self.before.value, "input")

    def _task(self) -> Any:
        called = integrations.integration(self.state["Resource"])
        assert called is not None, "its Resource was checked"
        request, guess = self._arguments()
        if not guess and not self._scenario.odd:
            key = (id(request), self.state["Resource"])
            if key not in self._shared.checked:
                self._shared.checked[key] = integrations.problems(called, request)
            for path, code, message in self._shared.checked[key]:
                self._add(code, message, f"Arguments{path}")
        self.request, given = request, request if isinstance(request, dict) else {}
        if called.action in integrations.JOBS:
            self._job_name(integrations.JOBS[called.action], given)
        answer = self.answer = self._scenario.answer(self.name, called, given, self._run.visited[self.name] - 1)
        if isinstance(answer, Error):
            raise Ended(answer.name, answer.cause)
        if not answer.certain:
            self._guessed.add("result")
        return self._values.intern(answer.value)

    def _arguments(self) -> tuple[Any, bool]:
        """The evaluated Arguments, and whether they are guessed."""
        if "Arguments" not in self.state:
            return self.before.value, "input" in self._guessed
        return self._value(self.state["Arguments"], "Arguments"), self._is_guess(self.state["Arguments"])

    def _job_name(self, key: str, request: dict[str, Any]) -> None:
        """Each visit needs a new name, and so does each attempt."""
        name, used = request.get(key), self._run.names
        if not isinstance(name, str):
            return
        if name in used:
            other = "its earlier visit" if used[name] == self.name else used[name]
            self._add(
                "job-name-again", f"{name!r} is also the name of the job of {other}; {_NAME_ONCE}", f"Arguments.{key}"
            )
        used[name] = self.name
        if self.name in self._shared.named or "Arguments" not in self.state:
            return
        names, context = [], self._states["context"]
        for number, attempt in enumerate(((0, 0), (1, 0), (0, 1))):
            self._states["context"] = self._context(*attempt, self._item)
            names.append(self._value(self.state["Arguments"], "Arguments", number).get(key))
        self._states["context"], self._shared.named[self.name] = context, names[0]
        for what, count, other in (("retry", "RetryCount", names[1]), ("redrive", "RedriveCount", names[2])):
            if other == names[0] and (what == "redrive" or self._retries):
                message = f"a {what} has the same job name {other!r}; {_NAME_ONCE}: put {count} into it"
                self._add(f"job-name-{what}", message, f"Arguments.{key}")

    def _parallel(self) -> Any:
        request, guess = self._arguments()
        branches = self._scope.inner[self.name]
        return self._results([self._inner(scope, request, guess, self._item) for scope in branches])

    def _inner(self, scope: Scope, given: Any, guess: bool, item: Any, times: int = 1) -> Any:
        """The output of a branch or an item. A Distributed Map's items have histories and variables of their own."""
        times *= self.before.times * scope.stands_for * (1 + self._retries)
        guessed = frozenset({""} if guess else ())
        data = Data(self.before.variables, given, (self.before.guessed - {""}) | guessed, times)
        output = (
            self._child(scope, given, guess, item) if scope.distributed else self._rehearsal.play(scope, data, item)
        )
        if "" in output.guessed:
            self._guessed.add("result")
        return output.value

    def _map(self) -> Any:
        state, scope = self.state, self._scope.inner[self.name][0]
        template = state.get("Items", "{% $states.input %}")
        items, guess = self._value(template, "Items"), self._is_guess(template)
        if "ItemReader" in state:
            items, guess = self._read_items(state["ItemReader"])
        elif isinstance(items, dict):
            items = [{"Key": key, "Value": value} for key, value in items.items()]
        else:
            self._typed(template, "Items")
        results: list[Any] = []
        for index, given in enumerate(items[:MOST_ITEMS]):
            item = self._values.intern({"Index": index, "Value": given})
            self._states["context"] = self._context(0, self._attempt[1], item)
            given = self._values.intern(given)
            if "ItemSelector" in state:
                given = self._value(state["ItemSelector"], "ItemSelector")
            if "ItemBatcher" in state:
                given, guess = self._values.intern({"Items": [given], "BatchInput": {}}), True
            times = len(items) - index if index == MOST_ITEMS - 1 else 1
            self._run.events += 0 if scope.distributed else ITERATION * times * self.before.times * (1 + self._retries)
            results.append(self._inner(scope, given, guess, item, times))
        self._states["context"] = self._context(*self._attempt, self._item)
        if "ResultWriter" in state:
            self._guessed.add("result")
        elif "ItemReader" in state:
            largest = max((self._values.size(self._values.intern(one)) + 1 for one in results), default=0)
            self._run.sizes[(self.name, f"the outputs of {CHILDREN:,} children")] = largest * CHILDREN
        return self._results(results + results[-1:] * (len(items) - len(results)))

    def _read_items(self, reader: dict[str, Any]) -> tuple[Any, bool]:
        """The items of a file of ours; of any other, one item that may be anything."""
        called = integrations.reader(str(reader.get("Resource")))
        if called is None:
            self._found("item-reader", "Resource must be s3:getObject or s3:listObjectsV2", "ItemReader")
        request = self._value(reader.get("Arguments", {}), "ItemReader.Arguments")
        for path, code, message in integrations.problems(called, request):
            self._add(code, message, f"ItemReader.Arguments{path}")
        answer = self._scenario.answer(self.name, called, request, 0)
        if isinstance(answer, Error):
            raise Ended("States.ItemReaderFailed", answer.cause)
        items = json.loads(answer.value["Body"]) if answer.certain and called.action == "getObject" else None
        return (items, False) if isinstance(items, list) else ([{}], True)

    def _child(self, scope: Scope, given: Any, guess: bool, item: Any) -> Any:
        """The output of a child execution, which has a history of its own; None if it failed and that is tolerated."""
        run, before = self._run, self._run.events
        run.events = EXECUTION
        try:
            return self._rehearsal.play(scope, Data({}, given, frozenset({""} if guess else ())), item)
        except Ended as ended:
            if self.state.get("ToleratedFailurePercentage") != 100:
                raise Ended("States.ExceedToleratedFailureThreshold", ended.cause) from None
            return Data({}, None)
        finally:
            run.child_events, run.events = max(run.child_events, run.events), before

    def _results(self, results: list[Any]) -> Any:
        self.answer = Answer(results)
        return self._values.intern(results)

    # Leaving a state

    def _catch(self, ended: Ended) -> str | None:
        for number, catcher in enumerate(self.state.get("Catch", ())):
            if takes(catcher["ErrorEquals"], ended.error):
                output = {"Error": ended.error, **({} if ended.cause is None else {"Cause": ended.cause})}
                self._states["errorOutput"] = self._values.intern(output)
                self._states.pop("result", None)
                return self._leave(catcher, f"Catch[{number}].", self._states["errorOutput"], "errorOutput")
        raise ended

    def _leave(self, fields: Mapping[str, Any], place: str, output: Any, source: str) -> str | None:
        """Evaluate Assign and Output of the state, or of one of its rules or catchers."""
        data, assign, guess = self.before, fields.get("Assign", {}), source in self._guessed
        assigned = {name: self._value(template, f"{place}Assign.{name}") for name, template in assign.items()}
        if assign:
            self._sized(f"{place}Assign", self._values.intern(assigned))
        guessed = {name for name, template in assign.items() if self._is_guess(template)}
        if "Output" in fields:
            output, guess = self._value(fields["Output"], f"{place}Output"), self._is_guess(fields["Output"])
        self._sized(f"{place}Output", output)
        guessed |= (data.guessed - {"", *assigned}) | ({""} if guess else set())
        self.after = Data({**data.variables, **assigned}, output, frozenset(guessed), data.times)
        return fields.get("Next")


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
