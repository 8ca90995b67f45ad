"""Soft parts of a phantom, as chords: for each ray the stretch of the depth axis that lies within the organ.

Organs are centred bodies whose section along the ray is one interval, so lung is chest minus the union of heart,
abdomen and mediastinum, in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cli.phantom_child import Child
from cli.phantom_film import Floats

LUNG_DENSITY = 0.20


@dataclass(frozen=True, slots=True)
class Body:
    """Chords on the film's grid, each (h, w) float32 in mm."""

    tissue: Floats
    """Water along the ray if the lungs were solid; gas in the gut is left out already."""
    lung: Floats


def body(child: Child, x: Floats, y: Floats) -> Body:
    half_width, half_depth = child.cage(y)
    chest = 2 * half_depth * _arch(x, half_width, 2.7)
    heart, heart_centre = _heart(child, x, y)
    abdomen, abdomen_centre = _abdomen(child, x, y)
    overlap = np.minimum(heart_centre + heart / 2, abdomen_centre + abdomen / 2) - np.maximum(
        heart_centre - heart / 2, abdomen_centre - abdomen / 2
    )
    solid = heart + abdomen - np.clip(overlap, 0.0, None)
    lung = np.clip(chest - np.minimum(solid, chest), 0.0, None) * _beside_spine(child, x, y)
    lung *= _step(y, child.vertebra(1.4), 6.0)
    return Body(tissue=_outline(child, x, y) - _gas(child, x, y), lung=lung.astype(np.float32))


def _outline(child: Child, x: Floats, y: Floats) -> Floats:
    """Trunk, neck, head, shoulders and arms; they overlap, so the thickest counts, softly."""
    _, half_depth = child.cage(y)
    shoulder = child.shoulder[1]
    sides = child.half_width + child.wall
    trunk_width = 34 + (sides - 34) * _step(y, shoulder - 34.0, 84.0) * (1 - 0.04 * _step(y, child.length * 1.15, 60.0))
    trunk_depth = np.maximum(half_depth + child.wall * 0.8, 44.0)
    neck_width = 33.0 + 26.0 * _step(y, -34.0, 40.0)
    head = np.clip(1 - (x / 62) ** 2 - ((y - child.chin + 58) / 62) ** 2, 0, None)
    parts = [
        2 * trunk_depth * _arch(x, trunk_width, 2.2),
        84 * _arch(x, neck_width, 2.0) * (1 - _step(y, 0.0, 40.0)),
        125 * np.sqrt(head),
    ]
    for side in (-1, 1):
        joint_x, joint_y = child.joint(side)
        joint = np.array([side * joint_x, joint_y])
        parts.append(_capsule(x, y, np.array([side * 18.0, -12.0]), joint - (side * 6, 0), radii=(36.0, 31.0)))
        parts.append(_capsule(x, y, joint, child.elbow(side)[:2], radii=(28.0, 21.0)))
        armpit = np.array([side * (child.half_width - 8), joint_y + 60.0])
        parts.append(_capsule(x, y, joint, armpit, radii=(30.0, 22.0)))
    return np.sum([part**4 for part in parts], axis=0) ** 0.25


def _heart(child: Child, x: Floats, y: Floats) -> tuple[Floats, float]:
    """Chord and middle of heart, great vessels and thymus, from the right edge to the left one."""
    centre = 12.0
    level = y / child.length
    bulge = np.sin(np.clip((level - 0.02) / 0.42, 0.0, 1.0) * np.pi)
    right = 11.0 + 3.0 * level + child.thymus * bulge
    right += (
        (child.heart * (1 - child.heart_lean) - 12.0) * _step(level, 0.30, 0.50) * (1 - 0.45 * _step(level, 0.74, 0.5))
    )
    left = 13.0 + 3.0 * _step(level, 0.18, 0.1) + child.thymus * bulge
    left += (child.heart * (1 + child.heart_lean) - 16.0) * _step(level, 0.22, 0.72)
    left -= 24.0 * _step(level, 0.92, 0.36)
    shift = centre * np.sin(child.yaw)
    share = (2 * (x - shift) - (left - right)) / (left + right)
    depth = child.half_width * (0.50 + 0.25 * _step(level, 0.3, 0.5)) * _step(level, -0.35, 0.3)
    return (depth * _arch(share, np.ones_like(share), 2.1)).astype(np.float32), centre


