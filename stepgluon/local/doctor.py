"""What this computer can do of what runs in an account, and what it needs for the rest."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata

from localaws.codebuild import build
from localaws.sagemaker import bubblewrap

_PACKAGES = {
    "AutoGluon": ("autogluon.tabular",),
    "XGBoost": ("xgboost-cpu", "xgboost"),  # two builds of one library
    "gunicorn": ("gunicorn",),
}


@dataclass(frozen=True)
class Ability:
    name: str
    able: bool
    how: str  # what does it, or what is missing


def abilities() -> list[Ability]:
    return [
        _processes("jobs", "AutoGluon", "XGBoost"),
        _processes("serving", "AutoGluon", "XGBoost", "gunicorn"),
        _tools("containers", bubblewrap.missing(), "images run with buildah and bubblewrap"),
        _tools("builds", build.missing(), "images are built with buildah"),
    ]


def words(found: list[Ability]) -> str:
    return "".join(f"{one.name:<11} {'yes' if one.able else 'no':<4} {one.how}\n" for one in found)


def _processes(name: str, *needed: str) -> Ability:
    versions = {title: _version(*_PACKAGES[title]) for title in needed}
    if lacking := [title for title, version in versions.items() if not version]:
        return Ability(name, False, f"{' and '.join(lacking)} not installed (run `make setup`, then .venv/bin/python)")
    found = ", ".join(f"{title} {version}" for title, version in versions.items())
    return Ability(name, True, f"processes with Python {sys.version.split()[0]}, {found}")


def _tools(name: str, missing: str, how: str) -> Ability:
    return Ability(name, not missing, f"needs {missing}" if missing else how)


def _version(*packages: str) -> str:
    """The version of the first that is installed; empty if none is."""
    for package in packages:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return ""
