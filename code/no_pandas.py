"""Keeps pandas out of a process: pyarrow would import it to recognize its arrays, which takes half a second.

The data image does not contain pandas, but the environment of a local job may. In the same way XGBoost's jobs keep out
scikit-learn, which XGBoost imports if it is there: that takes 2.3 s of the 3.4 s of processor time of its import.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType


class _Absent:
    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        if name in self.names:
            raise ModuleNotFoundError(f"{name} is kept out (no_pandas.py)", name=name)


def keep_pandas_out(*more: str) -> None:
    sys.meta_path.insert(0, _Absent(["pandas", *more]))
