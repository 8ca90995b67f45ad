"""The bones of a phantom.

Where a rib turns from back to front it lies along the beam, so its shadow is dense there without any doing of ours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cli.phantom_child import Child
from cli.phantom_tubes import Cloud, merged, tube

CORTEX = 2.3
"""mm of water that 1 mm of a child's compact bone shades like, beyond the tissue it displaces."""
MARROW = 0.34


def skeleton(child: Child) -> Cloud:
    """All bones, turned with the child."""
    parts = [*_spine(child)]
    for side in (-1, 1):
        parts += _ribs(child, side)
        parts += _shoulder(child, side)
    parts += _jaw(child)
    points, volumes = merged(parts)
    return child.turned(points), volumes


def _ribs(child: Child, side: int) -> Iterator[Cloud]:
    for number in range(1, 13):
        start = child.vertebra(number)
        uneven = child.uneven(side, number)
        reach = np.pi * {1: 0.78, 11: 0.46, 12: 0.36}.get(number, 0.80 - 0.008 * number)
        turn = np.linspace(0.10, reach, 60)
        drop = child.rib_drop * (0.55 + 0.085 * min(number, 7))
        rise = 2.5 * np.sin(np.clip(turn / 0.9, 0, 1) * np.pi)
        y = start + uneven * np.sin(turn / 2) - rise + drop * (1 - np.cos(turn)) / 2 * (1 + 0.25 * (1 - np.cos(turn)))
        half_width, half_depth = child.cage(y)
        x = side * (half_width + 2.0) * np.sin(turn) ** 0.85
        z = -(half_depth + 1.5) * np.cos(turn)
        x += side * np.clip(9.0 - np.abs(x), 0.0, 9.0)
        size = 0.72 if number == 1 else 1.0 - 0.05 * max(0, number - 10)
        height = size * child.rib_height * (1.0 + 0.25 * np.clip((turn / np.pi - 0.62) / 0.18, 0, 1))
        radii = np.stack([np.full_like(height, 1.7 * size), height / 2], axis=1)
        radii *= np.clip((reach - turn) / 0.7, 0.15, 1.0)[:, None] ** (0.7, 0.2)  # bone gives way to cartilage
        yield tube(np.stack([x, y, z], axis=1), radii, wall=0.72 * CORTEX, core=MARROW * 1.3)


def _spine(child: Child) -> Iterator[Cloud]:
    for level in range(-6, 17):
        y = child.vertebra(level)
        gap = child.vertebra(level + 1) - y
        wide = 9.6 + 0.16 * (level + 6)
        z = -child.cage(np.array([max(y, 20.0)]))[1][0] * 0.62
        height = gap * 0.76
        ends = [(0.0, y - height / 2, z), (0.0, y - height / 6, z), (0.0, y + height / 6, z), (0.0, y + height / 2, z)]
        waist = np.array([(wide, 7.5), (wide * 0.9, 7.0), (wide * 0.9, 7.0), (wide, 7.5)])
        yield tube(np.array(ends), waist, wall=0.45 * CORTEX, core=MARROW * 1.3, facing=(0.0, 0.0, 1.0))
        for edge in (-0.46, 0.46):
            plate = np.array([(0.0, y + edge * height - 0.6, z), (0.0, y + edge * height + 0.6, z)])
            yield tube(plate, (wide * 0.96, 6.0), core=0.9, facing=(0.0, 0.0, 1.0))
        for side in (-1, 1):
            pedicle = np.array([(side * wide * 0.78, y - 1.2, z - 11), (side * wide * 0.74, y - 1.2, z - 4)])
            yield tube(pedicle, (2.0, 2.9), wall=0.36 * CORTEX, core=MARROW)
            lamina = np.array([(side * wide * 0.75, y, z - 11), (side * 1.0, y + 4.0, z - 19)])
            yield tube(lamina, (1.0, 3.0), wall=0.4 * CORTEX, core=MARROW)
            if 1 <= level <= 12:
                process = np.array([(side * wide * 0.8, y, z - 12), (side * (wide + 8.5), y - 1.8, z - 16)])
                yield tube(process, (2.0, 2.6), wall=0.5 * CORTEX, core=MARROW)
        spinous = np.array([(0.0, y + 3.0, z - 18), (0.0, y + 8.0, z - 27)])
        yield tube(spinous, (1.6, 3.2), wall=0.5 * CORTEX, core=MARROW, facing=(0.0, 1.0, 1.0))


