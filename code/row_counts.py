"""What prepare counts while it reads the rows, and the notes for the user that follow."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import programs
import pyarrow as pa
import pyarrow.compute as pc
from column_types import class_names
from job_io import LEAST_ROWS, counted, listed, shown
from metrics import has_classes, in_order
from model_parts import Parts, Splitter, as_kind

DECIMALS = 6  # a label with more is a measurement, whose predictions are not rounded
MOST = 1000  # distinct values that are kept of a column
MOST_CLASSES = 100
_LISTED = 8


@dataclass
class RowCounts:
    splitters: Sequence[Splitter]
    models: Sequence[Mapping[str, Any]]  # of the config
    rows: int = 0
    unselected: int = 0
    files: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    label_values: dict[str, set[Any]] = field(default_factory=dict)  # up to three
    where_values: dict[str, set[Any]] = field(default_factory=dict)
    decimals: dict[str, int] = field(default_factory=dict)  # of the labels
    classes: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)  # by model and part, if it learns classes

    _learnt: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch, parts: Sequence[Parts]) -> None:
        self.rows += batch.num_rows
        selected = np.zeros(batch.num_rows, dtype=bool)
        for part in parts:
            selected |= part.train | part.test | part.predict
        self.unselected += int((~selected).sum())
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            self.missing[name] = self.missing.get(name, 0) + values.null_count
        for label in self.labels():
            _keep(self.label_values.setdefault(label, set()), batch.column(label), 2)
            self.decimals[label] = decimals_of(batch.column(label), self.decimals.get(label, 0))
        for model, part in zip(self.models, parts, strict=True):
            if has_classes(model):
                self._count_classes(model, batch, part)
        for column in {column for each in self.splitters for column in each.where}:
            _keep(self.where_values.setdefault(column, set()), batch.column(column), MOST)

    def _count_classes(self, model: Mapping[str, Any], batch: pa.RecordBatch, parts: Parts) -> None:
        names = class_names(batch.column(model["label"]))
        counts = self.classes.setdefault(model["name"], {"train": Counter(), "test": Counter()})
        for part, counter in counts.items():
            for one in pc.value_counts(names.filter(pa.array(getattr(parts, part)))).to_pylist():
                if one["values"] in counter or len(counter) <= MOST_CLASSES:
                    counter[one["values"]] += one["counts"]

    def too_many(self) -> list[str]:
        return [
            f"Model {model['name']}: its label {shown(model['label'])} has more than {MOST_CLASSES} classes; choose "
            "another column, or remove metric to predict a number."
            for model in self.models
            if len(self.classes.get(model["name"], {"train": ()})["train"]) > MOST_CLASSES
        ]

    def learn_classes(self) -> None:
        """Let each model's program see its classes; raises JobError if it cannot learn them."""
        for model in self.models:
            if found := self.classes.get(model["name"]):
                self._learnt[model["name"]] = programs.for_classes(model, in_order(found["train"]))

    def learnt(self, model: str) -> dict[str, Any]:
        """What the classes decide of the model's training; see programs.py."""
        return self._learnt.get(model, {})

    def classes_of_labels(self) -> dict[str, list[str]]:
        found: dict[str, set[str]] = {}
        for model in self.models:
            for counter in self.classes.get(model["name"], {}).values():
                found.setdefault(model["label"], set()).update(counter)
        return {label: in_order(names) for label, names in found.items()}

    def can_train(self, model: str, rows: int) -> bool:
        """Whether there are enough rows, and for classes two with a row to learn from and one to validate with."""
        train = self.classes.get(model, {}).get("train")
        return rows >= LEAST_ROWS and (train is None or len([None for count in train.values() if count > 1]) > 1)

    def in_profile(self, models: Sequence[Mapping[str, Any]]) -> Any:
        """The profile's part `models`."""
        return [
            {**model, "can_train": self.can_train(model["name"], model["rows_train"]), **self.learnt(model["name"])}
            for model in models
        ]

    def labels(self) -> list[str]:
        return list(dict.fromkeys(each.label for each in self.splitters))

    def notes(self, profiles: Sequence[Mapping[str, Any]], open_gaps: Sequence[Mapping[str, Any]]) -> list[str]:
        """What a user may not have meant; the profiles count each model's rows, `open_gaps` is column_stats.py's."""
        found = [
            f"The label {shown(label)} has only two values ({', '.join(map(str, sorted(values)))}) and is predicted as "
            "a number; set metric: roc_auc or accuracy to learn classes."
            for label, values in self.label_values.items()
            if len(values) == 2 and label in {m["label"] for m in self.models if not has_classes(m)}
        ]
        found += [
            f"The label {shown(label)} is {next(iter(values))} in all rows that have one; there is nothing to learn."
            for label, values in self.label_values.items()
            if len(values) == 1 and label in {m["label"] for m in self.models if not has_classes(m)}
        ]
        found += self._about_models(profiles)
        return found + [sentence for gaps in open_gaps for sentence in _gaps_in_words(gaps)]

    def _about_models(self, profiles: Sequence[Mapping[str, Any]]) -> list[str]:
        found = []
        for model, splitter, profile in zip(self.models, self.splitters, profiles, strict=True):
            train = profile["rows_train"]
            if train + profile["rows_test"] + profile["rows_predict"] == 0:
                found.append(self._selects_nothing(model, splitter))
                continue
            found += self._values_without_rows(model, splitter)
            if has_classes(model):
                can_train = train < LEAST_ROWS or self.can_train(model["name"], train)
                found += _about_classes(model["name"], can_train, **self.classes[model["name"]])
            if train < LEAST_ROWS:
                some = f"{counted(train, 'row')} to learn from besides the held-out ones"
                none = f"no row with a value in {shown(model['label'])} to learn from"
                rows, needs = some if train + profile["rows_test"] else none, f"needs {LEAST_ROWS}"
                found.append(
                    f"Model {model['name']} has {rows}, and {needs}; only a promoted model can predict for it."
                )
        return found

    def _values_without_rows(self, model: Mapping[str, Any], splitter: Splitter) -> list[str]:
        found = []
        for column, wanted in model["where"].items():
            there, kind = self.where_values[column], splitter.where[column].type
            for value in wanted if isinstance(wanted, list) and len(there) <= MOST else []:
                if there.isdisjoint(as_kind(value, kind)):
                    hint = _hint(column, [value], there)
                    found.append(f"Model {model['name']}: no row has {_said(column)} = {shown(value)}{hint}")
        return found

    def selects_nothing(self) -> list[str]:
        """Why no model's where selects a row."""
        return [self._selects_nothing(*pair) for pair in zip(self.models, self.splitters, strict=True)][:_LISTED]

    def _selects_nothing(self, model: Mapping[str, Any], splitter: Splitter) -> str:
        conditions = []
        hint = ""
        for column, wanted in model["where"].items():
            options = wanted if isinstance(wanted, list) else [wanted]
            conditions.append(f"{_said(column)} = {' or '.join(map(shown, options))}")
            there = self.where_values[column]
            if not hint and not there & set(splitter.where[column].to_pylist()):
                hint = _hint(column, options, there)
        return f"Model {model['name']}: no row has {' and '.join(conditions)}{hint or '.'}"


