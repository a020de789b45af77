"""`clean --keep N`: deletes the files of old local runs.

It deletes runs/<run>/ in the work folder and in the work bucket: the prepared tables, the result and the logs. Models
and predictions stay, because later runs reuse them, and so do promoted models. It keeps runs that are running, were
cut off or have promoted models.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepgluon.errors import counted
from stepgluon.local.work_folder import all_runs
from stepgluon.names import PROMOTED, Names
from stepgluon.runs.executions import read_json, sizes

SHOWN, BATCH = 10, 1000  # [s3] DeleteObjects takes at most 1,000 keys


@dataclass(frozen=True)
class Cleaning:
    pipeline: str
    keep: int
    runs: tuple[str, ...]  # to delete, latest first
    promoted: tuple[str, ...]  # kept, although they are old
    bytes: int

    def words(self, done: bool) -> str:
        if not self.runs:
            latest = "run" if self.keep == 1 else f"{self.keep} runs"
            return f"Nothing to delete beyond the latest {latest} of {self.pipeline}.\n"
        names = [f"  {run}" for run in self.runs[:SHOWN]]
        more = [f"  and {len(self.runs) - SHOWN} more"] if len(self.runs) > SHOWN else []
        count = f"{counted(len(self.runs), 'run')} of {self.pipeline}"
        promoted = [f"Kept for their promoted models: {', '.join(self.promoted)}."] if self.promoted else []
        head = f"{'Deleted' if done else 'Would delete'} {count}, {self.bytes / 1e6:,.1f} MB:"
        stays = "Models and predictions stay, because later runs reuse them."
        return "\n".join([head, *names, *more, *promoted, stays]) + "\n"


def planned(work: Path, names: Names, keep: int, s3: Any) -> Cleaning:
    promoted = read_json(s3, names.work_bucket, PROMOTED)
    named = {entry.get("run") for entry in promoted.values()} if isinstance(promoted, dict) else set()
    mine = [record for record in all_runs(work) if record["arn"] == names.execution_arn(record["run"])]
    old = [record["run"] for record in mine[keep:] if record["status"] not in ("RUNNING", "CUT OFF")]
    delete = tuple(run for run in old if run not in named)
    size = sum(
        sum(file.stat().st_size for file in (work / "runs" / run).rglob("*") if file.is_file())
        + sum(sizes(s3, names.work_bucket, f"runs/{run}/").values())
        for run in delete
    )
    return Cleaning(names.prefix, keep, delete, tuple(run for run in old if run in named), size)


def clean(work: Path, names: Names, plan: Cleaning, s3: Any) -> None:
    """Delete the folders last, so the next call continues an interrupted one."""
    for run in plan.runs:
        keys = [f"runs/{run}/{name}" for name in sizes(s3, names.work_bucket, f"runs/{run}/")]
        for start in range(0, len(keys), BATCH):
            batch = [{"Key": key} for key in keys[start : start + BATCH]]
            s3.delete_objects(Bucket=names.work_bucket, Delete={"Objects": batch, "Quiet": True})
        shutil.rmtree(work / "runs" / run)
