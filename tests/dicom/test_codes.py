"""Code and meaning belong together: no validator checks that, and a wrong pair has slipped through elsewhere."""

from __future__ import annotations

import pytest
from pydicom.sr import _concepts_dict
from pydicom.sr.coding import Code

from dicom import codes

EVERY_CODE = sorted({value for value in vars(codes).values() if isinstance(value, Code)})

# In no context group of PS3.16, hence not in pydicom's dictionaries.
ELSEWHERE = {
    ("233604007", "SCT"): "Pneumonia",  # SNOMED CT: Pneumonia (disorder); HL7 FHIR condition examples use the same
    ("en", "RFC5646"): "English",  # IETF language tag, TID 1204
    ("C0034375", "UMLS"): "Qualitative Evaluations",  # TID 1500 row 12
}


def meanings(code: Code) -> set[str]:
    """Every meaning pydicom's copy of PS3.16 gives the code, without SNOMED's semantic tags."""
    dictionaries: dict[str, dict[str, dict[str, tuple[str, list[int]]]]] = _concepts_dict.concepts  # type: ignore[assignment]
    concepts = dictionaries.get(code.scheme_designator, {})
    found = [meaning for entries in concepts.values() for value, (meaning, _) in entries.items() if value == code.value]
    return {variant for meaning in found for variant in (meaning, meaning.split(" (")[0])}


@pytest.mark.parametrize("code", EVERY_CODE, ids=lambda code: code.meaning)
def test_value_and_meaning_are_a_pair(code: Code) -> None:
    expected = ELSEWHERE.get((code.value, code.scheme_designator))
    assert code.meaning in ({expected} if expected else meanings(code))


def test_there_are_codes() -> None:
    assert len(EVERY_CODE) > 30


def test_a_label_without_a_concept_is_refused_by_name() -> None:
    assert codes.finding("pneumonia") is codes.PNEUMONIA
    with pytest.raises(ValueError, match="got 'fracture'"):
        codes.finding("fracture")
