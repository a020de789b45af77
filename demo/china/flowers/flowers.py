"""A ResNet-18 that tells kinds of flowers apart, and the application that answers requests with it."""

from __future__ import annotations

import io
import json
from functools import lru_cache
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import nn
from torchvision import models, transforms

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SEEN = transforms.Compose([transforms.Resize((224, 224)), transforms.ToTensor()])


def labelled(folder: Path) -> list[tuple[Path, str]]:
    """The images of a folder with a folder for each kind."""
    return [(path, path.parent.name) for path in sorted(folder.glob("*/*"))]


def network(kinds: int) -> nn.Module:
    made = models.resnet18(weights=None)
    made.fc = nn.Linear(made.fc.in_features, kinds)
    return made.to(DEVICE)


class Classifier:
    def __init__(self, folder: Path) -> None:
        self.kinds = json.loads((folder / "kinds.json").read_text())
        self.network = network(len(self.kinds))
        self.network.load_state_dict(torch.load(folder / "weights.pt", map_location=DEVICE, weights_only=True))
        self.network.eval()

    def kind(self, image: bytes) -> str:
        with torch.no_grad():
            scores = self.network(SEEN(Image.open(io.BytesIO(image)).convert("RGB"))[None].to(DEVICE))
        return self.kinds[int(scores.argmax())]


@lru_cache
def classifier() -> Classifier:
    return Classifier(Path("/opt/ml/model"))


def application(environ, start_response):
    """The two requests that SageMaker makes: /ping, and /invocations with an image."""
    answer, status = "", "200 OK"
    if environ["PATH_INFO"] != "/ping":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            answer = classifier().kind(body)
        except UnidentifiedImageError as problem:
            answer, status = str(problem), "400 Bad Request"
    start_response(status, [("Content-Type", "text/plain")])
    return [answer.encode()]
