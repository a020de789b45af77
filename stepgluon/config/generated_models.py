"""Completes the models: writes out generated ones, and merges each model's `train` over the top-level one.

Without values, the config has a template of the models that a run finds in the data: found_models.py.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace

from stepgluon.config import found_models
from stepgluon.config.job_schema import AUTOGLUONS
from stepgluon.config.keys import meant, unknown_key
from stepgluon.config.kinds import NO_ROW_VALUE, is_row_value
from stepgluon.config.nodes import BROKEN, Broken, Node, join, merge
from stepgluon.config.schema import Model
from stepgluon.errors import Problem, found

_MADE = ("name", "where")  # what a generated model gets from its value
_OF_MODELS = [name for name in Model.entries if name not in _MADE]
_KEYS = ["partition_by", "values", *found_models.OWN, *_OF_MODELS]


def written_out(tree: Node) -> tuple[Node, Node | None, list[Problem]]:
    """The tree with a list of whole models; and the node of `partitioned` if that is their template."""
    models, fan_out = tree.value.get("models"), tree.value.get("fan_out")
    problems: list[Problem] = []
    partitioned = None
    if models is not None and isinstance(models.value, dict):
        problems = list(_problems(models))
        whole = not problems
        if whole and found_models.of(models):
            partitioned = found_models.section(models)
            problems = list(found_models.problems(models))
        tree = replace(tree, value={**tree.value, "models": _generated(models, whole)})
    if fan_out is not None and not partitioned and not problems:
        message = "this applies to models for values found in the data (remove it, or use partition_by without values)"
        problems.append(Problem(fan_out.name_place, fan_out.key, message))
    tree, more = _with_train(tree)
    return tree, partitioned, problems + more


def _problems(node: Node) -> Iterator[Problem]:
    column, values = node.value.get("partition_by"), node.value.get("values")
    tried = {meant(name, _KEYS) for name in node.value if name not in _KEYS}
    single = column is None and values is None and "partition_by" not in tried
    for name, child in node.value.items():
        if name in _MADE and single:
            continue
        if name in _MADE:
            message = "this is made from the values of partition_by (remove it, or write the models as a list)"
            yield Problem(child.name_place, child.key, message)
        elif name in found_models.OWN and "values" in node.value:
            message = "this applies to values found in the data (remove it, or remove values)"
            yield Problem(child.name_place, child.key, message)
        elif name not in _KEYS:
            yield Problem(child.name_place, child.key, unknown_key(name, _KEYS))
    if single:
        given = ("name: NAME", *(f"{name}: …" for name in ("where", *_OF_MODELS) if name in node.value))
        message = f"this is not a list (write one, like [{{{', '.join(given)}}}], or give partition_by: COLUMN for a "
        message += "model for each of its values)"
        yield Problem(node.place, node.key, message)
        return
    if column is None and "partition_by" not in tried:
        message = "this key is missing (the column whose values make the models)"
        yield Problem(node.place, join(node.key, "partition_by"), message)
    elif column and not isinstance(column.value, Broken) and (not isinstance(column.value, str) or not column.value):
        yield Problem(column.place, column.key, f"{column.shown} names no column (text is expected)")
    if values and (not isinstance(values.value, (list, Broken)) or not values.value):
        wrong = "the list is empty" if values.value == [] else f"{values.shown} is not a list"
        yield Problem(values.place, values.key, f"{wrong} (a list of values like [Biscoe, Dream] is expected)")
    elif values and isinstance(values.value, list):
        for one in values.value:
            if not isinstance(one.value, Broken) and (one.value == "" or not is_row_value(one.value)):
                yield Problem(one.place, one.key, f"{one.shown} {NO_ROW_VALUE}")


def _generated(node: Node, whole: bool) -> Node:
    """A list with one model for each value, or with one representative if the values are unknown."""
    rest = {name: child for name, child in node.value.items() if name in _OF_MODELS}
    for name, child in node.value.items():
        if name not in (*_KEYS, *_MADE) and (other := meant(name, _KEYS)) in _OF_MODELS:
            rest.setdefault(str(other), replace(child, value=BROKEN))  # not missing, but misspelt, which is reported
    column, values = node.value.get("partition_by"), node.value.get("values")
    if whole and column and not values and not isinstance(column.value, Broken):
        rest = {name: child for name, child in rest.items() if found_models.suited(name)}
        return replace(node, value=[replace(node, value={"name": replace(column, value=slug(column.value)), **rest})])
    known = whole and column and values and not any(isinstance(one.value, Broken) for one in (column, values))
    if not known or any(isinstance(one.value, Broken) for one in values.value):
        node = replace(node, sure=False)
        return replace(node, value=[_model(node, "x", replace(node, value="x"), rest)])
    return replace(node, value=[_model(node, column.value, value, rest) for value in values.value])


def _model(node: Node, column: str, value: Node, rest: dict[str, Node]) -> Node:
    name = replace(value, value=slug(value.value))
    return replace(node, value={"name": name, "where": replace(value, value={column: value}), **rest})


def slug(value: object) -> str:
    """The value as a model's name: `Île d'Or` -> Ile-d-Or; a hash if the name would be empty or too long."""
    text = found(value) if not isinstance(value, str) else value
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    slug = re.sub(r"[^A-Za-z0-9]+", "-", ascii_text).strip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    if not slug:
        return f"value-{digest}"
    return slug if len(slug) <= 63 else f"{slug[:56].rstrip('-')}-{digest}"


def _with_train(tree: Node) -> tuple[Node, list[Problem]]:
    """Merge each model's train keys over the top-level ones."""
    train, models = tree.value.get("train"), tree.value.get("models")
    if models is None or not isinstance(models.value, list):
        return tree, []
    merged: list[Node] = []
    problems: list[Problem] = []
    for model in models.value:
        if isinstance(model.value, dict):
            own = model.value.get("train")
            problems += _of_autogluon(model, own)
            if train is not None:
                model = replace(model, value={**model.value, "train": train if own is None else merge(train, own)})
        merged.append(model)
    return replace(tree, value={**tree.value, "models": replace(models, value=merged)}), problems


def _of_autogluon(model: Node, train: Node | None) -> Iterator[Problem]:
    """Only found before merging: what `train` says for all models may concern the others."""
    algorithm = model.value.get("algorithm")
    if algorithm is None or algorithm.value is None or train is None or not isinstance(train.value, dict):
        return
    for name in AUTOGLUONS & train.value.keys():
        message = "only AutoGluon uses this, but another algorithm trains the model (remove it)"
        yield Problem(train.value[name].name_place, train.value[name].key, message)
