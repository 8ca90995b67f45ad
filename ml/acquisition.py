"""How a radiograph was acquired, without the lungs: exposure, edges of the frame, sharpness.

In public pneumonia data normal and abnormal images come from different rooms and times, and these numbers alone tell
them apart surprisingly well. A network may learn them instead of the lungs. The images whose acquisition speaks
*against* their label are where such a network fails: they make the validation that can choose (the worst group of
Sagawa et al. 2020), and drawing them oftener in training weakens the shortcut (inverse propensity weights).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

GREY_BINS = 32
FRAME = 10
"""One part in so many of each side belongs to the frame."""
HEAVIEST = 6.0
"""No image is drawn more often than this for its acquisition alone: labels err, too."""

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def acquisition_features(images: torch.Tensor) -> npt.NDArray[np.float32]:
    """(N, 1, S, S) uint8 to (N, 47): square roots of a 32-bin grey histogram, mean and spread of the four sides,
    means of the four corners, and the log of the mean Laplacian at three scales.
    """
    grey = images.float() / 255.0
    edge = images.shape[-1] // FRAME
    bands = [grey[..., :edge, :], grey[..., -edge:, :], grey[..., :edge], grey[..., -edge:]]
    corners = [band[..., side] for band in bands[:2] for side in (slice(None, edge), slice(-edge, None))]
    columns = [
        torch.stack([torch.histc(image, GREY_BINS, 0, 1) / image.numel() for image in grey]).sqrt(),
        torch.stack([band.mean((1, 2, 3)) for band in bands], 1),
        torch.stack([band.std((1, 2, 3)) for band in bands], 1),
        torch.stack([corner.mean((1, 2, 3)) for corner in corners], 1),
        torch.stack([_sharpness(grey, scale) for scale in (1, 2, 4)], 1),
    ]
    return torch.cat(columns, 1).numpy()


def _sharpness(grey: torch.Tensor, scale: int) -> torch.Tensor:
    laplacian = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]).view(1, 1, 3, 3)
    return functional.conv2d(functional.avg_pool2d(grey, scale), laplacian).abs().mean((1, 2, 3)).add(1e-4).log()


@dataclass(frozen=True, slots=True)
class AcquisitionModel:
    """A logistic regression that knows the label from acquisition alone, as far as that goes."""

    pipeline: Any

    @classmethod
    def fit(cls, images: torch.Tensor, labels: Labels) -> Self:
        return cls(_untrained().fit(acquisition_features(images), labels))

    def score(self, images: torch.Tensor) -> Scores:
        """(N, 1, S, S) uint8 to (N,) log odds of pneumonia, both classes weighing the same."""
        return self.pipeline.decision_function(acquisition_features(images))


def _untrained() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced"))


def speaks_against(scores: Scores, labels: Labels) -> npt.NDArray[np.bool_]:
    """(N,) whether acquisition points to the other label."""
    return (scores > 0) != (labels == 1)


def draw_weights(images: torch.Tensor, labels: Labels, patients: list[str], strength: float) -> torch.Tensor:
    """(N,) how often to draw each training image: by the inverse of how well acquisition predicts its label.

    Each image is scored by a model that was fitted on other patients. Both classes keep their share. ``strength`` in
    [0, 1] is the exponent.
    """
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(
        _untrained(), acquisition_features(images), labels, groups=patients, cv=folds, method="decision_function"
    )
    own = 1.0 / (1.0 + np.exp(np.where(labels == 1, -scores, scores)))
    weights = np.minimum((0.5 / own) ** strength, HEAVIEST)
    for label in (0, 1):
        weights[labels == label] /= weights[labels == label].mean()
    return torch.from_numpy(weights)
