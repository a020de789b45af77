"""A training job's progress, from the lines that AutoGluon and code/train.py print."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_FITTING = re.compile(r"Fitting model: (\S+)")
_SCORE = re.compile(
    r"(-?[\d.]+(?:e[+-]?\d+)?)\s+= Validation score\s+\((-?)"
)  # (-NAME): an error, with its sign changed
_MEDIAN = re.compile(r"always guessing the median: mean absolute error ([\d.]+(?:e[+-]?\d+)?)$")
_TRIAL = re.compile(r"(Trial \d+ of \d+): (?:\S+ (\S+), best so far (\S+) )?")  # of a tuning, see trials.py
_COMPLETE = "AutoGluon training complete"


@dataclass
class Fit:
    learner: str = ""  # at work
    scores: list[tuple[str, float]] = field(default_factory=list)  # each learner's validation error or score
    higher: bool = False  # whether a higher score is better
    trial: str = ""  # the last training of a tuning: Trial 7 of 20
    median: float | None = None  # the error on the held-out rows of always guessing the median

    @property
    def best(self) -> float | None:
        return (max if self.higher else min)((score for _, score in self.scores), default=None)


def fit_of(lines: Iterable[str]) -> Fit:
    fit = Fit()
    for line in lines:
        if found := _FITTING.search(line):
            fit.learner = found[1]
        elif found := _SCORE.search(line):
            fit.higher = not found[2]
            fit.scores.append((fit.learner, float(found[1]) if fit.higher else -float(found[1])))
        elif found := _MEDIAN.search(line):
            fit.median = float(found[1])
        elif found := _TRIAL.match(line):
            fit.trial = found[1]
            if found[2]:
                score, best = float(found[2]), float(found[3])
                fit.higher = fit.higher or score < best
                fit.scores.append((found[1], score))
        elif _COMPLETE in line:
            fit.learner = ""
    return fit
