"""The scenarios of a rehearsal: all good, each call failing, each kind of score, defaults, reuse, odd inputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stepgluon.selfcheck.answers import LONGEST, LOST, MISTAKE, NO_KEY, Fault, Files, World, marker, promoted, score
from stepgluon.selfcheck.integrations import integration
from stepgluon.selfcheck.memory import Setting
from stepgluon.selfcheck.scopes import Scope

BAD = 1e300
TURNS = 9  # an endpoint has eight states
_FILES: dict[str, dict[str, Any]] = {
    "marker": {"of a rejected model": marker(BAD), "that is damaged": "<html>", "that is a text": '"x"'},
    "score": {
        **{"too high": score(BAD), "null": score(None), "of text": score("NaN"), "of a list": score([1])},
        **{"of true": score(True), "that is missing": {}, "in a list": [score(1)]},
        **{"in a text": '"0.5"', "that is not JSON": '{"mae": NaN}', "without its file": NO_KEY},
    },
}
_BAD_INPUTS: tuple[Any, ...] = (
    *([], "june", 5, None, {"data": 5}, {"dta": "s3://raw/"}, {"overrides": {"threshold": "350"}}, {"fresh": "yes"}),
    {"overrides": []},
)
_FULL_INPUT = {
    **{"data": "s3://raw/june/", "note": "grüße 'an' \"alle\" {% $x %}", "overrides": {"threshold": 5}, "fresh": True}
}


def names_of(machine: Mapping[str, Any]) -> list[str]:
    """The models' names, from the lists that a Pass assigns."""
    for state in machine["States"].values():
        for value in state.get("Assign", {}).values() if state["Type"] == "Pass" else ():
            if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
                names = [entry["name"] for entry in value if isinstance(entry.get("name"), str)]
                if len(names) == len(value):
                    return names
    return []


def first(seen: Files) -> Setting:
    return Setting("all good", World(seen), whole=True)


def of_files(seen: Files) -> Iterator[Setting]:
    """Scenarios for the contents of the files that this machine reads."""
    met, defaults = seen.kinds(), {"promoted": promoted(seen.models)}
    for kind, cases in _FILES.items():
        for what, content in cases.items() if kind in met else ():
            yield Setting(f"a {kind} {what}", World(seen, first={kind: content}, files=defaults))
    if "marker" in met:
        markers = {"marker": marker(0.5)}
        yield Setting("everything was done before", World(seen, files=markers))
    if "score" in met:
        bad = {"score": score(BAD)}
        yield Setting("a model is rejected, and no model is promoted", World(seen, first=bad))
        yield Setting("all models are rejected", World(seen, files=bad))
        yield Setting("all models are rejected, and defaults are promoted", World(seen, files={**bad, **defaults}))
        odd: dict[str, Any] = {
            "is empty": {},
            "is a list": [],
            "has odd entries": dict.fromkeys(defaults["promoted"], 5),
        }
        for what, content in odd.items() if "promoted" in met else ():
            yield Setting(f"promoted.json {what}", World(seen, files={**bad, "promoted": content}))


def of_faults(seen: Files, root: Scope, twins: set[str]) -> Iterator[tuple[Setting, str]]:
    """Each call with a Catch fails, for each kind of reason; `twins` are like a state that was already tried."""
    for scope in root.every():
        for name in scope.reached:
            state = scope.states[name]
            if state["Type"] == "Task" and name not in twins and "Catch" in state:
                for what, fault in _faults(state):
                    yield Setting(f"{name} {what}", World(seen, faults={name: fault})), name


def _faults(state: Mapping[str, Any]) -> Iterator[tuple[str, Fault]]:
    called = integration(state["Resource"])
    if called is None:
        return
    reads_error = "errorOutput" in repr(state["Catch"])
    if called.wait:
        yield "fails again and again", Fault("States.TaskFailed", LOST)
        yield "fails for the user's data", Fault("States.TaskFailed", MISTAKE)
    if called.wait or called.action != "getObject" or reads_error:
        yield "is refused", Fault(called.error(), "User is not authorized")
    if called.action == "getObject":
        yield "finds no file", Fault(NO_KEY.name, NO_KEY.cause)
    if reads_error:
        yield "times out", Fault("States.Timeout")


def _jobs(root: Scope, inside: bool) -> list[str]:
    """The jobs of the branches, and also the machine's own unless only those `inside` are wanted."""
    return [
        name
        for scope in root.every()
        for name in scope.reached
        if scope.states[name]["Type"] == "Task"
        and ".sync" in scope.states[name]["Resource"]
        and (scope.owner or not inside)
    ]


def together(seen: Files, root: Scope, tries: Mapping[str, int]) -> Iterator[Setting]:
    """Many failures at once, for the sizes and the length of the history."""
    jobs = _jobs(root, inside=True)
    defaults = {"promoted": promoted(seen.models)}
    if jobs:
        longest = dict.fromkeys(jobs, Fault("States.TaskFailed", LONGEST))
        yield Setting("all jobs of the branches fail with long reasons", World(seen, longest, defaults), whole=True)
    jobs = _jobs(root, inside=False)  # the items of a Map visit its other states more than once, too
    last = {name: Fault("States.TaskFailed", LOST, tries[name] - 1) for name in jobs if tries.get(name, 0) > 1}
    if last:
        yield Setting("each job succeeds at its last try", World(seen, last), whole=True)


def of_inputs(seen: Files) -> Iterator[Setting]:
    markers = {"marker": marker(0.5)}
    yield Setting("the input has every key", World(seen, files=markers), _FULL_INPUT)
    yield from (Setting(f"the input is {given!r:.60}", World(seen), given, odd=True) for given in _BAD_INPUTS)


def of_turns(seen: Files, root: Scope) -> Iterator[Setting]:
    """Responses with other enum values, for machines that query a status."""
    usual = re.compile(r".*(\.sync|s3:getObject|s3:putObject|:sns:publish)")
    tasks = (state for scope in root.every() for state in scope.states.values() if state["Type"] == "Task")
    if any(not usual.fullmatch(state["Resource"]) for state in tasks):
        for turn in range(1, TURNS):
            yield Setting(f"answers of turn {turn}", World(seen, turn=turn))


def another_run(seen: Files) -> Setting:
    return Setting("the next run", World(seen), {}, "july", retries=False)
