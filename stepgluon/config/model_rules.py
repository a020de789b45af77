"""Rules about models: their thresholds, names, columns and defaults. rules.py has the other rules, and runs all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from stepgluon.config.findings import Finding as Finding  # other rules find both here
from stepgluon.config.findings import models_of as models_of
from stepgluon.config.metrics import METRICS, Metric
from stepgluon.config.schema import Fallback, Model, PipelineConfig
from stepgluon.errors import did_you_mean, found
from stepgluon.names import Names, short

ROW_ID = "stepgluon_row"  # the column that keeps the input's order
_FILE = re.compile(
    r"\.(json|tar|t?gz|zip|pkl|pickle|joblib|bin|pt|pth|onnx|csv|parquet|ya?ml|txt|log|md)$", re.IGNORECASE
)


def repeated(key: str, values: Iterable[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for i, value in enumerate(values):
        if value in seen:
            yield Finding(f"{key}[{i}]", f"{found(value)} is given twice (remove one)")
        seen.add(value)


_LIMITS = ("threshold", "at_most", "at_least", "better_than_median")


def one_limit_for_each_place(config: PipelineConfig) -> Iterator[Finding]:
    places: list[tuple[str, Metric, Model | Fallback]] = [("fallback", METRICS["mae"], config.fallback)]
    places += [(key, model.judged, model) for key, model in models_of(config)]
    for key, metric, place in places:
        given = [name for name in _LIMITS if _suits(metric, name) and getattr(place, name, None) is not None]
        if len(given) > 1:
            message = f"{given[0]} and {given[1]} both limit the error (give one; null removes an inherited one)"
            yield Finding(f"{key}.{given[1]}", message, (f"{key}.{given[0]}", f"{key}.metric"))


def limits_suit_the_metric(config: PipelineConfig) -> Iterator[Finding]:
    for key, model in models_of(config):
        metric = model.judged
        for name in _LIMITS:
            value, message = getattr(model, name), ""
            if value is None:
                continue
            shown, meant = f"{value:.15g}", _meant(metric, value)
            if name == "better_than_median" and not _suits(metric, name):
                message = f"this limits only mae, but {model.metric} judges the model (write {metric.limit})"
            elif not _suits(metric, name):
                better = "higher" if metric.higher else "lower"
                possible = metric.lowest < float(meant) <= metric.highest
                message = f"a {better} {model.metric} is better (write {metric.limit}{f': {meant}' * possible})"
            elif not metric.lowest < value <= metric.highest:
                ends = [f"above {metric.lowest}"] if metric.lowest == 0 else []
                ends += [f"{'' if ends else 'of '}at most {metric.highest}"] if metric.highest == 1 else []
                way_out = f"write {meant}" if meant != shown else f"a number {' and '.join(ends)} is expected"
                message = f"{shown} is not a possible limit for {model.metric} ({way_out})"
            if message:
                yield Finding(f"{key}.{name}", message, (f"{key}.metric",))


def quantiles_suit_the_metric(config: PipelineConfig) -> Iterator[Finding]:
    for key, model in models_of(config):
        of_quantile = model.metric == "quantile_loss"
        if of_quantile and model.quantile is None:
            yield Finding(f"{key}.quantile", "this key is missing (which quantile the model predicts, like 0.9)")
        elif not of_quantile and model.quantile is not None:
            message = f"{model.metric} judges no quantile (write metric: quantile_loss, or remove this)"
            yield Finding(f"{key}.quantile", message, (f"{key}.metric",))


def labels_are_numbers_or_classes(config: PipelineConfig) -> Iterator[Finding]:
    """The result has one column for a label's predictions."""
    seen: dict[str, tuple[str, Model]] = {}
    for key, model in models_of(config):
        first_key, first = seen.setdefault(model.label, (key, model))
        if first.judged.classes != model.judged.classes:
            kinds = ["classes" if one.judged.classes else "numbers" for one in (model, first)]
            message = (
                f"{model.metric} treats {found(model.label)} as {kinds[0]}, but {first.metric}, in {first.name}, as "
                f"{kinds[1]} (choose metrics of one kind)"
            )
            relies_on = (f"{key}.label", f"{first_key}.label", f"{first_key}.metric", f"{first_key}.name")
            yield Finding(f"{key}.metric", message, relies_on)


def _suits(metric: Metric, limit: str) -> bool:
    if limit == "better_than_median":
        return metric is METRICS["mae"]
    return limit == metric.limit or (limit == "threshold" and not metric.higher)


def _meant(metric: Metric, value: float) -> str:
    """The limit as it was meant: 85 for accuracy is a percentage."""
    return f"{value / 100 if metric.highest == 1 and 2 <= value <= 100 else value:.15g}"


