"""The Python files that run in a container of the user's, with files in place of tables: the input `code` of its jobs.

All scripts next to the user's preprocess.py, and below stepgluon/ those of ours that run them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from stepgluon.config.schema import PipelineConfig

OURS = "stepgluon"
REPOSITORY = Path(__file__).parents[1]
_WRAPPERS = ("archive", "job_io", "prepare_files", "score_files", "user_script")


def scripts_of(config: PipelineConfig) -> dict[str, bytes]:
    """Their contents by their path in the input."""
    if not config.data.files or config.data.prepare is None:
        return {}
    folder = (REPOSITORY / config.data.prepare).parent
    files = {path.name: path for path in sorted(folder.glob("*.py"))}
    files |= {f"{OURS}/{name}.py": REPOSITORY / "code" / f"{name}.py" for name in _WRAPPERS}
    return {name: path.read_bytes() for name, path in files.items()}


def digests(scripts: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in scripts.items()}
