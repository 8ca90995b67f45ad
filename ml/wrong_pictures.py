"""Pictures that no model of chest radiographs should answer, made of radiographs and of nothing.

The gate learns from them what an upright chest is not. No photograph and no image of another modality is among them:
those are what it is measured with.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional
from torchvision.transforms.v2 import functional as tf

Making = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def _stretched(parts: torch.Tensor) -> torch.Tensor:
    """(N, 1, S, S / 2) or (N, 1, S / 2, S) to (N, 1, S, S)."""
    size = max(parts.shape[-2:])
    return tf.resize(parts, [size, size], antialias=True)


def _between(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _whole_range(grey: torch.Tensor) -> torch.Tensor:
    """(N, S, S) of any range to (N, 1, S, S) uint8."""
    low, high = grey.amin((1, 2), keepdim=True), grey.amax((1, 2), keepdim=True)
    return ((grey - low) / (high - low).clamp_min(1e-6) * 255).to(torch.uint8)[:, None]


def _piece(image: torch.Tensor, smallest: float, largest: float, generator: torch.Generator) -> tuple[slice, slice]:
    size = image.shape[-1]
    slices = []
    for _axis in range(2):
        length = round(size * _between(smallest, largest, generator))
        start = round(_between(0, size - length, generator))
        slices.append(slice(start, start + length))
    return slices[0], slices[1]


def _patches(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    pieces = [image[..., *_piece(image, 0.15, 0.45, generator)] for image in images]
    return torch.stack([tf.resize(piece, list(images.shape[-2:]), antialias=True) for piece in pieces])


def _islands(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A small radiograph on a black or white sheet."""
    sheets = torch.zeros_like(images)
    sheets[::3] = 255
    for sheet, image in zip(sheets, images, strict=True):
        place = _piece(image, 0.3, 0.6, generator)
        sheet[..., *place] = tf.resize(image, list(sheet[..., *place].shape[-2:]), antialias=True)
    return sheets


def _shuffled(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Tiles of 2 x 2 and 4 x 4 in another order."""
    size, shuffled = images.shape[-1], torch.empty_like(images)
    for index, image in enumerate(images):
        parts = 4 if index % 2 else 2
        kernel = size // parts
        tiles = functional.unfold(image[None].float(), kernel, stride=kernel)
        order = torch.randperm(tiles.shape[-1], generator=generator)
        side = kernel * parts
        mixed = functional.fold(tiles[..., order], (side, side), kernel, stride=kernel)
        shuffled[index] = tf.resize(mixed[0], [size, size]).to(torch.uint8)
    return shuffled


def _silhouettes(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Black and white only."""
    cuts = torch.tensor([_between(60, 190, generator) for _ in images]).view(-1, 1, 1, 1)
    return (images > cuts).to(torch.uint8) * 255


def _plane(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    axis = torch.linspace(-1, 1, size)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    return columns, rows


def _noise(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    grey = torch.randint(0, 256, images.shape, generator=generator).float()
    bell = torch.randn(images.shape, generator=generator) * 40 + _between(60, 190, generator)
    grey[::2] = bell[::2]
    return grey.clamp(0, 255).to(torch.uint8)


def _clouds(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Textures with a spectrum of 1 / f ** k, rough to smooth."""
    count, size = len(images), images.shape[-1]
    frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]).clamp_min(1 / size)
    slopes = torch.tensor([_between(0.3, 2.2, generator) for _ in range(count)]).view(-1, 1, 1)
    waves = torch.randn(count, size, size // 2 + 1, dtype=torch.complex64, generator=generator)
    return _whole_range(torch.fft.irfft2(waves * frequency**-slopes, s=(size, size)))


def _stripes(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Waves, crossed waves, bars and checks, coarse and fine."""
    x, y = _plane(images.shape[-1])
    made = []
    for index in range(len(images)):
        first, second = (
            torch.sin(_between(2, 60, generator) * (x * math.cos(angle) + y * math.sin(angle)))
            for angle in (_between(0, math.pi, generator), _between(0, math.pi, generator))
        )
        wave = first * second if index % 2 else first
        made.append(wave.sign() if index % 3 == 0 else wave)
    return _whole_range(torch.stack(made))


def _shapes(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Ellipses and boxes of even grey, as in phantoms, drawings and writing."""
    x, y = _plane(images.shape[-1])
    made = []
    for index in range(len(images)):
        grey = torch.full_like(x, _between(0, 1, generator) if index % 2 else 0.0)
        for _ in range(round(_between(1, 12, generator))):
            angle, left, top = (
                _between(low, high, generator) for low, high in ((0, math.pi), (-0.7, 0.7), (-0.7, 0.7))
            )
            along = (x - left) * math.cos(angle) + (y - top) * math.sin(angle)
            across = (y - top) * math.cos(angle) - (x - left) * math.sin(angle)
            along, across = along / _between(0.05, 0.9, generator), across / _between(0.05, 0.9, generator)
            round_one = _between(0, 1, generator) < 0.6
            inside = along.square() + across.square() < 1 if round_one else (along.abs() < 1) & (across.abs() < 1)
            grey[inside] = _between(0, 1, generator)
        made.append(grey)
    return (torch.stack(made) * 255).to(torch.uint8)[:, None]


def _ramps(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Even grey, and grey that rises evenly."""
    x, y = _plane(images.shape[-1])
    made = []
    for index in range(len(images)):
        angle, level, slope = (_between(0, high, generator) for high in (2 * math.pi, 1.0, 0.7))
        made.append(level + (slope if index % 2 else 0.0) * (x * math.cos(angle) + y * math.sin(angle)))
    return (torch.stack(made).clamp(0, 1) * 255).to(torch.uint8)[:, None]


# (N, 1, S, S) uint8 radiographs and a generator -> (N, 1, S, S) uint8
WRONG_PICTURES: dict[str, Making] = {
    "turned by 90": lambda images, _: images.rot90(1, (2, 3)),
    "turned by 180": lambda images, _: images.rot90(2, (2, 3)),
    "turned by 270": lambda images, _: images.rot90(3, (2, 3)),
    "upside down": lambda images, _: images.flip(2),
    "inverted": lambda images, _: 255 - images,
    "left half": lambda images, _: _stretched(images[..., : images.shape[-1] // 2]),
    "right half": lambda images, _: _stretched(images[..., images.shape[-1] // 2 :]),
    "top half": lambda images, _: _stretched(images[..., : images.shape[-1] // 2, :]),
    "bottom half": lambda images, _: _stretched(images[..., images.shape[-1] // 2 :, :]),
    "patch": _patches,
    "island": _islands,
    "shuffled": _shuffled,
    "silhouette": _silhouettes,
    "fog": lambda images, _: tf.gaussian_blur(images, [61, 61], [20.0, 20.0]),
    "noise": _noise,
    "clouds": _clouds,
    "stripes": _stripes,
    "shapes": _shapes,
    "even grey": _ramps,
}
