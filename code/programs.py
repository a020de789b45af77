"""The programs that train models, as the jobs know them; the module <name>_model.py has the rest of each.

    Predictor        loads a model's folder, for predict and serve; for score also `chances`, `importance`, `facts`
    check_readable   of a program that score.py measures: raises JobError if the training left no model
    for_classes      of a program whose label is encoded: what the number of classes decides of its training

stepgluon/programs.py has the same names, and what the state machine knows of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from no_pandas import keep_pandas_out


@dataclass(frozen=True)
class Program:
    title: str
    packages: tuple[str, ...] = ()  # the installed one of them has its version; none if it predicts in its own image
    library: str = ""  # the module to import
    pickled: bool = False  # whether only the same version of it, and of Python, reads its models; else newer ones do
    pandas: bool = True  # whether its library needs pandas or scikit-learn; XGBoost's imports them if they are there
    header: bool = True  # whether its channels of CSV files have one
    importance: str = "How much the error grows without a column"

    @property
    def answers(self) -> bool:
        """Whether only the image that trains its models predicts with them: it is the user's."""
        return not self.packages


AUTOGLUON, CONTAINER = "autogluon", "container"
PROGRAMS = {
    AUTOGLUON: Program("AutoGluon", ("autogluon.tabular",), "autogluon.tabular", pickled=True),
    "xgboost": Program(
        "XGBoost",
        ("xgboost-cpu", "xgboost"),
        "xgboost",
        pandas=False,
        header=False,
        importance="Each column's share of the splits' total gain",
    ),
    CONTAINER: Program("a container"),
}


def module_of(name: str) -> Any:
    return importlib.import_module(f"{name}_model")


def library_of(name: str) -> Any:
    """The module, for a process that uses the program's library."""
    if not PROGRAMS[name].pandas:
        keep_pandas_out("sklearn")
    return module_of(name)


def for_classes(model: Mapping[str, Any], classes: list[str]) -> dict[str, Any]:
    """What only the label's classes decide of a model's training, for the state machine: see `for_classes` there."""
    algorithm = model.get("algorithm")
    if not algorithm or not algorithm["encoded"]:
        return {}
    found: dict[str, Any] = module_of(algorithm["name"]).for_classes(model, classes)
    return found
