"""The folders that test_files_run.py needs, from the demo's images; one to predict is damaged if the upload says so."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

RAW, OUT = Path("/opt/ml/processing/input/raw"), Path("/opt/ml/processing/output")


def main() -> None:
    with tarfile.open(RAW / "digits.tar.gz") as tar:
        tar.extractall("/tmp/digits")
    for number, path in enumerate(sorted(Path("/tmp/digits").iterdir())):
        known = "-" in path.name
        if not known and number % 20:
            continue
        folder = OUT / (
            "predict" if not known else "test" if number % 5 == 0 else "validation" if number % 5 == 1 else "train"
        )
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder / path.name)
    if (RAW / "damaged").exists():
        (OUT / "predict" / "damaged.pgm").write_text("no image")


if __name__ == "__main__":
    main()
