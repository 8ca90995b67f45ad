"""Which side of the patient an image shows at its left edge."""

from __future__ import annotations

from pydicom.dataset import Dataset

from dicom.headers import values

_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}


def left_side(dataset: Dataset) -> str:
    """``R``, ``L``, ``A``, ``P``, ``H`` or ``F``; empty where Patient Orientation does not tell.

    PS3.3 C.7.6.1.1.1: the first value says where rows run to, hence what lies at the right edge; the first letter of a
    value is its main direction.
    """
    directions = [str(value).strip() for value in values(dataset, "PatientOrientation")]
    legal = len(directions) == 2 and all(each and set(each) <= _OPPOSITE.keys() for each in directions)
    return _OPPOSITE[directions[0][0]] if legal else ""
