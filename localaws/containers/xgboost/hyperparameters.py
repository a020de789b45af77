"""The hyperparameters of sagemaker-xgboost: names, types, ranges, and rules between them.

From algorithm_mode/hyperparameter_validation.py of github.com/aws/sagemaker-xgboost-container at cb8df91 (June 2026).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from localaws.containers.xgboost.errors import UserError, unknown_locally

MAXIMIZE = "accuracy auc aucpr balanced_accuracy f1 f1_binary f1_macro map ndcg precision r2 recall precision_macro"
MAXIMIZE += " precision_micro recall_macro recall_micro"
MINIMIZE = "aft-nloglik cox-nloglik error gamma-deviance gamma-nloglik interval-regression-accuracy logloss mae mape"
MINIMIZE += " merror mlogloss mphe mse poisson-nloglik rmse rmsle tweedie-nloglik"
METRICS = [*MAXIMIZE.split(), *MINIMIZE.split()]

# The ranges are written as the container's errors show them.
INTEGERS = {
    "num_round": "[1, +inf)",
    "csv_weights": "[0, 1]",
    "early_stopping_rounds": "[1, +inf)",
    "verbosity": "[0, 3]",
    "nthread": "[1, +inf)",
    "max_depth": "[0, +inf)",
    "refresh_leaf": "[0, 1]",
    "max_leaves": "[0, +inf)",
    "max_bin": "[0, +inf)",
    "one_drop": "[0, 1]",
    "num_class": "[2, +inf)",
    "_kfold": "[2, +inf)",
    "_num_cv_round": "[1, +inf)",
    "seed": "(-2147483648, 2147483647)",
    "num_parallel_tree": "[1, +inf)",
    "prob_buffer_row": "(1.0, +inf)",
}
NUMBERS = {
    "eta": "[0, 1]",
    "gamma": "[0, +inf)",
    "min_child_weight": "[0, +inf)",
    "max_delta_step": "[0, +inf)",
    "subsample": "(0, 1]",
    "colsample_bytree": "(0, 1]",
    "colsample_bylevel": "(0, 1]",
    "colsample_bynode": "(0, 1]",
    "lambda": "[0, +inf)",
    "alpha": "[0, +inf)",
    "sketch_eps": "(0, 1)",
    "scale_pos_weight": "(0, +inf)",
    "rate_drop": "[0, 1]",
    "skip_drop": "[0, 1]",
    "lambda_bias": "[0, 1]",
    "tweedie_variance_power": "(1, 2)",
    "base_score": "[0, +inf)",
    "aft_loss_distribution_scale": "[0, +inf)",
}
WORDS = {
    "booster": "gbtree gblinear dart",
    "tree_method": "auto exact approx hist gpu_hist",
    "dsplit": "row col",
    "process_type": "default update",
    "grow_policy": "depthwise lossguide",
    "predictor": "auto cpu_predictor gpu_predictor",
    "sample_type": "uniform weighted",
    "normalize_type": "tree forest",
    "objective": "aft_loss_distribution binary:logistic binary:logitraw binary:hinge count:poisson multi:softmax "
    "multi:softprob rank:pairwise rank:ndcg rank:map reg:linear reg:squarederror reg:logistic reg:gamma "
    "reg:pseudohubererror reg:squaredlogerror reg:absoluteerror reg:tweedie survival:aft survival:cox",
    "_tuning_objective_metric": " ".join(f"validation:{metric}" for metric in METRICS),
    "save_model_on_termination": "true false",
    "aft_loss_distribution": "normal logistic extreme",
    "deterministic_histogram": "true false",
    "sampling_method": "uniform gradient_based",
    "use_dask_gpu_training": "true false",
}
_GROWERS = ("grow_colmaker", "distcol", "grow_histmaker", "grow_quantile_histmaker")
UPDATERS = ["grow_colmaker", "distcol", "grow_histmaker", "grow_skmaker", "sync", "refresh", "prune", "shotgun"]
UPDATERS += ["coord_descent"]
# `tunable=True` in the same source: the service refuses to tune any other.
TUNABLE = "alpha colsample_bylevel colsample_bynode colsample_bytree eta gamma lambda max_delta_step max_depth"
TUNABLE += " min_child_weight num_round subsample"
ALIASES = {"learning_rate": "eta", "min_split_loss": "gamma", "reg_lambda": "lambda", "reg_alpha": "alpha"}


def validated(given: Mapping[str, str]) -> dict[str, Any]:
    """The values in their types; raises UserError with the container's sentence."""
    named = {ALIASES.get(name, name): value for name, value in given.items()}
    if "num_round" not in named:
        raise UserError("Missing required hyperparameter: num_round")
    values = {name: _parsed(name, value) for name, value in named.items()}
    for name, value in values.items():
        _check_range(name, value)
    _check_rules(values)
    _check_available(values)
    return values