def _shoulder(child: Child, side: int) -> Iterator[Cloud]:
    """Clavicle, scapula and upper arm."""
    joint_x, joint_y = child.joint(side)
    s = np.linspace(0.0, 1.0, 40)
    x = 9.0 + (joint_x - 13.0) * s
    inner = child.clavicle_height + child.uneven(side, 13)
    y = inner + (joint_y - 9.0 - inner) * s**1.2 + 2.2 * np.sin(2 * np.pi * s)
    z = 30.0 - 34.0 * s + 5.0 * np.sin(2 * np.pi * s)
    thick = (2.3 + 1.3 * (np.abs(s - 0.45) * 2) ** 3) * np.clip(np.sin(np.pi * s) * 9, 0.25, 1) ** 0.5
    yield tube(np.stack([side * x, y, z], axis=1), np.stack([thick, thick * 1.1], axis=1), 0.95 * CORTEX, MARROW)

    glenoid = np.array([joint_x - 5.0, joint_y + 4.0, -25.0])
    angle = np.array([joint_x - 16.0 + child.uneven(side, 15) + child.scapula, joint_y + 58.0, -52.0])
    corner = np.array([joint_x - 33.0 + child.scapula, joint_y + 4.0, -50.0])
    flip = np.array([side, 1.0, 1.0])
    for edge, wall in (((glenoid, angle), 0.6), ((corner, angle), 0.12), ((corner, glenoid), 0.15)):
        bend = np.linspace(0, 1, 12)[:, None]
        line = (
            edge[0] * (1 - bend) + edge[1] * bend + np.array([4.0, 0.0, 0.0]) * np.sin(np.pi * bend) * (wall - 0.3) * 2
        )
        yield tube(line * flip, (1.1, 1.4), wall * CORTEX, MARROW * wall, facing=(0.3, 0.5, 1.0))
    a, b = np.meshgrid(np.linspace(0, 1, 110), np.linspace(0, 1, 110))
    blade = (
        glenoid + b[..., None] * ((corner - glenoid) * a[..., None] + (angle - glenoid) * (1 - a[..., None]))
    ).reshape(-1, 3)
    area = np.linalg.norm(np.cross(corner - glenoid, angle - glenoid)) / 2
    yield (blade * flip).astype(np.float32), (2.0 * area / a.size * b.reshape(-1) * 1.5).astype(np.float32)
    ridge = np.array([corner * 0.8 + angle * 0.2 - np.array([0.0, 0.0, 6.0]), glenoid + np.array([2.0, -9.0, -8.0])])
    yield tube(ridge * flip, (1.4, 2.6), 0.5 * CORTEX, MARROW)
    coracoid = np.array(
        [
            glenoid + np.array([-6.0, -2.0, 6.0]),
            glenoid + np.array([-3.0, -9.0, 20.0]),
            glenoid + np.array([3.0, -8.0, 28.0]),
        ]
    )
    yield tube(coracoid * flip, (2.4, 2.8), 0.5 * CORTEX, MARROW)

    elbow = child.elbow(side)
    head = np.array([side * (joint_x + 3.0), joint_y, -10.0])
    direction = (elbow - head) / np.linalg.norm(elbow - head)
    shaft = np.stack([head + direction * 9.0, head + direction * 18.0, head + direction * 32.0, elbow])
    yield tube(
        shaft, np.array([(9.0, 9.0), (6.6, 6.6), (5.4, 5.4), (5.2, 5.2)]), 1.3 * CORTEX, 0.2, facing=(0.0, 0.0, 1.0)
    )
    plate = np.stack([head + direction * 8.6, head + direction * 9.6])
    yield tube(plate, (8.6, 8.6), core=0.6, facing=(0.0, 0.0, 1.0))
    nucleus = np.stack([head - direction * 2.0, head + direction * 1.0, head + direction * 4.0])
    yield tube(nucleus, np.array([(1.0, 1.0), (5.5, 5.5), (4.5, 4.5)]), 0.0, 0.35, facing=(0.0, 0.0, 1.0))


def _jaw(child: Child) -> Iterator[Cloud]:
    turn = np.linspace(-1.35, 1.35, 60)
    x, z = 33.0 * np.sin(turn), 12.0 + 40.0 * np.cos(turn)
    y = child.chin - 26.0 * (1 - np.cos(turn)) - 4.0
    yield tube(np.stack([x, y, z], axis=1), (4.0, 9.0), 0.8 * CORTEX, 0.45)
