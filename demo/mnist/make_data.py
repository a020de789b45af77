"""Makes digits.tar.gz: the 1,797 handwritten digits that come with scikit-learn, as images of 8 by 8 pixels.

They are the test set of E. Alpaydin and C. Kaynak's Optical Recognition of Handwritten Digits (UCI, CC BY 4.0), a
small relative of MNIST. A name is number-digit.pgm; the last 200 have no digit, and are to be predicted.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path

from sklearn.datasets import load_digits

UNKNOWN = 200


def main(target: Path) -> None:
    images, digits = load_digits(return_X_y=True)
    made = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, made, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for number, (pixels, digit) in enumerate(zip(images, digits, strict=True)):
            known = "" if number >= len(images) - UNKNOWN else f"-{digit}"
            content = b"P5 8 8 16\n" + bytes(pixels.astype("uint8"))
            member = tarfile.TarInfo(f"{number:04}{known}.pgm")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    target.write_bytes(made.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "digits.tar.gz"))
