"""``/v1/search``: studies by the beginning of a Patient ID, accession number or UID."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api import examples
from api.masking import OfPatient, for_caller
from api.parameters import Moment, PageQuery, Word
from api.security import Caller, Reader, record_read
from api.state import DatabaseOfApp
from audit.search import FoundStudy, StudySearch, search_studies
from core.records import DeliveryState, Outcome
from core.scopes import Scope

router = APIRouter(prefix="/v1/search", tags=["audit"])


class Became(StrEnum):
    """What became of an image; ``waiting``: nothing yet."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NOT_ANALYSED = "not_analysed"
    FAILED = "failed"
    WAITING = "waiting"


class SearchQuery(PageQuery):
    q: Word = Field(
        "",
        description="Beginning of a Study or SOP Instance UID or, with `phi:read`, of a Patient ID or accession number "
        "(as written, or in capitals throughout); whole UID of a result. Without `phi:read` patients are not searched.",
    )
    outcome: Became | None = Field(None, description="Studies with such an image.")
    source: Word | None = None
    received_from: Moment | None = Field(None, description="Inclusive; of the study's last image.")
    delivery: DeliveryState | None = Field(None, description="Studies with a result in this state.")

    def chosen(self, caller: Caller) -> StudySearch:
        waiting = self.outcome is Became.WAITING
        return StudySearch(
            words=self.q.strip(),
            patients=caller.may(Scope.PHI_READ),
            outcome=Outcome(self.outcome.value) if self.outcome and not waiting else None,
            waiting=waiting,
            source=self.source,
            received_from=self.received_from,
            delivery=self.delivery,
        )


class StudyMatch(BaseModel):
    model_config = ConfigDict(frozen=True)

    study_instance_uid: str
    patient_id: OfPatient
    issuer_of_patient_id: OfPatient
    accession_number: OfPatient
    study_date: OfPatient
    last_received_at: datetime
    reported_at: datetime | None
    erased_at: datetime | None
    sources: list[str]
    images: int
    waiting: int = Field(description="Images without an outcome. While it is not 0, silence means nothing.")
    outcomes: dict[Outcome, int] = Field(description="Of the answers that stand.")
    highest_probability: float | None
    deliveries: dict[DeliveryState, int]

    @classmethod
    def of(cls, found: FoundStudy) -> StudyMatch:
        study = found.study
        return cls(
            study_instance_uid=study.study_instance_uid,
            patient_id=study.patient_id,
            issuer_of_patient_id=study.issuer_of_patient_id,
            accession_number=study.accession_number,
            study_date=study.study_date,
            last_received_at=study.last_received_at,
            reported_at=study.reported_at,
            erased_at=study.erased_at,
            sources=found.sources,
            images=found.images,
            waiting=found.waiting,
            outcomes=dict(found.outcomes),
            highest_probability=found.highest_probability,
            deliveries=dict(found.deliveries),
        )


class StudyMatchPage(BaseModel):
    items: list[StudyMatch]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


_EXAMPLE = StudyMatchPage(
    items=[
        StudyMatch(
            **examples.STUDY.model_dump(
                include={
                    "study_instance_uid", "patient_id", "issuer_of_patient_id", "accession_number", "study_date",
                    "last_received_at", "reported_at",
                }
            ),
            erased_at=None,
            sources=["x-ray-room-1"],
            images=2,
            waiting=1,
            outcomes={Outcome.POSITIVE: 1},
            highest_probability=0.913,
            deliveries={DeliveryState.SENT: 2},
        )
    ],
    next=None,
)  # fmt: skip


@router.get(
    "",
    summary="Find studies, newest first",
    responses=examples.answers(
        _EXAMPLE, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY
    ),
)
def find_studies_by_words(
    database: DatabaseOfApp, caller: Reader, query: Annotated[SearchQuery, Query()]
) -> StudyMatchPage:
    """For people who type; `/v1/studies` has the exact filters."""
    with database.read() as session:
        rows = search_studies(session, query.chosen(caller), limit=query.limit + 1, after=query.after)
    shown, next_cursor = query.cut(rows, lambda row: (row.study.last_received_at, row.study.id))
    record_read(database, caller, filters=query.for_the_record, rows=len(shown))
    return for_caller(StudyMatchPage(items=[StudyMatch.of(row) for row in shown], next=next_cursor), caller)
