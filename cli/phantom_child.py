"""The build and the pose of a phantom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cli.phantom_film import Floats


@dataclass(frozen=True, slots=True)
class Child:
    """Build and pose. Lengths in mm, see ``phantom_film``."""

    half_width: float
    """Of the rib cage at its widest."""
    length: float
    """From the top of the lungs to the right dome of the diaphragm."""
    roundness: float
    """Depth of the rib cage by its width."""
    wall: float
    """Soft tissue outside the ribs."""
    yaw: float
    """Radians by which the child is turned about its long axis."""
    heart: float
    """Half width of the heart."""
    heart_lean: float
    """Share of the heart left of the midline beyond one half."""
    thymus: float
    rib_drop: float
    rib_height: float
    clavicle_height: float
    scapula: float
    """How far the scapulae are pulled out of the lungs."""
    shoulder: tuple[float, float]
    """x and y of the shoulder joint, left side."""
    arms: tuple[float, float]
    """Radians below the horizontal, right and left; negative is raised."""
    chin: float
    unevenness: Floats
    """(2, 16) by how much each rib, then clavicle, shoulder and scapula of the right and left side lie lower."""
    gas: float
    """Size of the stomach's air bubble."""

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Child:
        half_width = rng.uniform(82, 92)
        raised = rng.random() < 0.5
        arms = rng.uniform(-1.15, -0.75, 2) if raised else rng.uniform(0.5, 1.1, 2)
        return cls(
            half_width=half_width,
            length=half_width * rng.uniform(1.22, 1.42),
            roundness=rng.uniform(0.68, 0.76),
            wall=rng.uniform(12, 19),
            yaw=rng.uniform(-0.09, 0.09),
            heart=half_width * rng.uniform(0.43, 0.50),
            heart_lean=rng.uniform(0.24, 0.34),
            thymus=rng.uniform(0.0, 8.0),
            rib_drop=rng.uniform(26, 40),
            rib_height=rng.uniform(6.0, 7.2),
            clavicle_height=rng.uniform(-9, 1),
            scapula=rng.uniform(4, 14) if raised else rng.uniform(-6, 2),
            shoulder=(half_width * 0.94, rng.uniform(-14, -6) if raised else rng.uniform(-2, 6)),
            arms=(float(arms[0]), float(arms[1])),
            chin=rng.uniform(-34, -16),
            unevenness=rng.normal(0, [1.0] * 13 + [2.0, 3.0, 3.0], (2, 16)),
            gas=rng.uniform(14, 26),
        )

    def vertebra(self, level: float) -> float:
        """y of the middle of thoracic vertebra ``level``; 0 is C7, 13 is L1."""
        return (level - 1.6) * self.length / 8.2

    def cage(self, y: Floats) -> tuple[Floats, Floats]:
        """Half width and half depth inside the ribs."""
        share = np.clip((y + 7.0) / (self.length * 1.12 + 7.0), 0.0, 1.0)
        half_width = self.half_width * (1.0 - (1.0 - share) ** 1.9) ** 0.78
        half_depth = self.half_width * self.roundness * (1.0 - (1.0 - share) ** 1.7) ** 0.85
        return half_width.astype(np.float32), half_depth.astype(np.float32)

    def joint(self, side: int) -> tuple[float, float]:
        """Distance from the midline and y of a shoulder joint; ``side`` is -1 for the right one."""
        return self.shoulder[0], self.shoulder[1] + self.uneven(side, 14)

    def uneven(self, side: int, part: int) -> float:
        return float(self.unevenness[max(side, 0), part])

    def elbow(self, side: int) -> Floats:
        angle = self.arms[0 if side < 0 else 1]
        x, y = self.joint(side)
        return np.array([side * (x + 4 + 115 * np.cos(angle)), y + 115 * np.sin(angle), -8.0])

    def turned(self, points: Floats) -> Floats:
        x, y, z = points.T
        return np.stack([x * np.cos(self.yaw) + z * np.sin(self.yaw), y, z], axis=1)