def names_stay_different(config: PipelineConfig) -> Iterator[Finding]:
    seen: dict[str, tuple[str, str]] = {}
    for key, model in models_of(config):
        for kind, form in (("", re.sub(r"[-_]+", "-", model.name).lower()), ("job:", short(model).lower())):
            first_key, first = seen.setdefault(kind + form, (key, model.name))
            if first_key == key:
                continue
            if first == model.name:
                message = f"two models have the name {model.name} (rename one)"
            elif kind:
                message = f"{model.name} and {first} both become {form} in job names (rename one)"
            else:
                message = (
                    f"{model.name} and {first} differ only in case, - or _"
                    " (rename one: their jobs would have the same names)"
                )
            yield Finding(f"{key}.name", message, (f"{first_key}.name",))
            break


def default_models_are_the_pipelines_own(config: PipelineConfig) -> Iterator[Finding]:
    places = [("fallback", config.fallback.default_model)]
    places += [(key, model.default_model) for key, model in models_of(config) if model.default_model is not None]
    for key, uri in places:
        if uri != "promoted" and (message := _refused_model(config, uri)):
            relies_on = ("name", "account", "region") if uri.startswith("s3://") else ()
            yield Finding(f"{key}.default_model", message, relies_on)


def _refused_model(config: PipelineConfig, uri: str) -> str | None:
    match = re.fullmatch(r"s3://([^/]+)/(.*)", uri, re.DOTALL)
    if match is None:
        guess = "; did you mean promoted?" if did_you_mean(uri, ["promoted"]) else ""
        return f"{found(uri)} is not a place for a model (expected: promoted, or s3://BUCKET/FOLDER/{guess})"
    bucket, path = match.groups()
    names = Names(config)
    work = names.work_bucket
    if bucket == names.raw_bucket:
        reason = "a model is code, and users who upload data could replace it in the raw bucket"
        return f"{reason} (copy the model to s3://{work}/models/ and name that)"
    if bucket != work:
        return f"{found(bucket)} is not this pipeline's bucket (copy the model to s3://{work}/models/ and name that)"
    if re.search(r"(^|/)\.\.?(/|$)", path):
        return f"{found(path)} has a part . or .., which S3 takes for a name (write the folder's own path)"
    if not path.strip("/") or "//" in path or not re.fullmatch(r"[A-Za-z0-9!_.*'()/=+@:,-]+", path):
        return f"{found(path)} is not usable as a folder (expected: letters, digits, - _ . = and single /)"
    # Earlier versions wrote models to runs/<run>/models/. There, a job may write below prepared/ and result/ alone.
    ours = r"(config|failures|markers|predictions|promoted)(/|$)|runs(/[^/]*(/(?!models/).*)?)?$"
    if re.match(rf"{ours}|runs/(.*/)?(prepared|result)(/|$)", path):
        return f"{found(path)} is written by the pipeline itself (expected: a folder below models/)"
    if _FILE.search(path):
        return f"{found(path)} is a file (expected: the folder of a model, as a training leaves it)"
    return None


def columns_make_sense(config: PipelineConfig) -> Iterator[Finding]:
    for key, model in models_of(config):
        label = found(model.label)
        if model.label in model.where:
            message = (
                f"the label {label} is also in where, but rows to predict have no label yet"
                " (choose the rows by another column)"
            )
            yield Finding(f"{key}.label", message, (f"{key}.where",))
        for i, column in enumerate(model.drop):
            if column == model.label:
                yield Finding(
                    f"{key}.drop[{i}]",
                    f"{label} is the model's label (remove it: a label is never an input)",
                    (f"{key}.label",),
                )
        yield from repeated(f"{key}.drop", model.drop)
        for place, column in [
            ("label", model.label),
            *(("where", c) for c in model.where),
            *((f"drop[{i}]", c) for i, c in enumerate(model.drop)),
        ]:
            if column == ROW_ID:
                yield Finding(f"{key}.{place}", f"the column {ROW_ID} is added by the pipeline itself (rename yours)")


def models_do_not_repeat(config: PipelineConfig) -> Iterator[Finding]:
    seen: dict[object, tuple[str, str]] = {}
    for key, model in models_of(config):
        rows = {
            column: tuple(sorted((type(v).__name__, str(v)) for v in (value if isinstance(value, list) else [value])))
            for column, value in model.where.items()
        }
        first_key, first = seen.setdefault((model.label, tuple(sorted(rows.items()))), (key, model.name))
        if first_key != key:
            message = (
                f"{model.name} predicts {found(model.label)} for the same rows as {first}"
                " (give them different where, or remove one)"
            )
            relies_on = tuple(f"{k}.{part}" for k in (key, first_key) for part in ("label", "where", "name"))
            yield Finding(f"{key}.where", message, relies_on)
