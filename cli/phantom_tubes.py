"""Tubes of a phantom as clouds of small bodies: wall and core are sampled, and each sample casts its shadow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cli.phantom_film import Floats

STEP = 0.6
"""mm between samples along a tube."""
GOLDEN = 0.618034

Cloud = tuple[Floats, Floats]
"""(n, 3) positions in mm and (n,) volumes in mm3 of water."""


def tube(
    path: Floats,
    radii: tuple[float, float] | Floats,
    wall: float = 0.0,
    core: float = 0.0,
    *,
    facing: tuple[float, float, float] = (0.0, 1.0, 0.0),
) -> Cloud:
    """A tube along ``path`` (n, 3), elliptical in section.

    Args:
        radii: across ``facing`` and along it; two numbers, or (n, 2) for a tube that tapers.
        wall: mm of water that the wall shades like.
        core: water-equivalent density of the inside.
        facing: a direction never along the path, that orients the section.
    """
    path = np.asarray(path, dtype=np.float32)
    widths = np.broadcast_to(np.asarray(radii, dtype=np.float32), (len(path), 2))
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    stops = np.linspace(0.0, along[-1], max(int(along[-1] / STEP) + 1, 4))
    line = np.stack([np.interp(stops, along, path[:, axis]) for axis in range(3)], axis=1)
    width = np.stack([np.interp(stops, along, widths[:, axis]) for axis in range(2)], axis=1)
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    across = np.cross(tangent, np.asarray(facing))
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    up = np.cross(across, tangent)
    advance = stops[1] - stops[0]

    widest = width.max()
    around = int(np.clip(2 * np.pi * widest / STEP, 8, 160))
    # Samples of neighbouring rings are staggered, or the rows of them would show as stripes.
    angles = 2 * np.pi / around * (np.arange(around) + GOLDEN * np.arange(len(line))[:, None])
    cos, sin = np.cos(angles), np.sin(angles)
    rings = [(1.0, wall)] if wall else []
    layers = max(1, int(widest / 1.4)) if core else 0
    rings += [(float(np.sqrt((layer + 0.5) / layers)), 0.0) for layer in range(layers)]
    positions, volumes = [], []
    for radius, thickness in rings:
        a, b = width[:, :1] * radius, width[:, 1:] * radius
        positions.append(line[:, None] + (a * cos)[..., None] * across[:, None] + (b * sin)[..., None] * up[:, None])
        if thickness:
            share = np.hypot(a * sin, b * cos) * (2 * np.pi / around) * thickness
        else:
            share = np.broadcast_to(core * np.pi * width[:, :1] * width[:, 1:] / (layers * around), cos.shape)
        volumes.append(share * advance)
    return (
        np.concatenate([p.reshape(-1, 3) for p in positions]).astype(np.float32),
        np.concatenate([v.reshape(-1) for v in volumes]).astype(np.float32),
    )


def merged(clouds: Sequence[Cloud]) -> Cloud:
    return np.concatenate([cloud[0] for cloud in clouds]), np.concatenate([cloud[1] for cloud in clouds])
