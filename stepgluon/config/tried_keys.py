"""Keys that people try: other names of our keys, and keys that are not supported yet."""

from __future__ import annotations

_SET = "AutoGluon chooses its own; those of other algorithms are in algorithm.set"
_PROGRAMS = "AutoGluon trains the models or, with algorithm, AWS's XGBoost image or a container of your own"
_KINDS = "metric decides what a model predicts: numbers with mae, classes with accuracy"
_TABLES = "give the tables to the command: run --data FILE"
_ALL_COLUMNS = "a model sees every column but its label and those in drop"
_ONE_SPLIT = "the error is measured once, on the rows held out by data.test_fraction"

NOT_YET = {
    **dict.fromkeys(("hyperparameters", "params"), _SET),
    **dict.fromkeys(("pytorch", "tensorflow", "lightgbm"), _PROGRAMS),
    **dict.fromkeys(("problem_type", "task", "classes", "positive_class", "quantiles", "quantile"), _KINDS),
    **dict.fromkeys(("path", "file", "files", "input", "source_data", "s3_uri", "bucket"), _TABLES),
    **dict.fromkeys(("features", "columns", "inputs", "include"), _ALL_COLUMNS),
    **dict.fromkeys(("folds", "cv", "k_fold", "cross_validation", "validation"), _ONE_SPLIT),
    **dict.fromkeys(("schedule", "cron", "every"), "upload a .run file, or call `start`, whenever a run should start"),
    **dict.fromkeys(("gpu", "gpus", "num_gpus"), "choose an instance type with GPUs in train.instance.type"),
}
_NAMES = {
    "label": ("target", "targets", "y", "target_column", "label_column", "labels", "predict_column"),
    "where": ("filter", "filters", "query", "condition", "conditions", "rows"),
    "drop": ("exclude", "ignore", "drop_columns", "ignored_columns", "skip"),
    "metric": ("metrics", "eval_metric", "scoring", "objective", "loss"),
    "algorithm": ("algorithms", "learner", "estimator"),
    "xgboost": ("xgb", "version"),
    "image": ("image_uri", "training_image", "container"),
    "build": ("dockerfile", "docker"),
    "serve": ("endpoint", "deploy", "hosting", "serving"),
    "monitor": ("monitoring", "drift_detection"),
    "every": ("schedule", "rate", "interval"),
    "register": ("registry", "model_registry", "model_package_group"),
    "tune": ("hyperparameter_tuning", "tuning", "tuner", "search"),
    "at_least": ("min_score", "minimum"),
    "threshold": ("max_error", "max_mae", "limit", "error_limit", "mae"),
    "better_than_median": ("better_than_baseline", "baseline"),
    "partition_by": ("group_by", "split_by", "partition", "by"),
    "test_fraction": ("test_size", "holdout", "holdout_fraction", "validation_fraction", "test_share"),
    "seed": ("random_state", "random_seed"),
    "separator": ("sep", "delimiter"),
    "presets": ("preset", "quality"),
    "time_limit": ("time", "training_time"),
    "max_runtime": ("timeout", "max_time", "stopping_condition"),
    "instance": ("machine", "instance_type", "resources"),
    "notify": ("email", "emails", "mail", "mails", "notifications", "notification"),
    "environments": ("envs", "stages", "profiles"),
    "kms_key": ("kms", "kms_key_id", "kms_key_arn"),
}
OTHER_NAMES = {tried: name for name, all_tried in _NAMES.items() for tried in all_tried}
