"""What the validation patients say about a trained network: calibration, threshold, and figures that can choose.

Figures on the images as they are saturate. Beside them stand stress copies, swaps (``ml.stress``) and the images whose
acquisition speaks against their label (``ml.acquisition``): there a network that reads exposure and frame fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from ml import acquisition
from ml.calibration import Labels, Logits, calibrated, choose_threshold, fit_temperature_and_offset
from ml.evaluation import Evaluation, evaluate, expected_calibration_error
from ml.networks import Network, pneumonia_logit, shift_logits
from ml.stress import STRESSES, SWAPS

BATCH = 64
STRESSED_IMAGES = 800
"""At most so many are stressed: a dozen copies of thousands would take longer than the training."""

Chosen = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Validation:
    """Held-out images (N, 1, S, S) uint8 with labels (N,) in {0, 1}, patients, and what acquisition alone says."""

    images: torch.Tensor
    labels: Labels
    patients: Sequence[str]
    shortcut: Logits
    """(N,) log odds of pneumonia from acquisition alone, learned on the training images."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A calibrated network's probabilities on validation images; made by ``Judgement.of``."""

    validation: Validation
    plain: Logits
    copies: dict[str, Logits]
    """By stress copy and swap, of the images in ``stressed``."""
    stressed: npt.NDArray[np.int64]
    temperature: float
    threshold: float
    calibration: dict[str, float]

    @classmethod
    def of(cls, network: Network, validation: Validation, *, sensitivity: float, seed: int) -> Self:
        """Calibrate ``network`` (its last biases move), then look at every copy."""
        labels = validation.labels
        raw = logits_of(network, validation.images)
        temperature, offset = fit_temperature_and_offset(raw, labels)
        shift_logits(network, offset)
        plain = calibrated(raw + offset, temperature)
        stressed = np.sort(np.random.default_rng(seed).permutation(len(labels))[:STRESSED_IMAGES])
        images, truth = validation.images[stressed], torch.from_numpy(labels[stressed])
        copies = {name: stress(images) for name, stress in STRESSES.items()}
        scored = {name: calibrated(logits_of(network, copy), temperature) for name, copy in copies.items()}
        threshold = choose_threshold(
            np.concatenate([*scored.values()]), np.tile(labels[stressed], len(scored)), sensitivity=sensitivity
        )
        for name, swap in SWAPS.items():
            scored[name] = calibrated(logits_of(network, swap(images, truth)), temperature)
        calibration = {
            "temperature": temperature,
            "offset": offset,
            "ece_before": expected_calibration_error(labels, calibrated(raw, 1.0)),
            "ece_after": expected_calibration_error(labels, plain),
        }
        return cls(validation, plain, scored, stressed, temperature, threshold, calibration)

    def evaluation(self) -> Evaluation:
        return evaluate(self.validation.labels, self.plain, self.threshold, self.validation.patients)

    def figures(self) -> dict[str, Any]:
        """AUC, accuracy, sensitivity and specificity of each part, at the threshold."""
        labels = self.validation.labels
        return {
            "plain": self._summary(labels, self.plain),
            "stress_copies": {name: self._summary(labels[self.stressed], self.copies[name]) for name in STRESSES},
            "swaps": {name: self._summary(labels[self.stressed], self.copies[name]) for name in SWAPS},
            "acquisition_alone": self._summary(labels, calibrated(self.validation.shortcut, 1.0)),
            "against_the_grain": self._against_the_grain(),
        }

    def _against_the_grain(self) -> dict[str, float] | None:
        """Of the normal images that were acquired like pneumonia, held against all of pneumonia: the test of elsewhere.

        None where there are fewer than two.
        """
        labels = self.validation.labels
        against = acquisition.speaks_against(self.validation.shortcut, labels)
        normals, ill = against & (labels == 0), against & (labels == 1)
        if normals.sum() < 2 or not ill.any():
            return None
        of = normals | (labels == 1)
        return {
            "normals": int(normals.sum()),
            "specificity": round(float((self.plain[normals] < self.threshold).mean()), 4),
            "auc": round(float(roc_auc_score(labels[of], self.plain[of])), 4),
            "pneumonia": int(ill.sum()),
            "sensitivity": round(float((self.plain[ill] >= self.threshold).mean()), 4),
        }

    def _summary(self, labels: Labels, probabilities: Logits) -> dict[str, float]:
        figures = evaluate(labels, probabilities, self.threshold, [str(n) for n in range(len(labels))], resamples=0)
        chosen = ("auc", "accuracy", "sensitivity", "specificity")
        return {"n": figures.n, **{name: round(getattr(figures, name), 4) for name in chosen}}


def logits_of(network: Network, images: torch.Tensor) -> Logits:
    """(N, 1, S, S) uint8 to the log odds of pneumonia (N,) float64, computed in float32 as in service."""
    with torch.inference_mode():
        parts = [pneumonia_logit(network(part.float() / 255.0)) for part in images.split(BATCH)]
    return torch.cat(parts).double().numpy()
