"""Pictures that are no chest radiographs, out of packages: what the gate is measured with, never fitted on."""

from __future__ import annotations

import warnings
from collections import defaultdict
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from core.errors import ConfigurationError, PneumoError

if TYPE_CHECKING:
    from pydicom import Dataset

Image = npt.NDArray[np.float32]
Kinds = dict[str, list[Image]]


def foreign_pictures() -> Kinds:
    """(H, W) float32 in [0, 1] by kind: images of other modalities that ship in pydicom, scikit-image's photographs.

    Raises:
        ConfigurationError: scikit-image is not installed.
    """
    return {**_other_modalities(), **_photographs()}


def _folder(package: str, *parts: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"the gate is measured with pictures of {package}: pip install {package}")
    return Path(spec.origin).parent.joinpath(*parts)


def _other_modalities() -> Kinds:
    """Each picture as the service renders it and, since a PACS may do worse, from its lowest to its highest value.

    Many files are one image in several encodings, which counts once.
    """
    from dicom.headers import MALFORMED
    from dicom.pixels import radiograph

    kinds: Kinds = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the files were made to break rules
        for path in sorted(_folder("pydicom", "data", "test_files").rglob("*")):
            dataset = _opened(path)
            if dataset is None:
                continue
            modality = dataset.get("Modality") or "no modality"
            with suppress(PneumoError):  # cannot be decoded, or has one grey: the service ends there
                rendered = radiograph(dataset).pixels
                kinds[f"pydicom {modality}, as rendered"].append(rendered)
            with suppress(RuntimeError, *MALFORMED):  # decoders raise RuntimeError
                kinds[f"pydicom {modality}, stored values"] += _stretched(dataset.pixel_array)
    return {kind: _without_repeats(pictures) for kind, pictures in sorted(kinds.items()) if pictures}


def _opened(path: Path) -> Dataset | None:
    """A data set with pixels, or None: folders and text lie there, too."""
    from pydicom import dcmread

    if not path.is_file():
        return None
    dataset = dcmread(path, force=True)  # of a file that is no DICOM at all it makes a data set without pixels
    return dataset if "PixelData" in dataset else None


def _without_repeats(pictures: list[Image]) -> list[Image]:
    return list({picture.tobytes(): picture for picture in pictures}.values())


def _stretched(stored: npt.NDArray[np.generic]) -> list[Image]:
    """The first frame from black to white; nothing where all of it is one grey."""
    grey = stored.astype(np.float32)
    if grey.shape[-1] == 3:
        grey = grey.mean(-1)
    while grey.ndim > 2:
        grey = grey[0]
    low, high = grey.min(), grey.max()
    return [(grey - low) / (high - low)] if high > low else []


def _photographs() -> Kinds:
    from ml.preprocessing import read_image

    folder = _folder("skimage", "data")
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in {".png", ".jpg", ".gif"}]
    faces = np.load(folder / "lfw_subset.npy")[::8].astype(np.float32)  # 200 small ones
    return {
        "scikit-image photographs and textures": [read_image(path) for path in paths],
        "scikit-image faces": list(faces),
    }
