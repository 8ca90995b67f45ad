"""What was said about a patient: the same Patient ID of two issuers is two patients."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.listing import Page, Search
from audit.models import Instance, Study
from audit.study_listing import load_studies


def studies_of_patient(session: Session, patient_id: str, issuer_of_patient_id: str | None, page: Page) -> list[Study]:
    """Whole studies with an image of this patient, the newest first.

    A study may hold images of others, too, where a modality mixed patients up: whoever shows it leaves these out.
    """
    ids = _search(session, patient_id, issuer_of_patient_id).page(Study.first_received_at, page)
    return load_studies(session, ids)


def count_studies_of_patient(session: Session, patient_id: str, issuer_of_patient_id: str | None) -> int:
    return _search(session, patient_id, issuer_of_patient_id).count()


def _search(session: Session, patient_id: str, issuer_of_patient_id: str | None) -> Search:
    search = Search(session, Study.id)
    theirs = select(Instance.study_id).where(Instance.patient_id == patient_id)
    if issuer_of_patient_id is not None:
        theirs = theirs.where(Instance.issuer_of_patient_id == issuer_of_patient_id)
    search.among(Study.id, theirs, few=True)
    return search
