"""Texts of configs: a small one for many tests, and Hypothesis strategies for any valid one."""

from __future__ import annotations

import json
import re
from functools import cache
from random import Random
from typing import Any

from hypothesis import strategies as st

from stepgluon.config.scalars import Unclear, resolve

ACCOUNT, REGION_OF_PARTITION = (
    "123456789012",
    {"aws": "ap-northeast-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"},
)
ODD = """ aZ09_-.,;:!?'"`{}[]()<>$&*#|%@\\/=+~^éßØ日本🐧"""
TYPES = ("ml.m5.large", "ml.m5.xlarge", "ml.c5.2xlarge", "ml.r5.4xlarge")


def penguins(*more: str, species: str = "adelie, gentoo", region: str = "eu-west-1") -> str:
    """A config with a model for each species, and more lines."""
    return "\n".join(
        [
            "name: penguins",
            f'account: "{ACCOUNT}"',
            f"region: {region}",
            "notify: [ml-team@example.com]",
            f"models: {{partition_by: species, values: [{species}], label: body_mass_g}}",
            *more,
            "",
        ]
    )


@cache
def columns() -> st.SearchStrategy[str]:
    """Names of columns, odd ones too: quotes, braces, apostrophes, other scripts, what looks like a variable."""
    odd = st.text(st.sampled_from(ODD), min_size=1, max_size=24)
    said = (
        "it's",
        'say "x"',
        "{a}",
        "${HOME}",
        "States.Format('{}')",
        "no",
        "010",
        "12:30",
        "null",
        "$.a",
        "体重",
        "1e3",
        "<<",
    )
    return st.one_of(st.sampled_from(("year", "island", "body mass (g)")), st.sampled_from(said), odd)


def _text(text: str, pick: Random) -> str:
    """The text in one of YAML's styles."""
    text = text.replace("${", "$${")
    styles = [json.dumps(text, ensure_ascii=False)]
    if "\n" not in text:
        styles.append("'" + text.replace("'", "''") + "'")
    try:
        plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./@-]*", text) and resolve(text) == text
    except Unclear:
        plain = False
    return pick.choice([*styles, text] if plain else styles)


def _written(value: Any, pick: Random, indent: int = 0) -> str:
    """YAML of a value: block or flow for lists and mappings, with comments here and there."""
    pad = "\n" + "  " * indent
    if isinstance(value, str):
        return _text(value, pick)
    if isinstance(value, dict) and value and pick.random() < 0.5:
        note = pick.choice(("", "  # a note: it's fine"))
        return "".join(f"{pad}{_text(k, pick)}: {_written(v, pick, indent + 1)}{note}" for k, v in value.items())
    if isinstance(value, list) and value and pick.random() < 0.5:
        return "".join(f"{pad}- {_written(v, pick, indent + 1)}" for v in value)
    return _flow(value, pick)


def _flow(value: Any, pick: Random) -> str:
    if isinstance(value, str):
        return _text(value, pick)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(k, pick)}: {_flow(v, pick)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(v, pick) for v in value) + "]"
    return _exponent(value) if isinstance(value, float) else json.dumps(value)


def _exponent(value: float) -> str:
    """5e-324 -> 5.0e-324: with a dot and a sign all versions of YAML read it alike."""
    digits, mark, power = repr(value).partition("e")
    return f"{digits if '.' in digits else digits + '.0'}{mark}{power}" if mark else digits


def _some(parts: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parts)


