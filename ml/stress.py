"""Stress copies of validation images: what another machine, room or exporter may do to the same radiograph.

Validation by patient alone saturates on this data (AUC above 0.99 whatever is tried), since all images come from one
place; the copies tell candidates apart and keep the threshold from leaning on one way of acquisition. The hardest are
the swapped ones: each image takes over what images of the *other* class owe to their acquisition.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tf

from ml.borrowing import borrow_exposure, borrow_frame

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
    return torch.stack([_through_jpeg(image, quality=30) for image in images])


def _through_jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    """(1, H, W) uint8 after being saved as JPEG. Pillow's codec, since torchvision's leaves the library."""
    stored = BytesIO()
    Image.fromarray(image[0].numpy()).save(stored, format="JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(stored)))[None]


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


def one_stress_each(images: torch.Tensor) -> torch.Tensor:
    """Each image with one of the stresses, in turn: all of them for the price of one."""
    stressed = images.clone()
    for place, stress in enumerate(STRESSES.values()):
        stressed[place :: len(STRESSES)] = stress(images[place :: len(STRESSES)])
    return stressed


Swap = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _lenders(labels: torch.Tensor) -> list[int]:
    """For each image an index of the other class. Seeded."""
    generator = torch.Generator().manual_seed(1)
    others = [(labels == 1 - label).nonzero()[:, 0] for label in (0, 1)]
    return [int(o[torch.randint(len(o), (), generator=generator)]) for o in (others[label] for label in labels)]


def _swapped_exposure(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    pairs = zip(images, images[_lenders(labels)], strict=True)
    return torch.stack([borrow_exposure(image, lender, 1.0) for image, lender in pairs])


def _swapped_frame(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    edge = images.shape[-1] // 9
    pairs = zip(images, images[_lenders(labels)], strict=True)
    return torch.stack([borrow_frame(image, lender, (edge, edge, edge, edge)) for image, lender in pairs])


def _swapped_sharpness(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """In the public data normal radiographs are the sharper ones."""
    blurred = v2.GaussianBlur(7, sigma=1.2)(images)
    return torch.where((labels == 0).view(-1, 1, 1, 1), blurred, tf.adjust_sharpness(images, 3.5))


# (N, 1, S, S) uint8 and labels (N,) in {0, 1} -> images of the same form
SWAPS: dict[str, Swap] = {
    "swapped exposure": _swapped_exposure,
    "swapped frame": _swapped_frame,
    "swapped sharpness": _swapped_sharpness,
}
