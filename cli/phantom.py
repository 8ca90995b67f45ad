"""Synthetic frontal chest radiographs of children: the samples this project ships.

They are drawn by the code of the ``phantom_*`` modules alone: no image of a patient is in them, whole or in part. Only
ranges of build and brightness were set by looking at real films beside them. A child is built from its seed (chest,
heart, diaphragm, bones, vessels, air spaces), X-rays are sent through it (attenuation, scatter, quantum noise), and
the film is shown as a viewer would show it.

The seeds and formats of ``SAMPLES`` were chosen so that the demo shows both outcomes. What the model says about them
therefore says nothing about how good the model is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cli.phantom_body import LUNG_DENSITY, body
from cli.phantom_child import Child
from cli.phantom_film import Exposure, Film, Floats, expose, mark, noise
from cli.phantom_lungs import Disease, Tree
from cli.phantom_skeleton import skeleton


@dataclass(frozen=True, slots=True)
class Sample:
    """An invented child, and the seed, state of health and format of its radiograph."""

    seed: int
    pneumonia: bool
    rows: int
    columns: int
    patient_id: str
    patient_name: str
    patient_sex: Literal["F", "M"]
    patient_age: str
    """VR AS"""


SAMPLES = (
    Sample(3, False, 1200, 1400, "DEMO-001", "Demo^Ada", "F", "003Y"),
    Sample(8, True, 980, 1400, "DEMO-002", "Demo^Ben", "M", "002Y"),
    Sample(12, False, 1320, 1250, "DEMO-003", "Demo^Cleo", "F", "004Y"),
    Sample(20, True, 1020, 1480, "DEMO-004", "Demo^Dov", "M", "003Y"),
    Sample(1, False, 980, 1400, "DEMO-005", "Demo^Eli", "M", "002Y"),
    Sample(19, True, 1100, 1500, "DEMO-006", "Demo^Fay", "F", "004Y"),
)


def draw(seed: int, pneumonia: bool, *, rows: int = 1400, columns: int = 1200) -> npt.NDArray[np.uint8]:
    """(rows, columns) uint8, high is white. With one seed and format, the healthy and the ill child are the same child.

    Raises:
        ValueError: a side is shorter than 64 pixels.
    """
    if min(rows, columns) < 64:
        raise ValueError(f"a phantom has at least 64 rows and 64 columns, got {rows} x {columns}")
    build, illness, quanta = (np.random.default_rng([seed, stream]) for stream in range(3))
    child = Child.drawn(build)
    film = _film(child, rows, columns, build)
    exposure = Exposure(
        scatter=build.uniform(0.25, 0.45),
        quanta=build.uniform(9000, 16000),
        depth=build.uniform(1.45, 1.75),
        contrast=build.uniform(1.4, 1.6),
        enhancement=build.uniform(0.5, 1.3),
    )
    tree = Tree.grown(child, build)
    marker = (build.uniform(0.04, 0.08), build.uniform(0.12, 0.4))
    disease = Disease.pneumonia(child, film, illness) if pneumonia else Disease.none(film)
    grey = expose(_water(child, film, tree, disease, build), film, exposure, quanta)
    mark(grey, "R", marker)
    return np.rint(grey * 255).astype(np.uint8)


def _film(child: Child, rows: int, columns: int, rng: np.random.Generator) -> Film:
    trunk = 2.0 * (child.half_width + child.wall) + rng.uniform(10, 36)
    width = max(trunk, 1.25 * child.length * columns / rows)  # a low film is taken from further away
    return Film(
        rows=rows,
        columns=columns,
        width=width,
        top=0.52 * child.length + rng.uniform(0, 6) - width * rows / columns / 2,
        shift=rng.uniform(-5, 5),
        tilt=rng.uniform(-0.05, 0.05),
    )


def _water(child: Child, film: Film, tree: Tree, disease: Disease, rng: np.random.Generator) -> Floats:
    """(h, w) mm of water in each ray."""
    organs = body(child, *film.grid())
    muscle = noise(film.shape, film.cell, 38.0, rng, octaves=3)
    texture = noise(film.shape, film.cell, 5.0, rng, octaves=4)
    aerated = organs.lung * (1 - disease.filled)
    beside_heart = np.clip(organs.lung / 70.0, 0.0, 1.0)
    water = organs.tissue * (1 + 0.018 * muscle) - (1 - LUNG_DENSITY) * aerated
    water += aerated * (0.018 * texture + disease.thickened)
    # Vessels are seen against air, airways against what has replaced it: the air bronchogram.
    water += np.minimum(film.cast(*tree.vessels()), 9.0) * beside_heart * (1 - disease.filled)
    water -= 0.8 * film.cast(*tree.airways()) * beside_heart * disease.filled
    return water + film.cast(*skeleton(child))
