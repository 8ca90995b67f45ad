"""Wild cards mean the same on every database."""

from __future__ import annotations

import pytest

from audit.holdings import StudyKeys, find_studies
from audit.session import Database
from tests.audit.rows import analysed, book, received


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a*", ["a%1"]),
        ("A?1", ["A[1", "A_1"]),
        ("?%1", ["a%1"]),
        ("*[*", ["A[1"]),
        ("?_*", ["A_1"]),
        ("A_1", ["A_1"]),
        ("*\\*", []),
    ],
)
def test_wild_cards(database: Database, pattern: str, found: list[str]) -> None:
    for patient_id in ("a%1", "A[1", "A_1"):
        book(database, received(patient_id=patient_id))
    with database.read() as session:
        studies = find_studies(session, StudyKeys(patient_id=pattern), most_studies=5, most_instances=5)
    assert sorted(study.patient_id for study in studies) == sorted(found)


def test_the_most_there_may_be(database: Database) -> None:
    analysed(database, instances=[received(modality="DX"), received(modality="CR")])
    with database.read() as session:
        (study,) = find_studies(session, StudyKeys(modalities=("C?", "NM")), most_studies=5, most_instances=5)
        both = find_studies(session, StudyKeys(modalities=("SR",)), most_studies=5, most_instances=1)
        too_many = find_studies(session, StudyKeys(), most_studies=1, most_instances=5)
    assert [instance.modality for instance in study.instances] == ["CR", "OT", "SR"]
    assert sum(len(each.instances) for each in both) == 2, "one more than may be"
    assert len(too_many) == 2
