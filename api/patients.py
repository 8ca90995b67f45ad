"""``/v1/patients``: what was said about a patient."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from api import examples
from api.parameters import ListQuery, Word
from api.schemas import ListPage, StudyDetail
from api.security import Caller, record_read, requires
from api.state import DatabaseOfApp
from audit.listing import Sort
from audit.patients import count_studies_of_patient, studies_of_patient
from audit.study_listing import results_about_studies
from core.scopes import Scope

router = APIRouter(prefix="/v1/patients", tags=["audit"])


class Patient(BaseModel):
    model_config = ConfigDict(frozen=True)

    patient_id: str
    issuer_of_patient_id: str = Field(description="Empty where the images name none.")
    studies: list[StudyDetail] = Field(description="Newest first, with this patient's images alone.")


class PatientHistory(ListPage):
    """Several patients where several issuers gave this Patient ID."""

    patients: list[Patient] = Field(description="Empty: nothing was ever received about such a patient.")


class PatientQuery(ListQuery):
    sort: Literal[Sort.NEWEST] = Sort.NEWEST
    patient_id: Word = Field(min_length=1, description="Exactly as received with the image.")
    issuer_of_patient_id: Word | None = Field(None, description="All issuers, told apart, when left out.")


PatientReader = Annotated[Caller, Depends(requires(Scope.AUDIT_READ, Scope.PHI_READ))]
_EXAMPLE = PatientHistory(
    patients=[
        Patient(
            patient_id=examples.IMAGE.patient_id,
            issuer_of_patient_id=examples.IMAGE.issuer_of_patient_id,
            studies=[examples.STUDY],
        )
    ],
    next=None,
    total=None,
)


@router.get("", summary="What was said about a patient", responses=examples.answers(_EXAMPLE, *examples.OF_A_LIST))
def show_patient(
    database: DatabaseOfApp, caller: PatientReader, query: Annotated[PatientQuery, Query()]
) -> PatientHistory:
    """Every image with each prediction, its model, warnings, feedback and recall, and what was delivered where.

    A page is as many studies as `limit` says; `next` goes on with older ones.
    """
    with database.read() as session:
        rows = studies_of_patient(session, query.patient_id, query.issuer_of_patient_id, query.page)
        total = count_studies_of_patient(session, query.patient_id, query.issuer_of_patient_id) if query.count else None
        results = results_about_studies(session, [row.id for row in rows])
    shown, next_cursor = query.cut(rows, lambda row: (row.first_received_at, row.id))
    record_read(database, caller, filters=query.for_the_record, rows=len(shown))
    studies: defaultdict[str, list[StudyDetail]] = defaultdict(list)
    for row in shown:
        theirs = [image for image in row.instances if image.patient_id == query.patient_id]
        issuers = sorted({image.issuer_of_patient_id for image in theirs})
        for issuer in issuers:
            if query.issuer_of_patient_id in (None, issuer):
                images = [image for image in theirs if image.issuer_of_patient_id == issuer]
                studies[issuer].append(StudyDetail.of(row, results[row.id], images))
    return PatientHistory(
        patients=[
            Patient(patient_id=query.patient_id, issuer_of_patient_id=issuer, studies=studies[issuer])
            for issuer in sorted(studies)
        ],
        next=next_cursor,
        total=total,
    )
