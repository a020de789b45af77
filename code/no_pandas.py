"""Keeps pandas out of a process: pyarrow would import it to recognize its arrays, which takes half a second.

The data image does not contain pandas, but the environment of a local job may.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType


class _Absent:
    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is kept out (no_pandas.py)", name=name)


def keep_pandas_out() -> None:
    sys.meta_path.insert(0, _Absent())
