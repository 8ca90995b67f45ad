"""Whether the header says chest, something else, or nothing that helps."""

from __future__ import annotations

import re

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom import codes
from dicom.headers import items, text

# Body Part Examined is meant to hold PS3.16 Annex L's terms and holds whatever the room's console was set to.
_CHEST = frozenset({
    "CHEST", "THORAX", "TORAX", "THORAC", "LUNG", "LUNGS", "PULMON", "POUMON", "POUMONS", "LUNGE", "LUNGEN",
    "POITRINE", "TORACE", "TORSO", "CXR", "RIBCAGE",
})  # fmt: skip
_SAYS_NOTHING = frozenset({"", "UNKNOWN", "UNSPECIFIED", "OTHER", "NONE", "NA", "N/A", "DEFAULT", "ANY", "BODY"})
# Looked for in free text only; in Body Part Examined any text that is not chest is another part.
_ELSEWHERE = frozenset({
    "ABDOMEN", "ABD", "ANKLE", "ARM", "CLAVICLE", "COCCYX", "CSPINE", "ELBOW", "FEMUR", "FINGER", "FOOT", "FOREARM",
    "HAND", "HEAD", "HIP", "HUMERUS", "JAW", "KNEE", "LEG", "LSPINE", "MANDIBLE", "NECK", "PELVIS", "RIB", "RIBS",
    "SACRUM", "SCAPULA", "SHOULDER", "SINUS", "SKULL", "SPINE", "STERNUM", "TOE", "TSPINE", "WRIST",
})  # fmt: skip
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "StudyDescription")
_WORD = re.compile(r"[^\W\d_]+")


def is_chest(dataset: Dataset) -> bool | None:
    """True, False, or None where nothing in the header says which part of the body this is.

    Body Part Examined comes first, then the coded region, then words in the descriptions.
    """
    named = text(dataset, "BodyPartExamined").upper()
    if named not in _SAYS_NOTHING:
        words = set(_WORD.findall(named))
        # "CHEST ABDOMEN" and the newborn's whole-body film are not the radiograph that was trained on.
        return bool(words & _CHEST) and not words & _ELSEWHERE
    for item in items(dataset, "AnatomicRegionSequence")[:1]:
        code = Code(text(item, "CodeValue"), text(item, "CodingSchemeDesignator"), text(item, "CodeMeaning"))
        if code.value and code.scheme_designator:
            return code in codes.CHEST_REGIONS
    for keyword in _DESCRIPTIONS:
        words = set(_WORD.findall(text(dataset, keyword).upper()))
        if (chest := bool(words & _CHEST)) != (elsewhere := bool(words & _ELSEWHERE)):
            return chest and not elsewhere
    return None
