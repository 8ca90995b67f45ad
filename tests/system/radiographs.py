"""Real radiographs as a modality would send them: DX objects in six transfer syntaxes, with marked patients."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless

from dicom.envelope import write
from dicom.wrapping import Wrapping, image_file_to_dx
from tests.services import require_program

NAME_MARKER, ID_MARKER = "MARKERNAME", "MARKERID"
"""Stand in every patient's name and ID; must stand in no log, file name or message."""

# DCMTK's converter and its option, or pydicom where DCMTK has no encoder.
_SYNTAXES: tuple[tuple[str, str], ...] = (
    ("dcmconv", "+te"),  # Explicit VR Little Endian
    ("dcmconv", "+ti"),  # Implicit VR Little Endian
    ("dcmcrle", ""),  # RLE Lossless
    ("dcmcjpeg", "+e1"),  # JPEG Lossless, first-order prediction
    ("dcmcjpls", "+el"),  # JPEG-LS Lossless
    ("pydicom", "JPEG 2000 Lossless"),
)


@dataclass(frozen=True, slots=True)
class Radiograph:
    path: Path
    patient_id: str
    sop_instance_uid: str
    study_instance_uid: str
    pneumonia: bool


def write_studies(images: Path, folder: Path, count: int) -> list[Radiograph]:
    """``count`` studies of one image each, both classes in turn, cycling through the six transfer syntaxes."""
    folder.mkdir(parents=True)
    classes = [sorted((images / "chest_xray_fullsize" / name).iterdir()) for name in ("NORMAL", "PNEUMONIA")]
    both = [path for pair in zip(*classes, strict=False) for path in pair]
    return [
        _write(path, folder / f"{number:02}.dcm", number, syntax)
        for number, path, syntax in zip(range(count), both, itertools.cycle(_SYNTAXES), strict=False)
    ]


def _write(image: Path, path: Path, number: int, syntax: tuple[str, str]) -> Radiograph:
    patient_id = f"{ID_MARKER}{number:03}"
    about = Wrapping(
        patient_id=patient_id,
        taken=datetime(2026, 3, 1, 8, number % 60, tzinfo=UTC),
        patient_name=f"{NAME_MARKER}^{number}",
        patient_age="003Y",
        accession_number=f"A{number:05}",
    )
    dataset = image_file_to_dx(image, about)
    program, option = syntax
    if program == "pydicom":
        dataset.compress(JPEG2000Lossless)
        path.write_bytes(write(dataset))
    else:
        plain = path.with_suffix(".plain")
        plain.write_bytes(write(dataset))
        arguments = [require_program(program), *([option] if option else []), str(plain), str(path)]
        subprocess.run(arguments, check=True, capture_output=True)
        plain.unlink()
    written = dcmread(path, stop_before_pixels=True)  # a lossy or changed UID would show here
    return Radiograph(
        path, patient_id, str(written.SOPInstanceUID), str(written.StudyInstanceUID), "PNEUMONIA" in image.parts
    )
