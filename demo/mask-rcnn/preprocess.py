"""Unpacks pairs of photograph and mask; photographs without a mask are to be predicted.

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
            names = {PurePosixPath(name).name: name for name in images.namelist() if name.endswith(".png")}
            for name, member in names.items():
                if name.endswith("_mask.png"):
                    continue
                mask, place = name.replace(".png", "_mask.png"), zlib.crc32(name.encode()) % 20
                part = "test" if place < 3 else "validation" if place < 6 else "train"
                folder = OUT / (part if mask in names else "predict")
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(images.read(member))
                if mask in names:
                    (folder / mask).write_bytes(images.read(names[mask]))


if __name__ == "__main__":
    main()
