"""The text of a config proposed from tables, for `init`."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from stepgluon.config.generated_models import slug
from stepgluon.config.load import loads
from stepgluon.config.rules import RESERVED_NAMES
from stepgluon.config.scalars import Unclear, resolve
from stepgluon.errors import ConfigError
from stepgluon.limits import PREFIX

_TEXT = """\
# yaml-language-server: $schema={schema}
# From: {command}
# To deploy, add account, region and notify; docs/reference/config.md explains every key.
name: {name}
models:
{models}
{data}{fallback}train:
  time_limit: 60s # for each model; more time gives better models
"""
_FALLBACK = """\
fallback:
  better_than_median: 20% # the error must be this much lower than that of always guessing the median
"""


def new_config(
    name: str, label: str, found: Mapping[str, Any], schema: str, command: str, data: Mapping[str, str]
) -> tuple[str, bool]:
    """Return the config's text, and whether it has a model for each value of a column."""
    options = "".join(["data:\n", *(f"  {key}: {value}\n" for key, value in data.items())]) if data else ""
    classes = found.get("classes", [])
    known = {"schema": schema, "command": _printable(command), "name": name, "data": options}
    text = _TEXT.format(**known, models="{models}", fallback="" if classes else _FALLBACK)
    drop = [f"drop: [{', '.join(map(_yaml, found['identifiers']))}] # identifiers"] if found["identifiers"] else []
    if found["splits"]:
        split = found["best"]
        lines = [
            f"partition_by: {_yaml(split['column'])} # {errors(found)}",
            f"values: [{', '.join(map(_yaml, split['values']))}]",
            f"label: {_yaml(label)}",
            *drop,
        ]
        whole = text.replace("{models}", "\n".join(f"  {line}" for line in lines))
        try:
            loads(whole, "config", None, {})
            return whole, True
        except ConfigError:  # values like `a b` and `a-b` give two models one name
            pass
    drop += _of_classes(found) if classes else []
    lines = [f"- name: {_yaml(slug(label))}", f"  label: {_yaml(label)}", *(f"  {line}" for line in drop)]
    return text.replace("{models}", "\n".join(f"  {line}" for line in lines)), False


def errors(found: Mapping[str, Any]) -> str:
    """Describe the error of guessing, with and without the best split."""
    each, whole = found["best"]["error"], found["error_of_median"]
    return f"guessing each value's median is off by {each:.4g}, the overall median by {whole:.4g}"


def guess_of_class(found: Mapping[str, Any]) -> str:
    """Describe the share of the most frequent class."""
    name, rows = found["classes"][0]
    return f"always guessing {_yaml(name)} is right in {rows / found['labelled']:.0%} of the rows"


def _of_classes(found: Mapping[str, Any]) -> list[str]:
    """The metric and its limit: a fifth of what separates guessing from a perfect model."""
    share = found["classes"][0][1] / found["labelled"]
    if len(found["classes"]) == 2:
        return ["metric: roc_auc # two classes; guessing scores 0.5, a perfect model 1", "at_least: 0.6"]
    return [f"metric: accuracy # {guess_of_class(found)}", f"at_least: {min(0.99, share + (1 - share) / 5):.2f}"]


def pipeline_name(stem: str) -> str:
    """A name for a pipeline, from a file's: `2024 Übersicht.csv` -> ubersicht, or pipeline."""
    ascii_text = unicodedata.normalize("NFKD", stem.lower()).encode("ascii", "ignore").decode("ascii")
    name = re.sub(r"[^a-z0-9]+", "-", ascii_text).lstrip("-0123456789")[:PREFIX].strip("-")
    return name if name and not name.startswith(RESERVED_NAMES) else "pipeline"


def _yaml(value: str | int | bool) -> str:
    """Return the value in YAML, quoted if necessary."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        if re.fullmatch(r"[^\W\d][\w -]*(?<! )", value) and resolve(value) == value:
            return value
    except Unclear:
        pass
    return _escaped(json.dumps(value, ensure_ascii=False).replace("${", "$${"))


def _escaped(text: str) -> str:
    """Escape characters that YAML forbids or editors hide."""
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
