"""Splits images by kind, which is the name of their folder in the zip; those in `unknown` are to be predicted.

Reads /opt/ml/processing/input/raw/*.zip, and writes below /opt/ml/processing/output.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath

RAW, OUT = Path("/opt/ml/processing/input/raw"), Path("/opt/ml/processing/output")


def main() -> None:
    for archive in sorted(RAW.glob("*.zip")):
        with zipfile.ZipFile(archive) as images:
            for name in images.namelist():
                path = PurePosixPath(name)
                if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
                    continue
                kind, place = path.parent.name, zlib.crc32(path.name.encode()) % 20
                part = "test" if place < 3 else "validation" if place < 6 else "train"
                target = OUT / "predict" / path.name if kind == "unknown" else OUT / part / kind / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(images.read(name))


if __name__ == "__main__":
    main()
