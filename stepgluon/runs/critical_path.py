"""The critical path of a run: the chain of states that determined how long it took, and what would shorten it.

Each state began when the one before it ended, and after parallel branches, when the last of them ended. So going back
from the run's end gives the chain. All of it is in the execution's history, locally and in an account.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from stepgluon.figures import aligned, took
from stepgluon.runs.history import Story, Visit

SMALL = 0.01  # of the run's duration; shorter states are summed up
WAITED = 0.3  # of the run's duration; if jobs waited longer for machines, the advice is about that
HOW = {
    "Train": "a shorter train.time_limit, faster presets or a larger train.instance",
    "Tune": "fewer tune.jobs, more tune.parallel or a larger train.instance",
    "Predict": "a larger predict.instance, or more of them",
    "Prepare data": "a larger prepare.instance",
    "Post-process": "a larger postprocess.instance",
    "Build": "algorithm.build.when: push, so that a deploy builds the image",
}
GROUPS = "more fan_out.jobs_at_once, or fewer models_per_job"  # for models found in the data


@dataclass(frozen=True)
class Step:
    state: str
    since: float
    seconds: float
    waited: float  # part of `seconds`: before its job got a machine
    tries: float  # part of `seconds`: tries that failed
    gain: float  # how much shorter the run would be without this state
    rival: str  # the state that would then determine the duration; empty if none


def critical_path(story: Story, local: bool) -> dict[str, Any] | None:
    """The path for run.json; None for a run that has not ended."""
    if story.ended is None or not story.visits:
        return None
    every = _repeated(_steps(story))
    whole = story.ended - every[0].since  # after a redrive, since then
    steps = [step for step in every if step.seconds >= max(SMALL * whole, 0.05)]
    if not steps:
        return None
    other = max(0.0, whole - sum(step.seconds for step in steps))
    path = {"steps": [asdict(step) for step in steps], "seconds": whole, "other": other}
    return {**_tenths(path), "advice": _advice(steps, whole, local)}


def _repeated(steps: list[Step]) -> list[Step]:
    """Visits of one state, like the waits for an endpoint, as one step where the first of them is."""
    found: dict[str, Step] = {}
    for step in steps:
        if first := found.get(step.state):
            sums = {key: getattr(first, key) + getattr(step, key) for key in ("seconds", "waited", "tries", "gain")}
            step = replace(first, **sums, rival=first.rival or step.rival)
        found[step.state] = step
    return list(found.values())


def _tenths(value: Any) -> Any:
    if isinstance(value, list):
        return [_tenths(each) for each in value]
    if isinstance(value, dict):
        return {key: _tenths(each) for key, each in value.items()}
    return round(value, 1) if isinstance(value, float) else value


def _steps(story: Story) -> list[Step]:
    inner: dict[int, list[Visit]] = {}
    for visit in story.visits:
        inner.setdefault(id(visit.inside), []).append(visit)
    end = story.ended or story.started

    def until(visit: Visit) -> float:
        return end if visit.until is None else visit.until

    def back(last: Visit | None) -> Iterator[Visit]:
        """From the last state of a branch to its first; a state with branches as its slowest branch."""
        while last is not None:
            if id(last) in inner:
                yield from back(max(inner[id(last)], key=lambda one: (until(one), bool(one.failure), -one.since)))
            else:
                yield last
            last = last.after

    def step(visit: Visit) -> Step:
        gain, rival, place = until(visit) - visit.since, "", visit
        while place.inside is not None:
            own = _first(place)
            others = [one for one in inner[id(place.inside)] if _first(one) is not own]
            ends = max((until(one) for one in others), default=place.inside.since)
            if (possible := max(0.0, until(place.inside) - ends)) < gain and others:
                gain = possible
                slowest = _first(max(others, key=until))
                rival = max(
                    (one for one in others if _first(one) is slowest), key=lambda one: until(one) - one.since
                ).name
            place = place.inside
        job = visit.job
        began = job.began - job.started if job and job.began else 0.0
        tried = job.started - visit.tried if job and visit.tried else 0.0
        return Step(visit.name, visit.since, until(visit) - visit.since, max(0.0, began), tried, gain, rival)

    return [step(visit) for visit in back(inner[id(None)][-1])][::-1]


def _first(visit: Visit) -> Visit:
    """The first state of its branch."""
    while visit.after is not None:
        visit = visit.after
    return visit


# Words


def _advice(steps: list[Step], whole: float, local: bool) -> str:
    late = [step.waited for step in steps if step.waited >= 1]
    if sum(late) > WAITED * whole:
        alone = "Locally, jobs share this computer's cores, so only shorter jobs help"
        many = f"Each of {len(late)} jobs in a row starts a machine; a larger machine would not shorten that"
        return f"Jobs on the path waited {took(sum(late))} for a machine. {alone if local else many}."
    longest = max(steps, key=lambda one: one.seconds)
    word = longest.state.partition(" ")[0]
    how = GROUPS if longest.state.endswith(" groups") else HOW.get(longest.state) or HOW.get(word)
    if not how:
        return f"{longest.state} took longest; no setting of the config shortens it."
    if longest.rival and longest.gain < longest.seconds / 2:
        near = f"{longest.state} and {longest.rival}, which ended only {took(longest.gain)} earlier"
        return f"To shorten the run, shorten both {near}: {how}."
    then = f" (then {longest.rival} takes longest)" if longest.rival else ""
    return f"To shorten the run by up to {took(longest.gain)}{then}, shorten {longest.state}: {how}."


def path_lines(path: dict[str, Any]) -> list[str]:
    """For `show`: a line for each state of the path."""
    whole = path["seconds"]
    steps = [(step["state"], step["seconds"], _remarks(step)) for step in path["steps"]]
    steps += [("other states", path["other"], "")] if path["other"] >= SMALL * whole else []
    rows = [(name, f"{seconds:.1f} s", share(seconds, whole), more) for name, seconds, more in steps]
    return [*aligned(rows, right=(1, 2), indent="  "), f"  {path['advice']}"]


def share(seconds: float, whole: float) -> str:
    return f"{100 * seconds / max(whole, 0.1):.0f} %"


def _remarks(step: dict[str, Any]) -> str:
    known = {"waiting for a machine": step["waited"], "on tries that failed": step["tries"]}
    said = [f"{took(seconds)} {what}" for what, seconds in known.items() if seconds >= 1]
    return f"including {' and '.join(said)}" if said else ""