@cache
def _names(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(pattern, fullmatch=True)


_THRESHOLD = st.one_of(st.integers(1, 10**6), st.floats(0.001, 1e9))
_SHARE = st.sampled_from(("20%", "12.5%", "99 %"))
_LIMIT = st.one_of(_some({"threshold": _THRESHOLD}), _some({"better_than_median": _SHARE}))
_JUDGED = st.sampled_from(
    ({"metric": "accuracy"}, {"metric": "roc_auc", "at_least": 0.8}, {"metric": "rmse", "at_most": 5}, {"metric": "r2"})
)
_VALUE = st.text(st.sampled_from(ODD), max_size=20).filter(lambda text: "${" not in text)  # CloudFormation fills it in
_VARIABLES = st.dictionaries(_names(r"X[A-Z0-9_]{0,9}"), _VALUE, max_size=3)
_INSTANCE = {"type": st.sampled_from(TYPES), "volume_gb": st.integers(1, 16384)}
_JOB = {
    "instance": _some(_INSTANCE),
    "max_runtime": st.sampled_from(("1h", "90m", "7200s", "48h")),
    "environment": _VARIABLES,
}
_TRAIN = _JOB | {
    "presets": st.sampled_from(("medium_quality", "good_quality", "high_quality", "best_quality")),
    "time_limit": st.sampled_from(("1s", "90s", "10m", "59m")),
    "spot": st.booleans(),
}
_RETRIES = {"throttling": st.integers(0, 99), "quota": st.integers(0, 99), "job": st.integers(0, 10)}
_TAG = st.text(st.sampled_from("aZ09 _.:/=+-@é日"), min_size=1, max_size=20)
_DATA = {
    "format": st.sampled_from(("auto", "csv", "parquet", "jsonl")),
    "test_fraction": st.floats(0.01, 0.99),
    "seed": st.integers(0, 2**32 - 1),
}
_NOTIFY = st.lists(_names(r"[a-z0-9'+]{1,9}@[a-z]{1,9}\.(com|co\.jp)"), min_size=1, max_size=3, unique=True)


@st.composite
def _rows(draw: st.DrawFn, label: str, i: int) -> dict[str, Any]:
    """A where of which each model has another."""
    scalar = st.one_of(columns(), st.integers(-9, 9), st.booleans(), st.floats(-9, 9))
    where = draw(st.dictionaries(columns(), st.one_of(scalar, st.lists(scalar, min_size=1, max_size=3)), max_size=2))
    where = {column: value for column, value in where.items() if column not in (label, "group")}
    return {**where, **({"group": i} if label != "group" else {"other group": i})}


@st.composite
def _models(draw: st.DrawFn, bucket: str | None) -> Any:
    if draw(st.integers(0, 4)) == 0:
        values = draw(st.lists(_names(r"[A-Z]{1,3}"), min_size=1, max_size=6, unique=True))
        values = draw(st.sampled_from((values, list(range(len(values))))))
        return {"partition_by": "group", "values": values, "label": "body_mass_g", "train": draw(_some(_TRAIN))}
    names = draw(st.lists(_names(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?"), min_size=1, max_size=6, unique_by=_folded))
    return [draw(_model(name, i, bucket)) for i, name in enumerate(names)]


def _folded(name: str) -> str:
    return re.sub(r"-+", "-", name)


@st.composite
def _model(draw: st.DrawFn, name: str, i: int, bucket: str | None) -> dict[str, Any]:
    judged = draw(st.one_of(_LIMIT, _JUDGED))
    # A column has classes or numbers, whichever model predicts it.
    label = draw(columns()) + (" as classes" if judged.get("metric") in ("accuracy", "roc_auc") else "")
    drop = draw(st.lists(columns().filter(lambda column: column != label), max_size=3, unique=True))
    model = {"name": name, "label": label, "where": draw(_rows(label, i))}
    model |= draw(_some({"drop": st.just(drop), "train": _some(_TRAIN)})) | judged
    if bucket and draw(st.booleans()):
        model["default_model"] = f"s3://{bucket}/models/{name}/"
    return model


@st.composite
def valid_configs(draw: st.DrawFn) -> str:
    """The text of any valid config: every key there is, 1 to 6 models, environments, overrides, odd columns."""
    partition = draw(st.sampled_from(sorted(REGION_OF_PARTITION)))
    region, name = REGION_OF_PARTITION[partition], draw(_names(r"[a-z]([a-z0-9-]{0,9}[a-z0-9])?").filter(_free))
    environments = draw(st.booleans())
    bucket = None if environments else f"{name}-work-{ACCOUNT}-{region}"
    config = {
        "name": name,
        "account": ACCOUNT,
        "region": region,
        "notify": draw(_NOTIFY),
        "models": draw(_models(bucket)),
    }
    network = {
        "subnets": ["subnet-0123abcd", "subnet-0123456789abcdef0"],
        "security_groups": ["sg-0123abcd"],
        "isolate": draw(st.booleans()),
        "encrypt_traffic": draw(st.booleans()),
    }
    key = f"arn:{partition}:kms:{region}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    tags = st.dictionaries(_TAG.filter(lambda tag: not tag.startswith("aws:") and tag != "stepgluon"), _TAG, max_size=3)
    predict = _JOB | {"instance": _some({**_INSTANCE, "count": st.integers(1, 100)})}
    optional = {
        "data": _some(_DATA),
        "train": _some(_TRAIN),
        "prepare": _some(_JOB),
        "predict": _some(predict),
        "postprocess": _some(_JOB),
        "retries": _some(_RETRIES),
        "network": st.just(network),
        "encryption": st.sampled_from(({"kms_key": key}, {"kms_key": None}, {})),
        "tags": tags.filter(lambda tags: len({tag.lower() for tag in tags}) == len(tags)),
    }
    config |= draw(_some(optional))
    choices = {"when": st.sampled_from(("each", "any")), "if_missing": st.sampled_from(("fail", "use_trained"))}
    config["fallback"] = {**draw(_LIMIT), **draw(_some(choices))}
    if environments:
        overlay = {"data": _some(_DATA), "train": _some(_TRAIN), "retries": _some(_RETRIES), "notify": _NOTIFY}
        config["environments"] = draw(st.dictionaries(_names(r"[a-z][a-z0-9]{0,7}"), _some(overlay), max_size=3))
    # How it is written is one draw: a draw for each word takes longer than what is tested.
    pick = Random(draw(st.integers(0, 2**32 - 1)))
    return "".join(f"{key}: {_written(config[key], pick, 1)}\n" for key in pick.sample(sorted(config), len(config)))


def _free(name: str) -> bool:
    return not name.startswith(("xn--", "sthree-", "amzn-s3-demo-"))
