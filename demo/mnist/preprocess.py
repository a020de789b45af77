"""Unpacks the images into the folders that training, measuring and predicting read. It runs in the model's container.

Reads /opt/ml/processing/input/raw, and writes below /opt/ml/processing/output.
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path, PurePosixPath

RAW, OUT = Path("/opt/ml/processing/input/raw"), Path("/opt/ml/processing/output")


def folder_of(name: str) -> str:
    """The same for a name in every run, whatever else there is; without a digit, the image is to be predicted."""
    if "-" not in name:
        return "predict"
    place = zlib.crc32(name.encode()) % 20
    return "test" if place < 3 else "validation" if place < 6 else "train"


def main() -> None:
    for archive in sorted(RAW.glob("*.tar.gz")):
        with tarfile.open(archive) as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                content = tar.extractfile(member)
                if content is not None and name.endswith(".pgm"):
                    folder = OUT / folder_of(name)
                    folder.mkdir(exist_ok=True)
                    (folder / name).write_bytes(content.read())


if __name__ == "__main__":
    main()
