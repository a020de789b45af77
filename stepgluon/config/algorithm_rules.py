"""Rules about what trains a model, and about folders; xgboost_rules.py and container_rules.py have the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stepgluon.config import aws_images
from stepgluon.config.aws_facts import facts
from stepgluon.config.findings import Finding, models_of
from stepgluon.config.schema import PipelineConfig
from stepgluon.errors import found
from stepgluon.programs import all_scripts, keys_of, programs_of, rules_of

REPOSITORY = Path(__file__).parents[2]


def algorithms_are_known(config: PipelineConfig) -> Iterator[Finding]:
    for key, model in models_of(config):
        algorithm = model.algorithm
        if algorithm is None:
            continue
        at = f"{key}.algorithm"
        given = keys_of(algorithm)
        if not given:
            usable = [name for name, readable in aws_images.xgboost_versions().items() if readable]
            yield Finding(
                at, f"nothing trains the model (write xgboost: {usable[-1]}, sklearn: 1.4-2, image: … or build: …)"
            )
        elif len(given) > 1:
            message = f"{given[0]} and {given[1]} would both train the model (keep one)"
            yield Finding(f"{at}.{given[1]}", message, (f"{at}.{given[0]}",))
        if rules := rules_of(algorithm):
            yield from rules.algorithm_is_possible(key, model, config.region)
    yield from _builds(config)
    machine = config.predict.instance.type
    programs = [one for model in config.models if model.algorithm for one in programs_of(model.algorithm)]
    if not config.predict.transforms and all(program.predicting_image for program in programs):
        for name in ("payload", "strategy"):
            if getattr(config.predict, name) is not None:
                message = "only transform jobs use this (add with: transform, or remove it)"
                yield Finding(f"predict.{name}", message, ("predict.with",))
    elif machine not in facts().transform_instances:
        message = f"{machine} is not offered for transform jobs, which predict (choose another type)"
        yield Finding("predict.instance.type", message)


def _builds(config: PipelineConfig) -> Iterator[Finding]:
    """A folder's name becomes part of the name of a repository and of a template's parameter."""
    seen: dict[str, str] = {}
    when: dict[str, tuple[str, str]] = {}
    for key, model in models_of(config):
        folder = model.algorithm.build if model.algorithm else None
        if folder is None:
            if model.algorithm and model.algorithm.when != "push":
                yield Finding(f"{key}.algorithm.when", "when applies only to build (add build, or remove when)")
            continue
        assert model.algorithm
        first_key, first = when.setdefault(folder, (key, model.algorithm.when))
        if first != model.algorithm.when:
            message = f"another model builds {found(folder)} when: {first} (write the same, or rename a folder)"
            yield Finding(f"{key}.algorithm.when", message, (f"{first_key}.algorithm.when",))
        name, message = folder.rpartition("/")[2], ""
        if not (REPOSITORY / folder).is_dir():
            message = f"the folder {found(folder)} does not exist next to pipeline.py (name one with a Dockerfile)"
        elif not (REPOSITORY / folder / "Dockerfile").is_file():
            message = f"the folder {found(folder)} has no Dockerfile (add one)"
        elif name in all_scripts():
            message = f"the pipeline already has an image named {name} (rename the folder)"
        elif not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*", name):
            message = f"{found(name)} is not a valid image name (rename the folder: a-z, 0-9 and -, like my-model)"
        elif seen.setdefault(name, folder) != folder:
            message = f"{found(seen[name])} has the same folder name, so both images would have the same name"
            message += " (rename one folder)"
        if message:
            yield Finding(f"{key}.algorithm.build", message)