def _about_classes(model: str, can_train: bool, train: Mapping[str, int], test: Mapping[str, int]) -> list[str]:
    """Classes with too few training rows to learn them."""
    unless = "" if can_train else "; a model needs two training rows in each of two classes"
    found, rare = [], in_order(name for name, rows in train.items() if rows == 1)
    if len(train) == 1:
        one = shown(next(iter(train)))
        found.append(f"Model {model}: all training rows have the class {one}; a model needs two classes.")
    elif rare:
        found.append(f"Model {model}: only one training row has the class {listed(rare)}, too few to learn it{unless}.")
    if unseen := in_order(set(test) - set(train)):
        found.append(f"Model {model}: no training row has the class {listed(unseen)}; all rows with it are held out.")
    return found


def _gaps_in_words(gaps: Mapping[str, Any]) -> list[str]:
    """`Stadt = Köln: 80 gaps, no model.`"""
    places = [
        f"{_said(column)} = {_said(value)}: {counted(rows, 'gap')}, no model."
        for column, values in gaps["where"].items()
        for value, rows in values
    ]
    more = min((gaps["rows"] - sum(rows for _, rows in values) for values in gaps["where"].values()), default=0)
    return [*places, f"Other values: {counted(more, 'gap')}, no model."] if more else places


def _hint(column: str, wanted: Sequence[Any], there: set[Any]) -> str:
    texts = sorted(str(_plain(value)) for value in there if value is not None)
    close = [each for one in wanted for each in difflib.get_close_matches(str(one), texts, 1)]
    if close:
        return f"; did you mean {' or '.join(map(shown, dict.fromkeys(close)))}?"
    more = ", …" if len(texts) > _LISTED else ""
    return f"; {shown(column)} has {', '.join(map(shown, texts[:_LISTED]))}{more}." if texts else "; it is empty."


def _keep(values: set[Any], column: pa.Array, most: int) -> None:
    """Add the column's values, until they are more than `most`."""
    if len(values) <= most:
        values.update(pc.unique(column.drop_null())[: most + 1].to_pylist())


def _plain(value: Any) -> Any:
    """A value for JSON."""
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _said(value: Any) -> str:
    """A value in a sentence, without quotes if it is a plain word."""
    if value is None:
        return "(empty)"
    text = str(value)
    return text if text.isprintable() and text.strip() == text and 0 < len(text) <= 60 else shown(value)


def decimals_of(values: pa.Array, least: int) -> int:
    """How many decimals the values have, at least `least`; more than DECIMALS are not counted further."""
    if pa.types.is_floating(values.type):
        numbers = values.drop_null().to_numpy()
        while least <= DECIMALS and not np.array_equal(np.round(numbers, least), numbers):
            least += 1
    return least
