"""Stress copies of validation images: what another machine, room or exporter may do to the same radiograph.

Validation by patient alone saturates on this data (AUC above 0.99 whatever is tried), since all images come from one
place; the copies tell candidates apart and keep the threshold from leaning on one way of acquisition.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tf

from ml.augmentation import through_jpeg

Stress = Callable[[torch.Tensor], torch.Tensor]


def _noise(images: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)) * 10.0
    return (images + noise).clamp(0, 255).to(torch.uint8)


def _without_borders(images: torch.Tensor) -> torch.Tensor:
    """Markers, collimator edges and padding lie in the outer tenth."""
    margin = images.shape[-1] // 10
    bare = torch.zeros_like(images)
    bare[..., margin:-margin, margin:-margin] = images[..., margin:-margin, margin:-margin]
    return bare


def _crop(images: torch.Tensor, height: float, width: float) -> torch.Tensor:
    """The central part, squashed back: a tighter field of view or another shape of detector."""
    size = images.shape[-1]
    part = tf.center_crop(images, [round(size * height), round(size * width)])
    return tf.resize(part, [size, size], antialias=True)


def _jpeg(images: torch.Tensor) -> torch.Tensor:
    return torch.stack([through_jpeg(image, quality=30) for image in images])


# (N, 1, S, S) uint8 -> the same. "plain" stands first.
STRESSES: dict[str, Stress] = {
    "plain": lambda images: images,
    "dark": lambda images: tf.adjust_gamma(images, 1.6),
    "bright": lambda images: tf.adjust_gamma(images, 0.62),
    "flat": lambda images: tf.adjust_contrast(images, 0.6),
    "equalised": tf.equalize,
    "blurred": v2.GaussianBlur(7, sigma=1.5),
    "noisy": _noise,
    "jpeg": _jpeg,
    "cropped": lambda images: _crop(images, 0.85, 0.85),
    "wide": lambda images: _crop(images, 1.0, 0.8),
    "turned": lambda images: tf.rotate(images, 8.0, interpolation=v2.InterpolationMode.BILINEAR),
    "borderless": _without_borders,
}
