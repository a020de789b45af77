"""The metrics that judge a model, as the config and the state machine know them; code/metrics.py measures them."""

from __future__ import annotations

import math
from typing import NamedTuple


class Metric(NamedTuple):
    higher: bool  # whether a higher score is better
    classes: bool  # whether the model predicts classes, not numbers
    lowest: float
    highest: float

    @property
    def limit(self) -> str:
        """The key that limits the score."""
        return "at_least" if self.higher else "at_most"


METRICS = {
    "mae": Metric(False, False, 0, math.inf),
    "rmse": Metric(False, False, 0, math.inf),
    "r2": Metric(True, False, -math.inf, 1),
    "mape": Metric(False, False, 0, math.inf),
    "quantile_loss": Metric(False, False, 0, math.inf),
    "accuracy": Metric(True, True, 0, 1),
    "balanced_accuracy": Metric(True, True, 0, 1),
    "f1": Metric(True, True, 0, 1),
    "roc_auc": Metric(True, True, 0, 1),
    "log_loss": Metric(False, True, 0, math.inf),
}


def named(name: str, higher: bool) -> Metric:
    """A metric of the table, or one of the user's own."""
    return METRICS.get(name) or Metric(higher, False, -math.inf, math.inf)
