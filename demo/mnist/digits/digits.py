"""Images of digits, the model that reads them, and the application that answers requests with it."""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path

import numpy as np

MODEL = "model.pickle"


def pixels(image: bytes) -> np.ndarray:
    """The 64 grey values of a PGM file."""
    if not image.startswith(b"P5 8 8 16\n") or len(image) != 74:
        raise ValueError("an image in the form P5, 8 by 8 pixels with 16 greys, is expected")
    return np.frombuffer(image, np.uint8, offset=10).astype(float)


def read(folder: Path) -> tuple[np.ndarray, list[int]]:
    """The images of a folder, and the digits that their names end with."""
    paths = sorted(folder.glob("*.pgm"))
    return np.array([pixels(path.read_bytes()) for path in paths]), [int(path.stem[-1]) for path in paths]


def load(folder: Path):
    with (folder / MODEL).open("rb") as file:
        return pickle.load(file)


@lru_cache
def model():
    return load(Path("/opt/ml/model"))


def application(environ, start_response):
    """The two requests that SageMaker makes: /ping, and /invocations with an image."""
    if environ["PATH_INFO"] == "/ping":
        model()
        start_response("200 OK", [])
        return []
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    try:
        answer, status = str(model().predict([pixels(body)])[0]), "200 OK"
    except ValueError as problem:
        answer, status = str(problem), "400 Bad Request"
    start_response(status, [("Content-Type", "text/plain")])
    return [answer.encode()]
