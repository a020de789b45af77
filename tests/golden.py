"""Golden files: what is expected stands in a file beside the case, and `make golden` writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
CASES = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())
TEMPLATE_CASES = [case for case in CASES if (GOLDEN / case / "base.json").is_file()]


def same_as(file: Path, text: str) -> bool:
    """Whether the file has this text; with GOLDEN=write it has afterwards."""
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text, encoding="utf-8", newline="\n")
    return file.is_file() and file.read_text(encoding="utf-8") == text


def config_of(case: str) -> Path:
    config = HERE / "golden" / case / "config.yml"
    return config if config.is_file() else HERE.parent / "pipeline-config.yml"


def environment_of(case: str) -> str | None:
    file = HERE / "golden" / case / "environment"
    return file.read_text(encoding="utf-8").strip() if file.is_file() else None