def _abdomen(child: Child, x: Floats, y: Floats) -> tuple[Floats, float]:
    """Chord and middle of what lies under the domes of the diaphragm."""
    chords = []
    for middle, top in ((-0.47, child.length), (0.50, child.length + 9.0)):
        sag = ((x / child.half_width - middle) / 0.62) ** 2 * 16.0
        sag += np.clip(np.abs(x / child.half_width - middle) - 0.36, 0, None) ** 2 * 190.0
        below = np.clip(y - top - sag, 0.0, None)
        chords.append(2 * child.half_width * child.roundness * np.clip(below / 36.0, 0, 1.6) ** 0.42)
    return np.maximum(chords[0], chords[1]).astype(np.float32), -4.0


def _beside_spine(child: Child, x: Floats, y: Floats) -> Floats:
    """0 in the midline, 1 in the lungs: the spine and what lies on it fill the gap between them."""
    level = y / child.length
    return _step(np.abs(x), 7.0 + 2.0 * level, 7.0 + 16.0 * _step(level, 0.25, 0.5))


def _gas(child: Child, x: Floats, y: Floats) -> Floats:
    """Air in the windpipe, the stomach and the gut."""
    carina = child.vertebra(4.6)
    trachea = (
        8.5 * _arch(x - 1.5 - 0.03 * y, np.full_like(y, 4.6), 2.0) * (1 - _step(y, carina, 5.0)) * _step(y, -60.0, 10.0)
    )
    for side, slope, radius in ((-1, 1.15, 3.4), (1, 0.85, 3.0)):
        foot = np.array([1.5 + side * 24.0, carina + 24.0 * slope])
        trachea += _capsule(x, y, np.array([1.5, carina]), foot, radii=(radius, radius * 0.8)) * (
            0.8 if side < 0 else 0.6
        )
    size = child.gas
    mid_x, mid_y = child.half_width * 0.42, child.length + 24.0 + size * 0.75
    stomach = np.clip(
        1 - ((x - mid_x) / (size * 1.35)) ** 2 - ((y - mid_y) / size + 0.25 * (x - mid_x) / size) ** 2, 0, None
    )
    gas = trachea + size * 1.05 * np.sqrt(stomach)
    for dx, dy, r in ((-12, 68, 9), (30, 74, 12), (55, 62, 8), (-45, 82, 10), (8, 88, 11)):
        loop = np.clip(1 - ((x - dx) / (r * 1.5)) ** 2 - ((y - child.length - dy) / r) ** 2, 0, None)
        gas += 0.9 * r * np.sqrt(loop)
    return gas.astype(np.float32)


def _arch(x: Floats, half_width: Floats, power: float) -> Floats:
    """Height of the unit superellipse at x / half_width."""
    share = np.abs(x) / np.maximum(half_width, 1e-3)
    return np.clip(1.0 - share**power, 0.0, None) ** (1.0 / power)


def _step(values: Floats, start: float | Floats, length: float | Floats) -> Floats:
    """0 before ``start``, 1 after ``start + length``, smooth between."""
    share = np.clip((values - start) / length, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _capsule(x: Floats, y: Floats, start: Floats, end: Floats, *, radii: tuple[float, float]) -> Floats:
    """Chord of a round limb that tapers from start to end."""
    axis = end - start
    share = np.clip(((x - start[0]) * axis[0] + (y - start[1]) * axis[1]) / (axis @ axis), 0.0, 1.0)
    radius = radii[0] + (radii[1] - radii[0]) * share
    distance = np.hypot(x - start[0] - share * axis[0], y - start[1] - share * axis[1])
    return 2 * np.sqrt(np.clip(radius**2 - distance**2, 0.0, None))
