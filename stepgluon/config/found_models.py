"""Models for the values that a run finds in a column: `models: {partition_by: COLUMN}` without values.

The config then has one model, the template of all of them, and `partitioned`.
"""

from __future__ import annotations

from collections.abc import Iterator

from stepgluon.config.findings import Finding
from stepgluon.config.model_rules import ROW_ID
from stepgluon.config.nodes import Node
from stepgluon.config.schema import PipelineConfig
from stepgluon.errors import Problem, found

OWN = ("min_rows", "otherwise")
OTHERS = " with enough rows, and one for the others"  # after "one for each …", if small partitions share a model
_LIST = "remove it, or list values"
_UNSUITED = {
    "algorithm": f"only AutoGluon trains models for values found in the data ({_LIST})",
    "tune": "AutoGluon searches by itself, for train.time_limit (remove it)",
    "register": f"models for values found in the data are not registered ({_LIST})",
    "monitor": f"models for values found in the data are not monitored ({_LIST})",
    "default_model": f"models for values found in the data fall back on promoted ones only ({_LIST})",
}


def of(models: Node | None) -> bool:
    """Whether the values are to be found in the data."""
    given = models.value if models is not None and isinstance(models.value, dict) else {}
    return "partition_by" in given and "values" not in given


def section(models: Node) -> Node:
    """The node of the section `partitioned`."""
    named = {"column": models.value["partition_by"], **{key: models.value[key] for key in OWN if key in models.value}}
    return Node(models.key, models.place, models.name_place, named, models.sure)


def problems(models: Node) -> Iterator[Problem]:
    for name, child in models.value.items():
        shared = child.value.get("shared") if name == "serve" and isinstance(child.value, dict) else None
        if name in _UNSUITED and child.value is not None:
            yield Problem(child.name_place, child.key, _UNSUITED[name])
        elif name == "serve" and child.value is not None and (shared is None or shared.value is False):
            message = "models for values found in the data share one endpoint (write {shared: true}, or list values)"
            yield Problem(child.name_place, child.key, message)


def suited(name: str) -> bool:
    """Whether the template keeps this key: no rule needs to look at one that was refused."""
    return name not in _UNSUITED


def found_models_are_possible(config: PipelineConfig) -> Iterator[Finding]:
    if config.partitioned is None:
        return
    column, model = config.partitioned.column, config.models[0]
    if config.predict.transforms:
        message = "models for values found in the data predict in the jobs of their groups (write job, or list values)"
        yield Finding("predict.with", message, ("models",))
    if config.predict.instance.count > 1:
        message = "the job that predicts with a group of models runs on one instance (write 1, or list values)"
        yield Finding("predict.instance.count", message, ("models",))
    if config.fallback.default_model != "promoted":
        yield Finding("fallback.default_model", _UNSUITED["default_model"].replace("remove it", "write promoted"))
    if config.max_cost is not None:
        message = "what a run may cost is not known before it has found the values (remove it, or list values)"
        yield Finding("max_cost", message, ("models",))
    if column == model.label:
        message = f"the label {found(column)} is also partition_by, but rows to predict have no label yet"
        yield Finding("models[0].label", f"{message} (partition by another column)", ("partitioned.column",))
    if column == ROW_ID:
        yield Finding("partitioned.column", f"the column {ROW_ID} is added by the pipeline itself (rename yours)")
