"""Random changes of radiographs that torchvision does not bring."""

from __future__ import annotations

from typing import Any

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tf


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(1).uniform_(low, high))


class RandomBorder(v2.Transform):
    """Collimation: strips along the edges become black, or now and then white, and take markers with them."""

    def __init__(self, widest: float, p: float) -> None:
        super().__init__()
        self._widest, self._p = widest, p

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:  # noqa: ARG002 - torchvision's signature
        return {
            "widths": [_uniform(0.0, self._widest) for _ in range(4)],
            "grey": 255 if _uniform(0, 1) < 0.2 else 0,
            "apply": _uniform(0, 1) < self._p,
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not params["apply"]:
            return inpt
        height, width = inpt.shape[-2:]
        lengths = (height, height, width, width)
        top, bottom, left, right = (round(w * length) for w, length in zip(params["widths"], lengths, strict=True))
        bordered = torch.full_like(inpt, params["grey"])
        inside = (..., slice(top, height - bottom), slice(left, width - right))
        bordered[inside] = inpt[inside]
        return bordered


class RandomResolution(v2.Transform):
    """Detail of another detector: shrunk and enlarged again, or sharpened, each with half of ``p``."""

    def __init__(self, smallest: float, sharpest: float, p: float) -> None:
        super().__init__()
        self._smallest, self._sharpest, self._p = smallest, sharpest, p

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:  # noqa: ARG002 - torchvision's signature
        return {
            "draw": _uniform(0, 1),
            "scale": _uniform(self._smallest, 1.0),
            "sharpness": _uniform(1.0, self._sharpest),
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if params["draw"] >= self._p:
            return inpt
        if params["draw"] >= self._p / 2:
            return tf.adjust_sharpness(inpt, params["sharpness"])
        size = list(inpt.shape[-2:])
        small = tf.resize(inpt, [round(side * params["scale"]) for side in size], antialias=True)
        return tf.resize(small, size, antialias=True)
