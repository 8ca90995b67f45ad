"""What happens between a radiograph and the network, the same in training and in serving."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from core.errors import ConfigurationError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Squash to a square, then repeat the grey channel for each entry of ``mean`` and ``std`` and normalise it.

    The aspect ratio is not kept: the public training copies of the data are squashed so, and of PIL's filters the
    antialiased bilinear one reproduces them from the full-size files most closely.
    """

    size: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize: str = "antialiased bilinear, aspect ratio not kept"

    def canonical(self) -> str:
        """One JSON text for equal settings: it becomes part of the model's identity."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    def square(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(H, W) float32 in [0, 1] to (size, size) float32 in [0, 1]."""
        if image.ndim != 2 or 0 in image.shape:
            raise ValueError(f"a radiograph is (H, W) and not empty, got shape {image.shape}")
        if image.shape == (self.size, self.size):
            return image.astype(np.float32, copy=False)
        # PIL's bilinear filter widens with the reduction, which is what "antialiased" means in torchvision.
        resized = Image.fromarray(image.astype(np.float32, copy=False)).resize(
            (self.size, self.size), Image.Resampling.BILINEAR
        )
        return np.clip(np.asarray(resized, dtype=np.float32), 0.0, 1.0)


def read_image(path: Path) -> npt.NDArray[np.float32]:
    """A JPEG or PNG radiograph as (H, W) float32 in [0, 1], high is white.

    Raises:
        ConfigurationError: the file is no readable image. The message names its folder only: a file name may name
            a patient.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):  # 16-bit PNG: PIL gives "I;16" or "I", both 0..65535
                return np.clip(np.asarray(image, dtype=np.float32) / 65535.0, 0.0, 1.0)
            return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255.0)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise ConfigurationError(f"an image in {path.parent} cannot be read: {type(exc).__name__}") from exc
