"""One record per weights file: ``<name>.json`` beside ``<name>.safetensors``.

The record says which bytes it speaks of (SHA-256), so that weights and record cannot drift apart; torch is not needed
to read it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import ConfigurationError
from core.records import ModelIdentity
from ml.preprocessing import Preprocessing

FINDING = "pneumonia"
"""What every model of ours decides on, however many classes it tells."""

DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "mobilenet_v2.safetensors"


class WeightsRecord(BaseModel):
    """All that decides or explains a prediction besides the weights themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    version: str = Field(min_length=1, max_length=64)
    manufacturer: str = Field(min_length=1, max_length=64)
    architecture: str
    """A key of ``ml.networks.ARCHITECTURES``."""
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of the weights file."""
    labels: tuple[str, ...] = Field(min_length=1)
    """What each output stands for: pneumonia alone, or normal first and the kinds of pneumonia after it."""
    threshold: float = Field(gt=0, lt=1)
    """Positive at and above this calibrated probability."""
    temperature: float = Field(gt=0)
    """probability = sigmoid(log odds of pneumonia / temperature), see ``ml.networks.pneumonia_logit``"""
    preprocessing: Preprocessing
    provenance: dict[str, Any]
    """How the weights, the threshold and the temperature came about."""
    metrics: dict[str, Any]
    """Of the validation patients, with 95 % intervals."""
    novelty: dict[str, Any] | None = None
    """How the gate in the weights file was fitted and what it accepts and refuses; None where the file has no gate."""

    @property
    def identity(self) -> ModelIdentity:
        return ModelIdentity(
            name=self.name,
            version=self.version,
            manufacturer=self.manufacturer,
            digest=self.digest,
            preprocessing=self.preprocessing.canonical(),
            label=FINDING,
            threshold=self.threshold,
            temperature=self.temperature,
        )

    @property
    def accuracy(self) -> float | None:
        """Share of the validation patients' images that are called rightly."""
        validation = self.metrics.get("validation")
        accuracy = validation.get("accuracy") if isinstance(validation, dict) else None
        return float(accuracy) if isinstance(accuracy, int | float) else None


def load_record(path: Path) -> WeightsRecord:
    """The record of a weights file, after comparing the file's digest with the one on record.

    Raises:
        ConfigurationError: weights or record missing, not readable, or not of each other.
    """
    if path.suffix != ".safetensors":
        raise ConfigurationError(f"weights are a .safetensors file with its .json record beside it, got {path}")
    beside = path.with_suffix(".json")
    for file, what in ((path, "weights file"), (beside, "record of the weights")):
        if not file.is_file():
            raise ConfigurationError(f"the {what} {file} is missing")
    try:
        record = WeightsRecord.model_validate_json(beside.read_bytes())
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, error['loc'])) or 'file'}: {error['msg']}" for error in exc.errors())
        raise ConfigurationError(f"{beside} is no record of weights: {wrong}") from exc
    found = digest_of(path)
    if found != record.digest:
        raise ConfigurationError(f"{path} has SHA-256 {found}, but its record speaks of {record.digest}")
    return record


def save_record(record: WeightsRecord, path: Path) -> None:
    path.with_suffix(".json").write_text(record.model_dump_json(indent=2) + "\n")


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
