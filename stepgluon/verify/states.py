"""Runs TestState on every state with the inputs and mocks of the self-check's rehearsal, and compares the results.

One visit is tested for each way out of a state, with and without an error of its service. TestState accepts a mock only
for a Task, Map or Parallel, and a context only with a mock; other states read the context from a variable. Each Task
has a mock, so nothing is called.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stepgluon import limits
from stepgluon.aws import Door, code_of, message_of
from stepgluon.selfcheck import SelfCheck
from stepgluon.selfcheck.answers import Answer, Error
from stepgluon.selfcheck.rehearsal import Visit, takes
from stepgluon.verify.check import Check

if TYPE_CHECKING:
    from stepgluon.deploy.release import Release

CONTEXT = "rehearsed_context"
_MOCKED = ("Task", "Map", "Parallel")
_REFUSED = ("InvalidDefinition", "InvalidExecutionInput", "ValidationException")
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def states(release: Release, door: Door, digests: Mapping[str, str]) -> Iterator[Check]:
    from botocore.exceptions import ClientError

    client, passed, large = door.client("stepfunctions"), 0, 0
    seen = visits(json.loads(release.filled(digests)))
    for visit in seen:
        request = request_of(visit)
        if max(_size(request[part]) for part in request.keys() - {"definition"}) > limits.PAYLOAD_BYTES:
            large += 1
            continue
        try:
            wrong = difference(visit, client.test_state(**request))
        except ClientError as error:
            if code_of(error) not in _REFUSED:
                raise
            wrong = f"TestState refuses it: {message_of(error)}"
        if wrong:
            yield Check(f"state {visit.name}", "failed", f"to {visit.following or 'its end'}: {wrong}")
        else:
            passed += 1
    if large:
        yield Check("states", "not checked", f"{large} visits have more data than TestState takes")
    count = len({visit.name for visit in seen})
    yield Check("states", "passed", f"TestState agrees with {passed} of {len(seen)} visits of {count} states")


def visits(machine: Any) -> list[Visit]:
    """The first visit for each way out of each state; of equivalent branches, only a few."""
    found: dict[tuple[str, str | None, str, bool], Visit] = {}

    def watch(visit: Visit) -> None:
        # An error that ends a branch also ends the Parallel, which then has no own transition to test.
        if visit.state["Type"] != "Parallel" or not visit.error:
            found.setdefault((visit.name, visit.following, visit.error, isinstance(visit.answer, Error)), visit)

    SelfCheck(machine, watch)
    return list(found.values())


def request_of(visit: Visit) -> dict[str, Any]:
    state, mocked, variables = visit.state, visit.state["Type"] in _MOCKED, dict(visit.before.variables)
    request: dict[str, Any] = {"input": _compact(visit.before.value), "inspectionLevel": "DEBUG"}
    if state["Type"] == "Parallel":  # its branches have no separate QueryLanguage
        states = {visit.name: state, visit.following: {"Type": "Succeed"}} if visit.following else {visit.name: state}
        machine = {"QueryLanguage": "JSONata", "StartAt": visit.name, "States": states}
        request |= {"definition": _compact(machine), "stateName": visit.name}
    else:
        text = _compact({"QueryLanguage": "JSONata", **state})
        request["definition"] = text if mocked else text.replace("$states.context", f"${CONTEXT}")
    if mocked:
        context = {key: value for key, value in visit.context.items() if key != "Task"}  # there is no token
        request |= {"mock": _mock(visit), "context": _compact(context), **_at_the_last_retry(visit)}
    elif not {"context", "*"}.isdisjoint(visit.reads.states):
        variables[CONTEXT] = visit.context
    return {**request, "variables": _compact(variables)}


def _at_the_last_retry(visit: Visit) -> dict[str, Any]:
    if isinstance(visit.answer, Error):
        for retrier in visit.state.get("Retry", ()):
            if takes(retrier["ErrorEquals"], visit.answer.name):
                return {"stateConfiguration": {"retrierRetryCount": retrier.get("MaxAttempts", 3)}}
    return {}


def _mock(visit: Visit) -> dict[str, Any]:
    answer = visit.answer
    if isinstance(answer, Error):
        cause = {} if answer.cause is None else {"cause": answer.cause}
        return {"errorOutput": {"error": answer.name, **cause}}
    assert isinstance(answer, Answer), f"{visit.name} has no answer to mock"
    # The canned answers have only some of AWS's fields.
    return {"result": _compact(answer.value), "fieldValidationMode": "PRESENT"}


def difference(visit: Visit, answer: dict[str, Any]) -> str:
    """The difference between AWS's result and the rehearsal's; empty if there is none."""
    status, error = answer["status"], answer.get("error", "")
    if visit.error:
        same = status == "FAILED" and error == visit.error
        return "" if same else f"the rehearsal ends with {visit.error}, and AWS says {status} {error}".rstrip()
    if status not in ("SUCCEEDED", "CAUGHT_ERROR"):
        return f"AWS says {status}: {error}: {answer.get('cause', '')}"
    if answer.get("nextState") != visit.following:
        return f"AWS goes to {answer.get('nextState') or 'the end'}"
    if visit.reads.impure:
        return ""
    inspected = answer.get("inspectionData", {})
    evaluated = inspected.get("afterArguments") if visit.request is not None else None
    if evaluated is not None and json.loads(evaluated) != visit.request:
        return "AWS evaluates Arguments to something else"
    if json.loads(answer["output"]) != visit.after.value:
        return "AWS evaluates Output to something else"
    assigned = json.loads(inspected.get("variables", "{}"))
    wrong = sorted(name for name, value in assigned.items() if visit.after.variables.get(name, value) != value)
    return f"AWS assigns something else to ${wrong[0]}" if wrong else ""


def _size(value: Any) -> int:
    return len((value if isinstance(value, str) else _compact(value)).encode())
