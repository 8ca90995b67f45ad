"""Models at rest: a folder for each one, with its weights and their record, for ``pneumo models add`` and for workers.

The model that is shipped lies in the program itself. Several machines share a store, or each has one of its own with
the same models in it.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from audit.models import ModelVersion
from core.errors import ConfigurationError
from dicom.identity import device_uid
from ml.weights import DEFAULT_WEIGHTS, WeightsRecord, load_record

if TYPE_CHECKING:
    from ml.classifier import Classifier

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")  # part of a folder's name


class ModelStore:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, weights: Path) -> tuple[WeightsRecord, str]:
        """Copy weights and record; returns the record and the name of their folder, which is there whole or not at all.

        Adding the same model again changes nothing, and repairs what was damaged or lost.

        Raises:
            ConfigurationError: the files are not of each other, the model gives no predictions, or another model has
                this name and version already.
        """
        record = load_record(weights)
        for word in (record.name, record.version):
            if not _NAME.fullmatch(word):
                raise ConfigurationError(
                    f"name and version of a model become a folder: letters, digits, dots, dashes, underscores and "
                    f"plus signs, a letter or digit first; {weights.with_suffix('.json')} has {word!r}"
                )
        _try_out(weights)
        name = f"{record.name}-{record.version}"
        target = self._folder / name
        if _is_whole(target, record):
            return record, name
        partial = self._folder / f".{uuid.uuid4().hex}.part"
        try:
            partial.mkdir(parents=True, mode=0o700)
            for source in (weights, weights.with_suffix(".json")):
                _copy(source, partial / f"{record.name}{source.suffix}")
            load_record(partial / f"{record.name}.safetensors")  # the copy's digest, too
            if target.exists():
                shutil.rmtree(target)
            partial.rename(target)
            _sync(self._folder)
        except OSError as exc:
            if not _is_whole(target, record):  # or somebody else has just added it
                raise ConfigurationError(f"{weights} cannot be copied to {self._folder}: {exc.strerror}") from exc
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return record, name

    def holds(self, version: ModelVersion) -> bool:
        """Whether there are files under its name; what is in them is for ``record_of``."""
        weights = self.weights_of(version)
        if version.folder is None:
            return device_uid(load_record(weights).identity) == version.device_uid
        return weights.is_file() and weights.with_suffix(".json").is_file()

    def weights_of(self, version: ModelVersion) -> Path:
        """Where this model's weights should lie."""
        if version.folder is None:
            return DEFAULT_WEIGHTS
        return self._folder / version.folder / f"{version.name}.safetensors"

    def record_of(self, version: ModelVersion) -> WeightsRecord:
        """After comparing digest and Device UID.

        Raises:
            ConfigurationError: the files are missing, damaged, or another model's.
        """
        weights = self.weights_of(version)
        record = load_record(weights)
        if device_uid(record.identity) != version.device_uid:
            raise ConfigurationError(f"{weights} is another model than {version.device_uid}: add that one's files here")
        return record

    def load(self, version: ModelVersion, *, use_tta: bool) -> Classifier:
        """Raises ConfigurationError as ``record_of`` does."""
        from ml.classifier import Classifier

        self.record_of(version)
        return Classifier.load(self.weights_of(version), use_tta=use_tta)


def _is_whole(folder: Path, record: WeightsRecord) -> bool:
    """Raises ConfigurationError where another model lies there."""
    try:
        there = load_record(folder / f"{record.name}.safetensors")
    except ConfigurationError:
        return False
    if there.identity != record.identity:
        raise ConfigurationError(
            f"the store has another {record.name} {record.version} ({folder}): give this one a version of its own in "
            "its record"
        )
    return True


def _try_out(weights: Path) -> None:
    import numpy as np

    from ml.classifier import Classifier

    ramp = np.linspace(0, 1, 224 * 224, dtype=np.float32).reshape(224, 224)
    try:
        Classifier.load(weights).classify([ramp])
    except ValueError as exc:  # no probability: some weights are infinite or not numbers
        raise ConfigurationError(f"{weights} gives no prediction: {exc}") from exc


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
