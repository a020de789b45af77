"""`compare A B`: what differs between two runs: config, errors, verdicts and rows, on one screen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from stepgluon.figures import aligned, took
from stepgluon.runs import headline
from stepgluon.runs.executions import read_json
from stepgluon.runs.history import finite, metric_of, number, score_of
from stepgluon.runs.run_list import started, state

SHOWN = 12  # changed settings
_ABSENT = "absent"


def compared(runs: tuple[dict[str, Any], dict[str, Any]], configs: tuple[Any, Any]) -> dict[str, Any]:
    """The differences as JSON; each pair has the values of the first and the second run."""
    by_name: list[dict[str, Any]] = [{model["name"]: model for model in record["models"]} for record in runs]
    names = list(dict.fromkeys([*by_name[0], *by_name[1]]))
    return {
        "runs": [{key: record.get(key) for key in _ROWS} | {"state": state(record)} for record in runs],
        "config": changed(configs),
        "configs_known": None not in configs,
        "models": [
            {
                "name": name,
                **{key: [one.get(name, {}).get(key) for one in by_name] for key in ("mae", "verdict", "uses")},
                "metric": [metric_of(one[name]) if name in one else None for one in by_name],
                "score": [score_of(one.get(name, {})) for one in by_name],
            }
            for name in names
        ],
        "headlines": [record.get("headline") for record in runs],
    }


_ROWS = ("run", "started", "seconds", "data", "note", "rows", "predictions", "gaps")


def changed(configs: tuple[Any, Any]) -> dict[str, list[Any]]:
    """The settings that differ, each with its values in the first and the second config."""
    first, second = (dict(_settings(config)) for config in configs)
    for model in {key.partition("].")[0] + "]" for key in (*first, *second) if key.startswith("models[")}:
        _leave_out_what_follows(model, first, second)
    return {
        key: [first.get(key, _ABSENT), second.get(key, _ABSENT)]
        for key in dict.fromkeys([*first, *second])
        if first.get(key, _ABSENT) != second.get(key, _ABSENT)
    }


def _leave_out_what_follows(model: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Leave out the settings of a model or an algorithm that only one config has, besides its label or its name."""
    both = (first, second)
    name, label = f"{model}.algorithm.name", f"{model}.label"
    if (label in first) != (label in second):
        follows = [key for one in both for key in one if key.startswith(f"{model}.") and key != label]
    elif first.get(name) != second.get(name):
        of_autogluon = (f"{model}.train.presets", f"{model}.train.time_limit")
        follows = [key for one in both for key in one if key.startswith(f"{model}.algorithm.") or key in of_autogluon]
        said = [f"{one.get(name, 'AutoGluon')} {one.get(f'{model}.algorithm.version', '')}".strip() for one in both]
        first[f"{model}.algorithm"], second[f"{model}.algorithm"] = said
    else:
        follows = [f"{model}.algorithm.{key}" for key in ("channels", "encoded")]
        follows += [f"{model}.algorithm.image"] if f"{model}.algorithm.version" in first else []
    for key in follows:
        first.pop(key, None)
        second.pop(key, None)


def change(key: str, values: list[Any]) -> str:
    """`train.time_limit: 60 → 90`."""
    return f"{key}: {_value(values[0])} → {_value(values[1])}"


def config_of(s3: Any, address: str) -> Any:
    """The config that a run was started with; None if it is gone."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return read_json(s3, bucket, key) if key else None


def _settings(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of a config with its path, like models[adelie].train.time_limit."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _settings(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and all(isinstance(one, Mapping) and "name" in one for one in value):
        for one in value:
            yield from _settings(one, f"{path}[{one['name']}]")
    elif path:
        yield path, value


def words(compared: dict[str, Any]) -> str:
    both = compared["runs"]
    rows = [
        ("", *(run["run"] for run in both)),
        ("started", *(started(run["started"]) for run in both)),
        ("state", *(run["state"] for run in both)),
        ("took", *(took(run["seconds"]) for run in both)),
        ("data", *(str(run["data"]).rstrip("/").rpartition("/")[2] for run in both)),
        ("note", *(run["note"] for run in both)),
        ("rows", *(_count(run["rows"]) for run in both)),
        ("gaps filled", *(_filled(run) for run in both)),
    ]
    lines = [*aligned([row for row in rows if any(row[1:])]), ""]
    settings = [f"  {change(key, values)}" for key, values in compared["config"].items()]
    more = [f"  and {len(settings) - SHOWN} more"] if len(settings) > SHOWN else []
    if not compared["configs_known"]:
        lines.append("The config of one of the runs is unknown.")
    else:
        lines += ["Config:", *settings[:SHOWN], *more] if settings else ["Both have the same config."]
    models = [
        (model["name"], *map(number, model["score"]), _change_of(model), _arrow(model["verdict"]))
        for model in compared["models"]
    ]
    what = "MAE" if all({*model["metric"]} <= {"mae", None} for model in compared["models"]) else "score"
    lines += ["", *aligned([("model", f"{what} of A", "of B", "change", "result"), *models])] if models else []
    counts = headline.compared(compared["headlines"])
    lines += ["", *aligned([("models of partitions", "A", "B"), *counts])] if counts else []
    return "\n".join(lines) + "\n"


def _count(count: Any) -> str:
    return f"{count:,}" if isinstance(count, int) else ""


def _filled(run: dict[str, Any]) -> str:
    return f"{run['predictions']:,} of {run['gaps']:,}" if run["predictions"] is not None and run["gaps"] else ""


def _change_of(model: dict[str, Any]) -> str:
    """Scores of different metrics cannot be compared."""
    judged = [metric for metric in model["metric"] if metric]
    return _change(*model["score"]) if len({*judged}) == 1 else _arrow(judged)


def _change(before: Any, after: Any) -> str:
    if finite(before) is None or finite(after) is None:
        return ""
    return "same" if before == after else f"{(after - before) / before:+.1%}" if before else ""


def _arrow(pair: list[Any]) -> str:
    first, second = (value or "-" for value in pair)
    return str(first) if first == second else f"{first} → {second}"


def _value(value: Any) -> str:
    text = f"{value:.10g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    text = value if isinstance(value, str) else text
    return text if len(text) <= 40 else f"{text[:39]}…"
