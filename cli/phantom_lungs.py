"""What is seen within a phantom's lungs: vessels, airways, and the air spaces that pneumonia fills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cli.phantom_child import Child
from cli.phantom_film import Film, Floats, noise
from cli.phantom_tubes import Cloud

STEPS = 6
"""Straight pieces of a branch before it forks."""
GENERATIONS = 5


@dataclass(frozen=True, slots=True)
class Tree:
    """Pulmonary vessels from both hila outwards, tapering."""

    paths: Floats
    """(n, STEPS + 1, 3) mm"""
    radii: Floats
    """(n,) mm where each branch begins; it loses a fifth on its way."""

    @classmethod
    def grown(cls, child: Child, rng: np.random.Generator) -> Tree:
        angles = np.tile(np.linspace(-1.25, 1.3, 12), 2) + rng.uniform(-0.12, 0.12, 24)
        sides = np.repeat([-1, 1], 12)
        starts = np.stack([sides * 21.0, child.length * (0.52 - 0.02 * sides), np.full(24, -4.0)], axis=1)
        starts += rng.normal(0, (3, 9, 9), (24, 3))
        headings = np.stack([sides * np.cos(angles), np.sin(angles), rng.uniform(-0.45, 0.45, 24)], axis=1)
        radii = rng.uniform(1.7, 2.9, 24)
        paths, widths = [], []
        for _ in range(GENERATIONS):
            path = [starts]
            for _ in range(STEPS):
                headings = headings + rng.normal(0, 0.10, headings.shape)
                headings /= np.linalg.norm(headings, axis=1, keepdims=True)
                path.append(path[-1] + headings * rng.uniform(2.4, 4.2, (len(headings), 1)))
            paths.append(np.stack(path, axis=1))
            widths.append(radii)
            spread = rng.normal(0, 0.5, headings.shape)
            starts, headings = np.tile(path[-1], (2, 1)), np.concatenate([headings + spread, headings - spread])
            radii = 0.8 * np.concatenate([radii * rng.uniform(0.75, 1.0), radii * rng.uniform(0.6, 0.9)])
        return cls(np.concatenate(paths), np.concatenate(widths))

    def vessels(self) -> Cloud:
        return _beads(self.paths, self.radii)

    def airways(self) -> Cloud:
        """Bronchi run beside the larger arteries; they show only where the lung around them is filled."""
        wide = self.radii > 0.6
        return _beads(self.paths[wide] + (1.5, -1.5, 0.0), self.radii[wide])


def _beads(paths: Floats, radii: Floats) -> Cloud:
    """Tubes as strings of balls, each of a few points."""
    each, ball = 7, 12
    share = np.linspace(0.0, STEPS, STEPS * each, endpoint=False)
    lower, rest = share.astype(int), (share % 1.0)[:, None]
    line = paths[:, lower] * (1 - rest) + paths[:, lower + 1] * rest
    radius = radii[:, None] * (1.0 - 0.2 * share / STEPS)
    turn = np.arange(ball) * np.pi * (3.0 - np.sqrt(5.0))
    height = np.linspace(-0.9, 0.9, ball)
    rim = np.sqrt(1.0 - height**2) * 0.85
    offsets = np.stack([rim * np.cos(turn), rim * np.sin(turn), height], axis=1)
    points = line[:, :, None] + radius[..., None, None] * offsets
    advance = np.linalg.norm(np.diff(paths, axis=1), axis=2).mean(axis=1)[:, None] / each
    volumes = np.repeat((np.pi * radius**2 * advance)[..., None] / ball, ball, axis=2)
    return points.reshape(-1, 3).astype(np.float32), volumes.reshape(-1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Disease:
    """What pneumonia does to the lungs, on the film's grid."""

    filled: Floats
    """(h, w) float32 in [0, 1]: share of the air replaced by fluid."""
    thickened: Floats
    """(h, w) float32 >= 0: mm of water of thickened interstitium for each mm of lung."""

    @classmethod
    def none(cls, film: Film) -> Disease:
        nothing = np.zeros(film.shape, dtype=np.float32)
        return cls(nothing, nothing)

    @classmethod
    def pneumonia(cls, child: Child, film: Film, rng: np.random.Generator) -> Disease:
        x, y = film.grid()
        pattern = _Pattern.of(rng)
        ragged = noise(film.shape, film.cell, 24.0, rng, octaves=3)
        filled = np.zeros(film.shape, dtype=np.float32)
        for focus in pattern.foci:
            u = (x / child.half_width - focus.x) / focus.half_width
            v = (y / child.length - focus.y) / focus.half_height
            reach = 1.0 - u**2 - v**2 + 0.3 * ragged
            filled = np.maximum(filled, focus.share / (1.0 + np.exp(-2.2 * np.maximum(reach, -12.0))))
        hilar = sum(np.exp(-(((x - side * 26) / 24) ** 2) - ((y - 0.55 * child.length) / 34) ** 2) for side in (-1, 1))
        filled = np.maximum(filled, pattern.hilar * hilar * (1 + 0.3 * ragged))
        mottle = noise(film.shape, film.cell, 7.0, rng, octaves=3)
        net = 1.0 - np.abs(noise(film.shape, film.cell, 7.0, rng, octaves=4))  # bright along the noise's zero lines
        return cls(
            np.clip(filled * (1.0 + 0.09 * mottle), 0.0, 0.97).astype(np.float32),
            (pattern.interstitial * np.clip(net, 0.0, None) * (0.5 + hilar)).astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class _Focus:
    """A soft ellipse; places and sizes as shares of the chest's half width and of the lungs' length."""

    x: float
    y: float
    half_width: float
    half_height: float
    share: float
    """Of the air filled in its middle."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    foci: tuple[_Focus, ...]
    hilar: float
    """Share of the air filled around both hila."""
    interstitial: float

    @classmethod
    def of(cls, rng: np.random.Generator) -> _Pattern:
        kind = rng.choice(["lobar", "patchy", "interstitial"])
        if kind == "lobar":
            # right upper, right lower, left lower, left upper; and a lesser focus on the other side
            x, y = [(-0.45, 0.30), (-0.42, 0.78), (0.50, 0.80), (0.42, 0.30)][rng.integers(4)]
            lobe = _Focus(x, y, 0.38, 0.32, rng.uniform(0.85, 0.97))
            return cls((lobe, _Focus(-x, 0.6, 0.28, 0.28, rng.uniform(0.45, 0.7))), hilar=0.40, interstitial=0.05)
        foci = tuple(
            _Focus(
                x=rng.choice([-1, 1]) * rng.uniform(0.28, 0.62),
                y=rng.uniform(0.30, 0.95),
                half_width=rng.uniform(0.16, 0.30),
                half_height=rng.uniform(0.12, 0.25),
                share=rng.uniform(0.55, 0.9) * (0.65 if kind == "interstitial" else 1.0),
            )
            for _ in range(rng.integers(6, 11))
        )
        return cls(foci, hilar=0.60, interstitial=0.12 if kind == "interstitial" else 0.08)
