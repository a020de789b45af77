"""AWS's own images: their accounts by region, from the files of the installed SageMaker SDK, which is not imported."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

READABLE = 3  # models of earlier versions are in a binary format that XGBoost has dropped since


@lru_cache
def _versions(framework: str = "xgboost") -> dict[str, dict[str, Any]]:
    found = find_spec("sagemaker")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'sagemaker'", name="sagemaker")
    file = Path(found.submodule_search_locations[0]) / "image_uri_config" / f"{framework}.json"
    versions: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["training"]["versions"]
    return {name: version for name, version in versions.items() if re.fullmatch(r"[0-9.]+-[0-9]+", name)}


def xgboost_versions() -> dict[str, bool]:
    """The versions that AWS offers, and whether predict.py can read their models."""
    return {name: int(name.partition(".")[0]) >= READABLE for name in _versions()}


def xgboost_image(version: str, region: str) -> tuple[str, str] | None:
    """The account and the image of a known version in this region; None if it is not offered there."""
    account = _versions()[version]["registries"].get(region)
    return (account, f"{_versions()[version]['repository']}:{version}") if account else None


def sklearn_versions() -> list[str]:
    return list(_versions("sklearn"))


def sklearn_image(version: str, region: str) -> tuple[str, str] | None:
    """As xgboost_image."""
    found = _versions("sklearn")[version]
    account = found["registries"].get(region)
    return (account, f"{found['repository']}:{version}-cpu-py3") if account else None
