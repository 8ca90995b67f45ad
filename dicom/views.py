"""From which side the radiograph was taken, as far as its header tells."""

from __future__ import annotations

import re
from enum import StrEnum

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom import codes
from dicom.headers import items, text, values


class View(StrEnum):
    FRONTAL = "frontal"
    LATERAL = "lateral"
    OTHER = "other"
    """Oblique, decubitus, axial: known, and neither of the above."""


# PS3.3 C.8.7.1.1.1 (CR) and what senders write beside its terms
_VIEW_POSITIONS = {
    **dict.fromkeys(("AP", "PA", "FRONTAL", "ANTERO-POSTERIOR", "POSTERO-ANTERIOR"), View.FRONTAL),
    **dict.fromkeys(("LL", "RL", "LAT", "LATERAL", "LLAT", "RLAT", "LEFT LATERAL", "RIGHT LATERAL"), View.LATERAL),
    **dict.fromkeys(("RLD", "LLD", "RLO", "LLO", "LAO", "RAO", "LPO", "RPO", "OBL", "OBLIQUE", "AX", "AXIAL",
                     "LORDOTIC", "TAN", "DECUB"), View.OTHER),
}  # fmt: skip
_VIEW_CODES: tuple[tuple[View, tuple[Code, ...]], ...] = (
    (View.FRONTAL, (codes.ANTERO_POSTERIOR, codes.POSTERO_ANTERIOR, codes.FRONTAL)),
    (View.LATERAL, (codes.LATERAL, codes.LEFT_LATERAL, codes.RIGHT_LATERAL)),
)
# Words of series and protocol names, as consoles in English, German, French, Spanish and Italian write them
_FRONTAL_WORDS = frozenset({
    "AP", "PA", "FRONTAL", "FRONTALE", "PORTABLE", "BEDSIDE", "LIEGEND", "FACE",
})  # fmt: skip
_LATERAL_WORDS = frozenset({
    "LAT", "LATERAL", "LL", "RL", "LLAT", "RLAT", "SEITLICH", "SEITL", "PROFIL", "PROFILE", "PERFIL", "LATERALE",
})  # fmt: skip


def claims(dataset: Dataset) -> tuple[View, ...]:
    """What each attribute that names a view says, the most reliable one first; empty where none does."""
    said = (_position(dataset), _code(dataset), _orientation(dataset), _description(dataset))
    return tuple(view for view in said if view is not None)


def _position(dataset: Dataset) -> View | None:
    return _VIEW_POSITIONS.get(text(dataset, "ViewPosition").upper())


def _code(dataset: Dataset) -> View | None:
    """View Code Sequence (PS3.3 C.8.11.5); a code of CID 4010 that is neither frontal nor lateral is another view."""
    for item in items(dataset, "ViewCodeSequence")[:1]:
        code = Code(text(item, "CodeValue"), text(item, "CodingSchemeDesignator"), text(item, "CodeMeaning"))
        if code.value and code.scheme_designator:
            return next((view for view, known in _VIEW_CODES if code in known), View.OTHER)
    return None


def _orientation(dataset: Dataset) -> View | None:
    """Patient Orientation (PS3.3 C.7.6.1.1.1): where rows and columns of the image run to."""
    directions = [str(value).upper()[:1] for value in values(dataset, "PatientOrientation")]
    if len(directions) != 2:
        return None
    across = {"L": "LR", "R": "LR", "A": "AP", "P": "AP", "H": "HF", "F": "HF"}
    plane = {across.get(direction, "") for direction in directions}
    return {("HF", "LR"): View.FRONTAL, ("AP", "HF"): View.LATERAL, ("AP", "LR"): View.OTHER}.get(
        tuple(sorted(plane))  # type: ignore[arg-type]
    )


def _description(dataset: Dataset) -> View | None:
    """Series Description and Protocol Name. Both words in one text describe a study, not this image."""
    for keyword in ("SeriesDescription", "ProtocolName"):
        words = set(re.findall(r"[^\W\d_]+", text(dataset, keyword).upper().replace(".", "")))
        frontal, lateral = bool(words & _FRONTAL_WORDS), bool(words & _LATERAL_WORDS)
        if frontal != lateral:
            return View.FRONTAL if frontal else View.LATERAL
    return None


def sideways_or_mirrored(dataset: Dataset) -> bool:
    """A frontal image whose rows do not run to the patient's left, or whose columns do not run to the feet."""
    directions = [str(value).upper()[:1] for value in values(dataset, "PatientOrientation")]
    return _orientation(dataset) is View.FRONTAL and directions != ["L", "F"]
