"""Checks a compiled state machine more strictly than AWS, so compiling finds a mistake, not the first run.

    form            fields and types of each kind of state; Retry and Catch; the definition's size
    scopes          names, targets, reachability, ends
    expressions     JSONata's syntax, and the names of functions and variables
    integrations    what a Resource calls, and rules for requests
    rehearsal       runs the machine with canned responses and checks each request; state_fields: the values of a
                    state's fields; history_events: counts what a state writes to the history
    scenarios       the scenarios of these runs           answers         the services' canned responses
    endpoint_answers  those about endpoints       group_answers  files of a run with groups of models
    evaluation      evaluates JSONata                     apis            botocore's model of a request
    alike           picks a few of the equivalent branches to rehearse
    report          the findings

A stage runs if the earlier ones found nothing. Only QueryLanguage JSONata is supported. Problems that only a service
can detect are not reported, so every finding is certain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from stepgluon import limits
from stepgluon.gc_control import paused
from stepgluon.selfcheck import alike, expressions, form, integrations, scopes
from stepgluon.selfcheck.alike import Branches
from stepgluon.selfcheck.answers import Scenario
from stepgluon.selfcheck.rehearsal import Rehearsal, Visit
from stepgluon.selfcheck.report import Finding, Report
from stepgluon.selfcheck.scenarios import Scenarios
from stepgluon.selfcheck.scopes import Scope
from stepgluon.selfcheck.state_fields import Shared

__all__ = ["Finding", "SelfCheck", "findings", "worst_case_events"]


def findings(definition: Mapping[str, Any], text: str | None = None) -> list[Finding]:
    """All problems of a definition; `text` is the text that will be sent to AWS, if it exists already."""
    return SelfCheck(definition).findings(text)


def worst_case_events(definition: Mapping[str, Any]) -> int:
    """The maximum number of events of one execution of a sound definition, with all retries used up."""
    return SelfCheck(definition).events


class SelfCheck:
    """One definition, rehearsed once."""

    def __init__(self, definition: Mapping[str, Any], watch: Callable[[Visit], None] = lambda visit: None) -> None:
        """`watch` gets each visit of a state in each rehearsal; of equivalent branches, only a few."""
        self._definition, self._report = definition, Report()
        self._shared = Shared(self._report, watch)
        self.events = 0
        with paused():
            self._check()

    def findings(self, text: str | None = None) -> list[Finding]:
        form.sizes(self._definition, text, self._report)
        return self._report.findings

    def _check(self) -> None:
        report, branches = self._report, alike.branches(self._definition)
        kinds = branches.kinds(values=True)
        form.check(branches.smaller(kinds, 2), report)
        if report.findings:
            return
        root = branches.scopes(kinds, 2)
        scopes.check(self._definition, root, report)
        for stage in (expressions.check, integrations.check):
            if not report.findings:
                stage(root, report)
        if not report.findings:
            self._rehearse(root, branches)

    def _rehearse(self, root: Scope, branches: Branches) -> None:
        """Each model's values matter only where all is good: the other scenarios need a branch of each form."""
        kinds = branches.kinds(values=False)
        small = root if kinds == branches.kinds(values=True) else branches.scopes(kinds, 2)
        if small is not root:
            self._run(root, Scenarios(root).first)
        scenarios, tries = Scenarios(small), defaultdict[str, int](int)
        self._run(small, scenarios.first)
        for name, scenario in scenarios.faults():
            tries[name] = max(tries[name], self._run(small, scenario).visited[name])
        for scope in small.every():
            if scope.like:
                tries |= {name: tries[one] for one, name in zip(scope.like.states, scope.states, strict=True)}
        for scenario in scenarios.others():
            self._run(small, scenario)
        self._run(small, scenarios.long(tries))
        for name, state in self._run(small, scenarios.next).names.items():
            if self._shared.named.get(state) == name:
                message = f"Arguments: the next run has the same job name {name!r}; put the run's name into it"
                self._report.add("job-name-execution", state, message)
        self._large(branches)
        if self.events > limits.EVENTS:
            history = f"{self.events:,} events, and at most {limits.EVENTS:,} fit; retry less or have fewer models"
            self._report.add("events", "", f"with each retry used up, an execution writes {history}")

    def _run(self, root: Scope, scenario: Scenario) -> Rehearsal:
        run = Rehearsal(root, self._shared, scenario)
        self._sizes(run.sizes, scenario)
        self.events = max(self.events, run.events, run.child_events)
        return run

    def _large(self, branches: Branches) -> None:
        """Extrapolate the sizes with all branches from one branch, and from one more, of each kind."""
        kinds = branches.kinds(values=True)
        root = branches.scopes(kinds, 1)
        scenario = Scenarios(root).large()
        sizes = self._run(root, scenario).sizes
        if max(sizes.values(), default=0) * len(branches.names) <= limits.PAYLOAD_BYTES:
            return
        grown = dict(sizes)
        for kind in kinds:
            if len(kind) > 1:
                larger = branches.scopes([kind, *(other for other in kinds if other is not kind)], 2)
                bigger = Rehearsal(larger, Shared(Report()), Scenarios(larger).large()).sizes
                for key, size in sizes.items():
                    grown[key] += max(0, bigger[key] - size) * (len(kind) - 1)
        self._sizes(grown, scenario)

    def _sizes(self, sizes: Mapping[tuple[str, str], int], scenario: Scenario) -> None:
        for (state, place), size in sizes.items():
            if size > limits.PAYLOAD_BYTES:
                allowed = f"at most {limits.PAYLOAD_BYTES:,} are allowed"
                message = f"{place} can have {size:,} bytes ({scenario.name}), and {allowed}"
                self._report.add("payload-size", state, message, place)
