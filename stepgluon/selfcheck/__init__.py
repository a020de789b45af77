"""Checks a compiled state machine as AWS would, and harder: whoever compiles finds the mistake, not the first run.

    fields    the form: fields and types of each kind of state          choices, errors    rules; Retry and Catch
    graph     names, targets, reachability, ends
    flow      the data at each state, and what each path finds there    values, templates, calls
    tasks     Resource, and Parameters against botocore's model         apis, jobs
    sizes     definition, history and payload within the limits
    paths, intrinsics                                                   the languages of `.$` values
    report    what is said of it

Each stage relies on what the one before has found sound: where the form is broken, only the form is reported.
JSONPath definitions only. A finding is certain: what cannot be known before the machine runs is not reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepgluon.gc_control import paused
from stepgluon.selfcheck import fields, flow, graph, sizes
from stepgluon.selfcheck.report import Finding, Report
from stepgluon.selfcheck.values import ANYTHING

__all__ = ["Finding", "findings", "worst_case_events"]


def findings(definition: Mapping[str, Any], text: str | None = None) -> list[Finding]:
    """Everything that is wrong with a definition; `text` is what will be sent to AWS, where that exists already."""
    with paused():
        return list(dict.fromkeys(_report(definition, text).findings))


def _report(definition: Mapping[str, Any], text: str | None) -> Report:
    report = Report()
    if not fields.check(definition, report):
        return report
    root = graph.scopes(definition)
    if not graph.check(root, report):
        return report
    for scope in graph.every(root):
        flow.result_paths(scope, report)
    run = flow.Run(report)
    run.scope(root, ANYTHING)
    run.tasks.partitions()
    sizes.check(definition, root, text, report)
    return report


def worst_case_events(definition: Mapping[str, Any]) -> int:
    """The most events that one execution of a sound definition can write, when each retry is used up."""
    root = graph.scopes(definition)
    if not graph.check(root, Report()):
        raise ValueError("the definition leads to states that do not exist; see findings()")
    return sizes.worst_case_events(root)
