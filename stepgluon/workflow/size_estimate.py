"""Estimates conservatively whether a config keeps the limits that only compiling can measure."""

from __future__ import annotations

import json

from stepgluon import limits
from stepgluon.config.schema import PipelineConfig
from stepgluon.workflow.retries import Waiting, container_models, scored_models

# A definition without models, a model with the longest names, its score, what a container needs more, its registration,
# its tuning; measured with a margin, and tested.
MACHINE_BYTES, MODEL_BYTES, SCORE_BYTES, CONTAINER_BYTES = 64 * 1024, 9 * 1024, 2 * 1024, 8 * 1024
REGISTER_BYTES, TUNE_BYTES = 3 * 1024, 5 * 1024


def surely_fits(config: PipelineConfig) -> bool:
    """If true, `validate` need not compile, which takes seconds."""
    if any(model.serve for model in config.models):
        return False
    settings = json.dumps(vars(config.changed(models=[])), ensure_ascii=False, default=vars)
    parts = [(model.train, model.algorithm, model.tune) for model in config.models]
    own = sum(len(json.dumps(part, ensure_ascii=False, default=vars)) for part in parts)
    models = MODEL_BYTES * len(config.models)
    models += SCORE_BYTES * scored_models(config) + CONTAINER_BYTES * container_models(config)
    models += REGISTER_BYTES * sum(model.register is not None for model in config.models)
    models += TUNE_BYTES * sum(model.tune is not None for model in config.models)
    size = MACHINE_BYTES + 8 * len(settings.encode()) + 4 * own + models
    return size <= limits.DEFINITION_BYTES and Waiting(config).events <= limits.EVENTS
