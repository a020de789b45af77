"""The scenarios of a rehearsal: all good, each call failing, each kind of score, defaults, reuse, odd inputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from stepgluon.selfcheck import alike, group_answers
from stepgluon.selfcheck.answers import (
    ARCHIVED,
    LONGEST,
    LOST,
    MISTAKE,
    NO_KEY,
    Fault,
    Scenario,
    fingerprint,
    marker,
    promoted,
    score,
    without_image,
)
from stepgluon.selfcheck.endpoint_answers import KINDS, NEEDED, Endpoints
from stepgluon.selfcheck.integrations import integration
from stepgluon.selfcheck.scopes import Scope, State

BAD = score(1e300)
TURNS = 9  # an endpoint has eight states
_FILES: dict[str, dict[str, Any]] = {
    "marker": {
        "of a rejected model": marker(1e300),
        "that is damaged": "<html>",
        "that is a text": '"x"',
        "of an earlier version": without_image(marker(0.5)),
        "of a registered model": {**marker(0.5), "version": 3},
    },
    "score": {
        **{"too high": BAD, "null": score(None), "of text": score("NaN"), "of a list": score([1])},
        **{"of true": score(True), "that is missing": {}, "in a list": [score(1)]},
        "with a reason": {**score(None), "reason": "the held-out part has only one class"},
        **{"in a text": '"0.5"', "that is not JSON": '{"mae": NaN}', "without its file": NO_KEY},
    },
}
_FILES |= {
    "pointer": {"without its file": NO_KEY, "that is damaged": "<html>"},
    "drift": {
        "of rows that have not drifted": {"outcome": "none", "sentence": "no drift", "rows": 5},
        "without its file": NO_KEY,
    },
}
_BAD_INPUTS: tuple[Any, ...] = (
    *([], "june", 5, None, {"data": 5}, {"dta": "s3://raw/"}, {"overrides": {"threshold": "350"}}, {"fresh": "yes"}),
    {"overrides": []},
)
_FULL_INPUT = {
    **{"data": "s3://raw/june/", "note": "grüße 'an' \"alle\" {% $x %}", "overrides": {"threshold": 5}, "fresh": True}
}


def _approved(group: str) -> dict[str, Any]:
    """The registry's event."""
    version = f"arn:aws:sagemaker:eu-west-1:123456789012:model-package/{group}/3"
    return {"detail": {"ModelPackageArn": version, "ModelApprovalStatus": "Approved"}}


