"""Mask R-CNN for pedestrians, and the application that answers requests with it."""

from __future__ import annotations

import io
import json
from functools import lru_cache
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import nn
from torchvision import ops
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.transforms.functional import pil_to_tensor, to_tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SURE = 0.5  # of an answer that counts


def network() -> nn.Module:
    return maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=2).to(DEVICE)


def pair(photograph: Path) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A photograph and its pedestrians: in the mask, grey or with a palette, each has a number of its own."""
    mask = pil_to_tensor(Image.open(photograph.with_name(f"{photograph.stem}_mask.png")))[0]
    numbers = mask.unique()[1:]
    masks = mask[None] == numbers[:, None, None]
    found = {"boxes": ops.masks_to_boxes(masks), "labels": torch.ones(len(numbers), dtype=torch.int64)}
    return to_tensor(Image.open(photograph).convert("RGB")), {**found, "masks": masks.to(torch.uint8)}


def photographs(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.png")) if not path.stem.endswith("_mask")]


def overlap(model: nn.Module, folder: Path) -> float:
    """The mean share in which answers and masks agree (IoU), over all photographs."""
    model.eval()
    shares = []
    for path in photographs(folder):
        image, truth = pair(path)
        with torch.no_grad():
            found = model([image.to(DEVICE)])[0]
        answered = (found["masks"][found["scores"] > SURE] > 0.5).any(0)[0].cpu()
        wanted = truth["masks"].any(0)
        shares.append(float((answered & wanted).sum() / max(1, int((answered | wanted).sum()))))
    return sum(shares) / max(1, len(shares))


@lru_cache
def trained() -> nn.Module:
    model = network()
    model.load_state_dict(torch.load("/opt/ml/model/weights.pt", map_location=DEVICE, weights_only=True))
    return model.eval()


def application(environ, start_response):
    """The two requests that SageMaker makes: /ping, and /invocations with a photograph."""
    answer, status = "", "200 OK"
    if environ["PATH_INFO"] != "/ping":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            with torch.no_grad():
                found = trained()([to_tensor(Image.open(io.BytesIO(body)).convert("RGB")).to(DEVICE)])[0]
            boxes = found["boxes"][found["scores"] > SURE].round().int().tolist()
            answer = json.dumps({"pedestrians": len(boxes), "boxes": boxes})
        except UnidentifiedImageError as problem:
            answer, status = str(problem), "400 Bad Request"
    start_response(status, [("Content-Type", "application/json")])
    return [answer.encode()]
