"""The config that the jobs get: one JSON file with the keys that concern them, without newer keys at their default.

Its address is a hash of its content, and a run keeps the config that it was started with. docs/decisions/0001 lists the
keys that the jobs read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from stepgluon.config.job_schema import AUTOGLUONS
from stepgluon.config.schema import Data, Model, PipelineConfig
from stepgluon.config.sections import Section
from stepgluon.programs import channels_of, program_of, serves_archive, settings_of, transforms
from stepgluon.scripts import digests, source_digest

OF_NO_JOB = ("environment", "cicd", "log_runs", "max_cost", "trigger", "fan_out", "partitioned")
MODELS_OF_NO_JOB = ("register", "serve", "monitor")


def resolved_config(config: PipelineConfig, scripts: dict[str, bytes], image_of: Callable[[Model], str]) -> str:
    """`scripts` are those of the user and ours for them; `image_of` names the image that trains a model."""
    kept = {name: value for name, value in _given(config).items() if name not in OF_NO_JOB}
    if config.partitioned:
        kept["partitioned"] = config.partitioned
        kept["fan_out"] = {"models_per_job": config.fan_out.models_per_job}
        kept |= {"shared": True} if config.served else {}
    if scripts:
        kept["scripts"] = digests(scripts)
    section = partial(_section, config, scripts, image_of)
    return json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False, default=section) + "\n"


def _section(
    config: PipelineConfig, scripts: dict[str, bytes], image_of: Callable[[Model], str], section: Section
) -> dict[str, Any]:
    kept = _given(section)
    if isinstance(section, Model) and transforms(config, section):
        kept["transform"] = True
    elif isinstance(section, Model) and serves_archive(section):
        kept["archive"] = True
    if isinstance(section, Model) and (algorithm := section.algorithm):
        program = program_of(section)
        kept["algorithm"] = {
            "name": program.name,
            **({"version": version} if (version := program.version(algorithm)) else {}),
            "image": image_of(section),
            "channels": channels_of(section),
            "encoded": program.encoded,
            "set": settings_of(section),
            **({"script": source_digest(scripts)} if algorithm.script else {}),
        }
        kept["train"] = {key: value for key, value in _given(section.train).items() if key not in AUTOGLUONS}
    return kept


def _given(section: Section) -> dict[str, Any]:
    """The keys of a section; those of later versions only if they are used, so that a config keeps its address."""
    later = (
        "better_than_median",
        "separator",
        "decimal",
        "encoding",
        "track",
        "metric",
        "quantile",
        "at_most",
        "at_least",
        "algorithm",
        "tune",
        "files",
        "score",
        *(["prepare"] if isinstance(section, Data) else []),
        "with",
        "payload",
        "strategy",
    )
    unset = (None, "auto", "mae", "job")
    known = {key: value for key, value in vars(section).items() if key not in MODELS_OF_NO_JOB}
    return {
        key: value for key, value in known.items() if key not in later or (value not in unset and value is not False)
    }
