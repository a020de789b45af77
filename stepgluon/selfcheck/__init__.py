"""Checks a compiled state machine more strictly than AWS, so compiling finds a mistake, not the first run.

    form            fields and types of each kind of state; Retry and Catch; the definition's size
    scopes          names, targets, reachability, ends
    expressions     JSONata's syntax and functions; where $states and variables exist
    rehearsal       runs the machine with canned responses and checks each request against botocore's model
    scenarios       the scenarios of these runs           answers         the services' canned responses
    integrations    what a Resource calls                 engine          evaluates JSONata
    alike           picks a few of the equivalent branches to rehearse
    apis            botocore's model of a request         memory          caches the results of rehearsals
    events          counts the history's events           report          the findings

Each stage relies on the checks of the previous ones. Only QueryLanguage JSONata is supported. Problems that only a
service can detect are not reported, so every finding is certain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stepgluon import limits
from stepgluon.gc_control import paused
from stepgluon.selfcheck import form, scenarios, scopes
from stepgluon.selfcheck.alike import Alike, alike, smaller
from stepgluon.selfcheck.answers import Files
from stepgluon.selfcheck.events import Events
from stepgluon.selfcheck.expressions import Checker
from stepgluon.selfcheck.integrations import JOBS, integration
from stepgluon.selfcheck.memory import Call, Memory, Setting, Visit
from stepgluon.selfcheck.rehearsal import Rehearsal
from stepgluon.selfcheck.report import Finding, Report
from stepgluon.selfcheck.scopes import Scope

__all__ = ["Finding", "SelfCheck", "findings", "worst_case_events"]


def findings(definition: Mapping[str, Any], text: str | None = None) -> list[Finding]:
    """All problems of a definition; `text` is the text that will be sent to AWS, if it exists already."""
    return SelfCheck(definition).findings(text)


def worst_case_events(definition: Mapping[str, Any]) -> int:
    """The maximum number of events of one execution of a sound definition, with all retries used up."""
    return SelfCheck(definition).events()


class SelfCheck:
    """One definition, rehearsed once."""

    def __init__(self, definition: Mapping[str, Any], watch: Callable[[Visit], None] | None = None) -> None:
        """`watch` gets each visit of a state in each rehearsal; of equivalent branches, only a few."""
        self._definition, self._watch = definition, watch
        self._report = Report()
        self._root: Scope | None = None  # set if the form is sound
        with paused():
            self._check()

    def _check(self) -> None:
        machine = dict(self._definition)
        scopes.names(machine, self._report)
        groups = alike(machine)
        small, stands_for = smaller(machine, groups) if groups and groups.saves else (machine, {})
        if not form.check(small, self._report):
            return
        root = scopes.scopes(small)
        if not scopes.check(root, self._report):
            return
        checker = Checker(root, self._report)
        _resources(root, self._report)
        self._root = root
        self._memory = Memory(self._report, checker.undefined, self._watch)
        self._stands_for = {scope: stands_for.get(scope.branch, 1) for scope in root.every()}
        stage = _Stage(root, self._memory, scenarios.names_of(small))
        stage.play()
        _job_names(root, self._memory, self._report)
        larger = stage.sizes
        if groups and groups.saves and max(stage.sizes.values()) * groups.count > limits.PAYLOAD_BYTES:
            more, _ = smaller(machine, groups, 1)
            other = scopes.scopes(more)
            scopes.check(other, Report())
            bigger = _Stage(other, Memory(Report()), scenarios.names_of(more))
            bigger.play_large()
            larger = _grown(stage.sizes, bigger.sizes, groups)
        _payloads(larger, self._report)
        events = self.events()
        if events > limits.EVENTS:
            message = (
                f"with each retry used up, an execution writes {events:,} events, and at most {limits.EVENTS:,} fit"
            )
            self._report.add("events", "", f"{message}; retry less or have fewer models")

    def findings(self, text: str | None = None) -> list[Finding]:
        form.sizes(self._definition, text, self._report)
        return self._report.findings

    def requests(self) -> Iterator[Call]:
        if self._root is not None:
            yield from self._memory.calls.values()

    def events(self, tries: Mapping[str, int] | None = None) -> int:
        """The maximum number of an execution's events, with other MaxAttempts for retriers that name these errors."""
        if self._root is None:
            raise ValueError("the definition cannot be rehearsed; see findings()")
        return Events(self._root, self._memory.visits, self._stands_for).most(tries)

    def fitting_tries(self, error: str, most: int) -> int:
        """How many tries for this error fit into the history, at most `most`."""
        return next((tries for tries in range(most, 0, -1) if self.events({error: tries}) <= limits.EVENTS), 0)