class Scenarios:
    """The scenarios of one machine."""

    def __init__(self, root: Scope) -> None:
        self._tasks = {
            name: scope.states[name]
            for scope in root.every()
            for name in scope.reached
            if scope.states[name]["Type"] == "Task"
        }
        self._like = {name for scope in root.every() if scope.like for name in scope.states}
        self._inner = {name for scope in root.every() if scope.owner for name in scope.states}
        models, self._read = alike.models({"States": root.states}), set[str]()
        self._models, self._defaults = models, {"promoted": promoted(models)}
        called = {state["Resource"].rpartition(":")[2] for state in self._tasks.values()}
        self._serves, self._versions = "describeEndpoint" in called, "describeModelPackage" in called
        self._released: dict[str, str] = {}  # by the first rehearsal
        make = partial(Scenario, models=models, read=self._read, described={}, written={})
        self._events = [_approved(group) for group in alike.groups({"States": root.states})] if self._versions else []
        self._make = partial(make, input=self._events[0]) if self._events else make
        self.first = self._make("all good", endpoints=Endpoints("is created", self._released))
        self.next = self._make("the next run", execution="july", retried=False)

    def faults(self) -> Iterator[tuple[str, Scenario]]:
        """Each call with a Catch fails, for each kind of reason; of states that are alike, the first one's."""
        for name, state in self._tasks.items():
            if "Catch" in state and name not in self._like:
                kind = NEEDED.get(state["Resource"].rpartition(":")[2], "is created")
                for what, fault in _faults(state):
                    yield name, self._make(f"{name} {what}", faults={name: fault}, endpoints=Endpoints(kind, {}))

    def others(self) -> Iterator[Scenario]:
        """Scenarios for files, inputs, and other values of the responses' enums."""
        make, defaults = self._make, self._defaults
        for kind, cases in _FILES.items():
            for what, content in cases.items() if kind in self._read else ():
                yield make(f"a {kind} {what}", first={kind: content}, files=defaults)
        if "score" in self._read:
            yield make("a model is rejected, and no model is promoted", first={"score": BAD})
            yield make("all models are rejected", files={"score": BAD})
            yield make("all models are rejected, and defaults are promoted", files={"score": BAD, **defaults})
        earlier = {key: without_image(entry) for key, entry in defaults["promoted"].items()}
        odd = {
            "is of an earlier version": earlier,
            "is empty": {},
            "is a list": [],
            "has odd entries": dict.fromkeys(defaults["promoted"], 5),
        }
        for what, content in odd.items() if "promoted" in self._read else ():
            yield make(f"promoted.json {what}", files={"score": BAD, "promoted": content})
        if "fingerprints" in self._read:
            some = [fingerprint(name) | {"rows": 2 * place} for place, name in enumerate(self._models)]
            files = {"fingerprints": {"gaps": 2, "models": some}}
            yield from [make("a model has no rows to predict", files=files)] if "groups" not in self._read else ()
        for what, files in group_answers.scenarios() if "groups" in self._read else ():
            yield make(what, files=files)
        if any(state["Resource"].endswith("s3:listObjectsV2") for state in self._tasks.values()):
            yield make("there are no objects to list", turn=1)
        for kind in KINDS if self._serves else ():
            yield make(f"the endpoint {kind}", endpoints=Endpoints(kind, self._released))
        for event in self._events[1:]:
            yield make("another model's version is approved", input=event)
        if self._versions:
            yield make("the version is rejected by now", version={"ModelApprovalStatus": "Rejected"})
            yield make("the version has an archive", version=ARCHIVED)
            yield make("the version is of another pipeline", input=_approved("another"))
        yield make(
            "everything was done before, and the input has every key", files={"marker": marker(0.5)}, input=_FULL_INPUT
        )
        yield from (make(f"the input is {given!r:.60}", input=given, odd=True) for given in _BAD_INPUTS)
        usual = re.compile(
            r".*(\.sync|s3:getObject|s3:putObject|s3:listObjectsV2|createModelPackage|describeImages|:sns:publish"
            r"|[a-z]+Model|[a-z]+Endpoint|createEndpointConfig|describeModelPackage|Scal[a-zA-Z]+)"
        )
        if any(not usual.fullmatch(state["Resource"]) for state in self._tasks.values()):  # one may query a status
            yield from (make(f"answers of turn {turn}", turn=turn) for turn in range(1, TURNS))

    def large(self) -> Scenario:
        """The scenario with the largest data."""
        longest = dict.fromkeys(self._jobs() & self._inner, Fault("States.TaskFailed", LONGEST))
        name = "all jobs of the branches fail with long reasons"
        return self._make(name, faults=longest, files=self._defaults) if longest else self.first

    def long(self, tries: Mapping[str, int]) -> Scenario:
        """The scenario with the longest history, from the number of tries of each state."""
        last = {name: Fault("States.TaskFailed", LOST, tries.get(name, 1) - 1) for name in self._jobs()}
        slow = Endpoints("is created for ever", {})
        return self._make("each job succeeds at its last try", faults=last, endpoints=slow)

    def _jobs(self) -> set[str]:
        return {name for name, state in self._tasks.items() if ".sync" in state["Resource"]}


def _faults(state: State) -> Iterator[tuple[str, Fault]]:
    called = integration(state["Resource"])
    assert called is not None, "its Resource was checked"
    reads_error = "errorOutput" in repr(state["Catch"])
    if called.wait:
        yield "fails again and again", Fault("States.TaskFailed", LOST)
        yield "fails for the user's data", Fault("States.TaskFailed", MISTAKE)
    if called.wait or called.action != "getObject" or reads_error:
        yield "is refused", Fault(called.error(), "User is not authorized")
    if called.action == "getObject":
        yield "finds no file", Fault(NO_KEY.name, NO_KEY.cause)
    if called.action == "describeImages":
        yield "finds no image", Fault("Ecr.ImageNotFoundException", "The image does not exist.")
    if reads_error:
        yield "times out", Fault("States.Timeout")