def _parsed(name: str, value: str) -> Any:
    parsers: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys(INTEGERS, int),
        **dict.fromkeys(NUMBERS, float),
        **dict.fromkeys(WORDS, str),
        **dict.fromkeys(("eval_metric", "updater"), lambda text: text.split(",")),
        **dict.fromkeys(("monotone_constraints", "interaction_constraints"), ast.literal_eval),
    }
    if name not in parsers:
        raise UserError(f"Extraneous hyperparameter found: {name}")
    try:
        return parsers[name](value)
    except (ValueError, SyntaxError) as problem:
        kind = type(problem).__name__
        raise UserError(f"Hyperparameter {name}: could not parse value (caused by {kind})") from None


def _check_range(name: str, value: Any) -> None:
    if interval := INTEGERS.get(name) or NUMBERS.get(name):
        if not within(value, interval):
            raise UserError(f"Hyperparameter {name}: {value} is not in {interval}")
    elif name in WORDS:
        if value not in WORDS[name].split():
            raise UserError(f"Hyperparameter {name}: {value} is not in {WORDS[name].split()}")
    elif name == "eval_metric":
        _check_each(name, value, all(_is_metric(metric) for metric in value), str(METRICS))
    elif name == "updater":
        _check_each(name, value, set(value) <= set(UPDATERS), str(UPDATERS))
    elif name == "monotone_constraints":
        _check_each(name, value, all(one in (-1, 0, 1) for one in value), "[-1, 0, 1]")
    else:
        _check_each(name, value, all(one >= 1 for group in value for one in group), "[1, +inf)")


def _check_each(name: str, value: Any, good: bool, allowed: str) -> None:
    if not good:
        raise UserError(f"Hyperparameter {name}: value {value} not in range {allowed}")


def within(value: float, interval: str) -> bool:
    low, high = (float(text) for text in interval[1:-1].split(", "))
    return (low <= value if interval[0] == "[" else low < value) and (
        value <= high if interval[-1] == "]" else value < high
    )


def _is_metric(metric: str) -> bool:
    name, at, threshold = metric.partition("@")
    if not at:
        return metric in METRICS
    if name.strip() not in ("error", "ndcg", "map"):
        raise UserError(
            f"Metric '{metric}' is not supported. Parameter 'eval_metric' with customized threshold should "
            "be one of these options: 'error', 'ndcg', 'map'."
        )
    try:
        float(threshold)
    except ValueError:
        raise UserError(f"Threshold value 't' in '{name.strip()}@t' expects float input.") from None
    return True


def _check_rules(values: Mapping[str, Any]) -> None:
    objective, method = values.get("objective", ""), values.get("tree_method")
    if objective in ("multi:softmax", "multi:softprob") and "num_class" not in values:
        raise UserError("Require input for parameter 'num_class' for multi-classification")
    metrics = values.get("eval_metric", [])
    if "auc" in metrics and not objective.startswith(("binary:", "rank:")):
        raise UserError("Metric 'auc' can only be applied for classification and ranking problems.")
    if "aft-nloglik" in metrics and objective != "survival:aft":
        raise UserError("Metric 'aft-nloglik' can only be applied for 'survival:aft' objective.")
    if "monotone_constraints" in values and method not in ("exact", "hist"):
        raise UserError(
            "monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'."
        )
    if "interaction_constraints" in values and method not in ("exact", "hist", "approx"):
        raise UserError(
            "interaction_constraints can be used only when the tree_method parameter is set to "
            "either 'exact', 'hist' or 'approx'."
        )
    updaters = values.get("updater", [])
    if values.get("process_type") == "update" and not set(updaters) <= {"refresh", "prune"}:
        raise UserError("process_type 'update' can only be used with updater 'refresh' and 'prune'")
    if sum(updater in _GROWERS for updater in updaters) > 1:
        raise UserError(
            "Only one tree grow plugin can be selected. Choose one from the"
            "following: 'grow_colmaker', 'distcol', 'grow_histmaker', 'grow_skmaker'"
        )


def _check_available(values: Mapping[str, Any]) -> None:
    if values.get("csv_weights"):
        raise unknown_locally("csv_weights", "remove the weights column")
    if "_kfold" in values:
        raise unknown_locally("_kfold (cross validation)", "give a validation channel")
    if values.get("use_dask_gpu_training") == "true":
        raise unknown_locally("use_dask_gpu_training", "set it to false")
    if values.get("tree_method") == "gpu_hist" or values.get("predictor") == "gpu_predictor":
        raise unknown_locally("training on a GPU", "use tree_method hist and leave predictor out")