class _Stage:
    """Plays the scenarios."""

    def __init__(self, root: Scope, memory: Memory, models: list[str]) -> None:
        self._root, self._memory, self._seen = root, memory, Files(models)
        self._tries: Counter[str] = Counter()
        self.sizes: dict[tuple[str, str, str], int] = {}

    def _run(self, setting: Setting) -> Rehearsal:
        rehearsal = Rehearsal(self._root, self._memory, setting).run()
        for (state, place), size in rehearsal.sizes.items():
            self.sizes[setting.scenario, state, place] = size
        return rehearsal

    def play(self) -> None:
        seen = self._seen
        self._run(scenarios.first(seen))
        twins, clones = _twins(self._root)
        for setting, state in scenarios.of_faults(seen, self._root, twins):
            visits = self._run(setting).visited
            for clone in (state, *clones.get(state, ())):
                self._tries[clone] = max(self._tries[clone], visits[state])
        for setting in scenarios.of_files(seen):
            self._run(setting)
        for setting in (*scenarios.of_inputs(seen), *scenarios.of_turns(seen, self._root), scenarios.another_run(seen)):
            self._run(setting)
        for setting in scenarios.together(seen, self._root, self._tries):
            self._run(setting)

    def play_large(self) -> None:
        """Only the scenario with the largest data."""
        large = list(scenarios.together(self._seen, self._root, {}))
        self._run(large[0] if large else scenarios.first(self._seen))


def _twins(root: Scope) -> tuple[set[str], dict[str, list[str]]]:
    """The states of branches with the same form as another of the Parallel: all but the first, and by the first."""
    twins: set[str] = set()
    clones: dict[str, list[str]] = {}
    for scope in root.every():
        for name, inner in scope.inner.items():
            groups = alike({"States": {name: scope.states[name]}}) if len(inner) > 1 else None
            for kind in groups.kinds if groups else ():
                for place in kind[1:]:
                    for one, other in zip(inner[kind[0]].states, inner[place].states, strict=True):
                        twins.add(other)
                        clones.setdefault(one, []).append(other)
    return twins, clones


def _resources(root: Scope, report: Report) -> None:
    partitions: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for scope in root.every():
        for name in scope.reached:
            state = scope.states[name]
            if state["Type"] != "Task":
                continue
            resource = state["Resource"]
            called = integration(resource)
            if called is None:
                report.add("resource", name, f"Resource {resource!r} is not an ARN that a Task can call")
                continue
            partitions[called.partition] += 1
            examples.setdefault(called.partition, name)
            if called.problem:
                report.add("resource", name, f"Resource {resource}: {called.problem}")
            if called.action in JOBS and called.optimized and not called.wait:
                report.add(
                    "not-awaited", name, f"Resource starts a job that nothing waits for; add .sync to {resource}"
                )
    for partition, _ in partitions.most_common()[1:]:
        usual = partitions.most_common(1)[0][0]
        message = f"Resource is in partition {partition}, and other Tasks are in {usual}; one machine is in one"
        report.add("partition", examples[partition], message)


def _job_names(root: Scope, memory: Memory, report: Report) -> None:
    """SageMaker accepts a name only once: each retry, redrive, run and state needs another."""
    states = {name: state for scope in root.every() for name, state in scope.states.items()}
    good, next_run = (memory.names.get(scenario, {}) for scenario in ("all good", "the next run"))
    fixed = "put {} into it: SageMaker takes a name once"
    for name, (first, retried, redriven) in memory.attempts.items():
        if not isinstance(first, str):
            continue
        again = first in next_run.get(name, ())
        if again and first == retried == redriven:
            report.add("job-name-fixed", name, f"the job's name is always {first!r}; SageMaker takes a name once")
            continue
        if first == retried and "Retry" in states[name]:
            report.add("job-name-retry", name, f"a retry has the same job name; {fixed.format('RetryCount')}")
        if first == redriven:
            report.add("job-name-redrive", name, f"a redrive has the same job name; {fixed.format('RedriveCount')}")
        if again and good.get(name):
            report.add("job-name-execution", name, f"the next run has the same job name; {fixed.format('the run')}")
    for scenario, by_state in memory.names.items():
        used: dict[str, str] = {}
        for name, names in by_state.items():
            for one in names:
                if isinstance(one, str) and used.setdefault(one, name) != name:
                    message = f"the job's name {one!r} is also that of {used[one]}; SageMaker takes a name once"
                    report.add("job-name-shared", name, message, "name")
            if len(set(map(str, names))) < len(names):
                message = f"a second visit has the same job name ({scenario}); SageMaker takes a name once"
                report.add("job-name-again", name, message, "name")


def _grown(
    small: dict[tuple[str, str, str], int], bigger: dict[tuple[str, str, str], int], groups: Alike
) -> dict[tuple[str, str, str], int]:
    """The sizes with all branches, extrapolated from one more branch."""
    more = groups.count - len(groups.kept())
    return {key: size + max(0, bigger.get(key, size) - size) * more for key, size in small.items()}


def _payloads(sizes: dict[tuple[str, str, str], int], report: Report) -> None:
    for (scenario, state, place), size in sizes.items():
        if size > limits.PAYLOAD_BYTES:
            message = f"{place} can have {size:,} bytes ({scenario}), and at most {limits.PAYLOAD_BYTES:,} are allowed"
            report.add("payload-size", state, message, place)
