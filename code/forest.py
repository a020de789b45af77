"""A scikit-learn forest that stays on disk: its trees are read one at a time for each prediction.

While loading, a forest takes nearly twice its file size in memory, often more than everything else together. So its
pickle is read tree by tree: the arrays go to an unnamed temporary file, and only their positions are kept. To predict,
each core reads a tree, lets scikit-learn's own code process all rows, and continues with the next.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

_NUMERIC = ("RandomForestRegressor", "ExtraTreesRegressor")
_LARGE = 4096  # bytes; larger arrays and texts are not kept while the pickle is read


class StoredTree:
    """A tree whose arrays are in a file."""

    def __init__(self, reader: _Reader, shape: tuple[Any, ...]) -> None:
        self._reader: _Reader | None = reader
        self._file = reader.store
        self._shape = shape
        self._rest: dict[str, Any] = {}
        self._arrays: dict[str, tuple[int, np.dtype[Any], tuple[int, ...]]] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        assert self._reader is not None
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                self._arrays[name] = (self._file.tell(), value.dtype, value.shape)
                self._file.write(np.ascontiguousarray(value).data)
            else:
                self._rest[name] = value
        self._reader.forget()
        self._reader = None

    def tree(self) -> Any:
        from sklearn.tree._tree import Tree

        tree = Tree(*self._shape)
        tree.__setstate__({**self._rest, **{name: self._array(*place) for name, place in self._arrays.items()}})
        return tree

    def _array(self, place: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        size = dtype.itemsize * int(np.prod(shape))
        return np.frombuffer(os.pread(self._file.fileno(), size, place), dtype).reshape(shape)


class StoredForest:
    """Predicts like `RandomForestRegressor.predict`."""

    def __init__(self, trees: list[Callable[[], Any]], cores: int) -> None:
        self.trees, self.cores = trees, cores

    def predict(self, rows: Any) -> npt.NDArray[np.float64]:
        cells = np.ascontiguousarray(rows, dtype=np.float32)
        with ThreadPoolExecutor(self.cores) as threads:
            sums = list(threads.map(lambda core: self._sum(cells, core), range(self.cores)))
        total: npt.NDArray[np.float64] = np.sum(sums, axis=0) / len(self.trees)
        return total

    def _sum(self, cells: npt.NDArray[np.float32], core: int) -> npt.NDArray[np.float64]:
        total = np.zeros(len(cells))
        for tree in self.trees[core :: self.cores]:
            total += tree().predict(cells).reshape(len(cells))
        return total


class _Reader(pickle._Unpickler):
    """Reads a model without building its trees; the C unpickler would keep all their arrays until the end."""

    memo: dict[int, Any]

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.store = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the forest
        self._looked_at = 0

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("sklearn.tree._tree", "Tree"):
            return lambda *shape: StoredTree(self, shape)
        return super().find_class(module, name)

    def forget(self) -> None:
        """Drop the arrays read since the last call; each is used once."""
        for number in range(self._looked_at, len(self.memo)):
            if _large(self.memo[number]):
                self.memo[number] = None
        self._looked_at = len(self.memo)


def _large(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return bool(value.nbytes > _LARGE)
    if isinstance(value, bytes):
        return len(value) > _LARGE
    if isinstance(value, dict):
        return any(_large(each) for each in value.values())
    return isinstance(value, tuple) and any(_large(each) for each in value)


def keep_on_disk(cores: int) -> None:
    """Make AutoGluon load numeric forests as `StoredForest`, including those in bags."""

    def load(cls: Any, path: str, reset_paths: bool = True, verbose: bool = True) -> Any:
        model = read(Path(path) / cls.model_file_name, cores)
        if model is None:
            return _load_whole()(cls, path, reset_paths=reset_paths, verbose=verbose)
        if reset_paths:
            model.set_contexts(path)
        return model

    _replace_load(load)


def keep_in_memory() -> None:
    """Make AutoGluon load numeric forests whole, but predict as `StoredForest`, with one core.

    For a few rows, what scikit-learn does around each tree takes ten times as long as the tree.
    """

    def load(cls: Any, path: str, reset_paths: bool = True, verbose: bool = True) -> Any:
        model = _load_whole()(cls, path, reset_paths=reset_paths, verbose=verbose)
        if type(model.model).__name__ in _NUMERIC:
            model.model = StoredForest([partial(getattr, each, "tree_") for each in model.model.estimators_], 1)
        return model

    _replace_load(load)


@cache
def _load_whole() -> Callable[..., Any]:
    """AutoGluon's own, from before it was replaced: a process may load several models."""
    from autogluon.tabular.models import RFModel

    found: Callable[..., Any] = RFModel.load.__func__
    return found


def _replace_load(load: Callable[..., Any]) -> None:
    from autogluon.tabular.models import RFModel

    _load_whole()
    RFModel.load = classmethod(load)


def read(path: Path, cores: int) -> Any:
    """AutoGluon's model from the pickle, with its forest on disk; None if it is another kind of forest."""
    with path.open("rb") as file:
        reader = _Reader(file)
        model = reader.load()
    if type(model.model).__name__ not in _NUMERIC:
        reader.store.close()
        return None
    reader.store.flush()
    model.model = StoredForest([each.tree_.tree for each in model.model.estimators_], cores)
    weakref.finalize(model.model, reader.store.close)
    return model
