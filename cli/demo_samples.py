"""What the demo's modality sends: the synthetic samples, or pictures of the user's wrapped as DX."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cli.phantom import SAMPLES, draw
from dicom.envelope import write
from dicom.wrapping import Wrapping, dx_from_image, image_file_to_dx


def write_samples(folder: Path) -> list[Path]:
    """The shipped samples as DX files; the same bytes at every call."""
    paths = []
    for number, sample in enumerate(SAMPLES, start=1):
        about = Wrapping(
            patient_id=sample.patient_id,
            taken=datetime(2026, 1, 5, 9, number, tzinfo=UTC),
            patient_name=sample.patient_name,
            patient_sex=sample.patient_sex,
            patient_age=sample.patient_age,
            accession_number=f"DEMO{number:04}",
            seed=f"demo sample {number}",
        )
        pixels = draw(sample.seed, sample.pneumonia, rows=sample.rows, columns=sample.columns)
        paths.append(folder / f"{number:02}.dcm")
        paths[-1].write_bytes(write(dx_from_image(pixels, about)))
    return paths


def wrap_picture(picture: Path, folder: Path, number: int) -> Path:
    """A JPEG or PNG file as a DX file. Raises FailedForGood where it cannot be read."""
    about = Wrapping(patient_id=f"PICTURE-{number:03}", taken=datetime.now().astimezone())
    path = folder / f"picture-{number:03}.dcm"
    path.write_bytes(write(image_file_to_dx(picture, about)))
    return path
