"""Which samples a run learns from and which it is judged by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from core.errors import ConfigurationError
from ml.data import Sample, Split, split_by_patient

HoldOut = Literal["patients", "series"]
VALIDATION_PARTS = 8
"""One patient in so many is held out."""

_PERSON = re.compile(r"person(\d+)", re.IGNORECASE)


def hold_out(samples: Sequence[Sample], by: HoldOut, seed: int) -> Split:
    """Split by patient at random (``patients``), or along how the public images were collected (``series``).

    The latter trains on the series ``IM-`` and on the later person numbers, and validates on the series ``NORMAL2-IM-``
    and on the earlier persons: other rooms and times, about half of the data.

    Raises:
        ConfigurationError: the samples cannot be split so.
    """
    if by == "patients":
        return split_by_patient(samples, parts=VALIDATION_PARTS, seed=seed)
    normal = [sample for sample in samples if sample.label == 0]
    second = [sample for sample in normal if sample.name.upper().startswith("NORMAL2")]
    numbers = {sample: int(match[1]) for sample in samples if (match := _PERSON.match(sample.name))}
    if not second or len(second) == len(normal) or not numbers:
        raise ConfigurationError(
            "--hold-out series needs the public file names (IM-..., NORMAL2-IM-..., person...): use --hold-out patients"
        )
    last = np.quantile(list(numbers.values()), len(second) / len(normal))
    early = {sample for sample, number in numbers.items() if number <= last}
    held = {*second, *early}
    return Split(tuple(s for s in samples if s not in held), tuple(s for s in samples if s in held))


def held_out_samples(samples: Sequence[Sample], provenance: Mapping[str, Any]) -> list[Sample]:
    """Those of the training's data that the training held out, as the weights' record says.

    Raises:
        ConfigurationError: the record does not say how, or the data is not what the training had.
    """
    try:
        held = hold_out(samples, provenance["hold_out"], provenance["seed"]).validation
        expected = provenance["validation_data"]["images"]
    except KeyError as exc:
        raise ConfigurationError(f"the weights' record does not say what was held out ({exc} is missing)") from exc
    if len(held) != expected:
        raise ConfigurationError(
            f"{len(held)} images of this data would have been held out, and the record says {expected}: "
            "--held-out needs the data the model was trained on"
        )
    return list(held)
