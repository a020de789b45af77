"""XGBoost's hyperparameters, checked as AWS's container checks them before it trains.

The names, ranges and words are those of the local equivalent, taken from the sources of the image 3.0-5. The container
refuses a training job with any other name, type or value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from localaws.containers.xgboost.hyperparameters import ALIASES, INTEGERS, NUMBERS, UPDATERS, WORDS, within
from stepgluon.config.kinds import as_text
from stepgluon.errors import did_you_mean, found, listed

Value = str | int | float | bool

_NUMBERS = NUMBERS | {alias: NUMBERS[name] for alias, name in ALIASES.items()}
_REGRESSION = ("squarederror", "squaredlogerror", "absoluteerror", "pseudohubererror", "logistic", "gamma", "tweedie")
_WORDS = {name: tuple(words.split()) for name, words in WORDS.items()}
_WORDS["objective"] = (*(f"reg:{name}" for name in (*_REGRESSION, "linear")), "count:poisson")
_METRICS = (
    *("mae", "mape", "mphe", "mse", "r2", "rmse", "rmsle"),
    *("gamma-deviance", "gamma-nloglik", "poisson-nloglik", "tweedie-nloglik"),
)
_LISTS = {"eval_metric": _METRICS, "updater": tuple(UPDATERS)}  # separated by commas
TWO, MANY = "binary:logistic", "multi:softprob"  # the objectives that give probabilities of classes
_WORDS_OF_CLASSES = _WORDS | {"objective": (TWO, MANY)}
# The metrics for two classes and for more. The container's own ones, like accuracy, are wrong for two: see
# code/xgboost_model.py.
_OF_CLASSES = {
    TWO: ("auc", "aucpr", "error", "logloss"),
    MANY: (
        *("accuracy", "balanced_accuracy", "f1_macro", "merror", "mlogloss"),
        *("precision_macro", "precision_micro", "recall_macro", "recall_micro"),
    ),
}
_LISTS_OF_CLASSES = _LISTS | {"eval_metric": (*_OF_CLASSES[TWO], *_OF_CLASSES[MANY])}
# How XGBoost's own functions and scikit-learn call them.
_ELSEWHERE = {"n_estimators": "num_round", "num_boost_round": "num_round", "random_state": "seed"}
_GROUP = r"\[ *[1-9][0-9]*( *, *[1-9][0-9]*)* *\]"
_FORMS = {
    "monotone_constraints": (r"\( *(-1|0|1) *(, *(-1|0|1) *)*,?\)", "one of -1, 0, 1 for each column, like '(1,0,-1)'"),
    "interaction_constraints": (
        rf"\[{_GROUP}(, *{_GROUP})*\]",
        "groups of column numbers from 1 on, like '[[1,2],[3]]'",
    ),
}
ONE_NUMBER = "without a metric for classes, an XGBoost model predicts one number"
_NOT_YET = {
    "csv_weights": "all rows have the same weight",
    "use_dask_gpu_training": "a training has one instance",
    **dict.fromkeys(("aft_loss_distribution", "aft_loss_distribution_scale"), ONE_NUMBER),
    **dict.fromkeys(("_kfold", "_num_cv_round"), "the error is measured once, on the rows held out"),
    "_tuning_objective_metric": "tune sets it",
}
_NAMES = tuple(
    name for name in (*INTEGERS, *_NUMBERS, *_WORDS, *_LISTS, *_FORMS) if name not in {*_NOT_YET, "num_class"}
)
_OTHER_OBJECTIVES = r"(binary|multi|rank|survival):.*"


def is_known(name: str) -> bool:
    return name in _NAMES


def complete(given: dict[str, Value], classes: bool) -> dict[str, Value]:
    """With what the container requires, and with the objective that suits most labels; that of classes depends on their
    number, which prepare counts.
    """
    return {"num_round": 100, **({} if classes else {"objective": "reg:squarederror"}), **given}


def problem(name: str, value: Value, classes: bool = False) -> str | Callable[[], str]:
    """What the container would refuse, or what does not suit a label of numbers or `classes`; empty if nothing."""
    text, lists = as_text(value), _LISTS_OF_CLASSES if classes else _LISTS
    if name == "num_class":
        return "with a metric for classes, the run counts those of the label (remove this)"
    if name in _NOT_YET:
        return f"not supported yet ({_NOT_YET[name]})"
    if name in INTEGERS or name in _NUMBERS:
        return _outside(text, name in INTEGERS, INTEGERS.get(name) or _NUMBERS[name])
    if name in _WORDS:
        words = (_WORDS_OF_CLASSES if classes else _WORDS)[name]
        if name == "objective" and not classes and re.fullmatch(_OTHER_OBJECTIVES, text):
            return f"{text} is not supported yet ({ONE_NUMBER}: {listed(words)})"
        if name == "objective" and classes and text in _WORDS[name]:
            return f"{text} does not predict classes (write {TWO} or {MANY}, or remove this: the run chooses)"
        return "" if text in words else lambda: _unknown(text, words)
    if name in lists:
        wrong = [one for one in text.split(",") if one not in lists[name]]
        return (lambda: _unknown(wrong[0], lists[name])) if wrong else ""
    if name in _FORMS:
        form, expected = _FORMS[name]
        return "" if re.fullmatch(form, text) else f"{found(value)} is not allowed (expected: {expected})"
    return lambda: f"XGBoost has no such hyperparameter ({_guess(name, _NAMES)})"


def unsuited_metric(metric: str, given: dict[str, Value]) -> str:
    """Why a metric of classes does not suit the objective; empty if it does."""
    fits = next((objective for objective, metrics in _OF_CLASSES.items() if metric in metrics), "")
    if not fits or given.get("objective") == fits:
        return ""
    return f"{metric} needs the objective {fits} (add objective: {fits}, or remove this)"


def unsuited(given: dict[str, Value], tuned: bool = False, classes: bool = False) -> Iterator[tuple[str, str, str]]:
    """The hyperparameters that do not suit another: their name, why, and the other's name."""
    if classes:
        for metric in as_text(given.get("eval_metric", "")).split(","):
            if why := unsuited_metric(metric, given):
                yield "eval_metric", why, "objective"
    method = as_text(given.get("tree_method", "auto"))
    for name, methods in (("monotone_constraints", "exact hist"), ("interaction_constraints", "exact hist approx")):
        if name in given and method not in methods.split():
            hint = f"set tree_method: {methods.split()[-1]}, or remove this"
            yield name, f"not available with tree_method {method} ({hint})", "tree_method"
    for alias, name in ALIASES.items():
        if alias in given and name in given:
            yield alias, f"this is another name of {name}, which is set too (keep one)", name
    if "early_stopping_rounds" in given and "eval_metric" not in given and not tuned and not classes:
        # The container then runs all rounds, and the validation rows are lost for training.
        yield "early_stopping_rounds", "without eval_metric nothing stops early (add eval_metric: rmse)", "eval_metric"


def _outside(text: str, whole: bool, interval: str) -> str:
    low, high = interval[1:-1].split(", ")
    kind = "whole number" if whole else "number"
    parts = [f"{'of at least' if interval[0] == '[' else 'above'} {low}"]
    parts += [f"{'at most' if interval[-1] == ']' else 'below'} {high}"] if high != "+inf" else []
    expected = f"a {kind} {' and '.join(parts)} is expected"
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        return f"{found(text)} is not a {kind} ({expected})"
    if within(number, interval):
        return ""
    return f"{text} is too {'small' if number <= float(low) else 'large'} ({expected})"


def _unknown(text: str, known: tuple[str, ...]) -> str:
    return f"{found(text)} is not known ({_guess(text, known)})"


def _guess(text: str, known: tuple[str, ...]) -> str:
    guess = _ELSEWHERE.get(text) or did_you_mean(text, known)
    return f"did you mean {guess}?" if guess else f"expected: {listed(known)}"
