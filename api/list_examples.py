"""Worked examples of the lists, for the OpenAPI document."""

from __future__ import annotations

from datetime import timedelta

from api.delivery_documents import DeadLetter, DeadLetterPage, DeliveryLine, DeliveryPage
from api.examples import DELIVERY, IMAGE, PREDICTION, STUDY_HEADER, VERDICT
from api.schemas import InstanceState
from api.study_documents import (
    Arrival,
    DestinationState,
    InstancePage,
    InstanceSummary,
    StudyPage,
    StudySummary,
)
from audit.dead_letters import DeadKind
from core.records import DeliveryState, Outcome

_RESULT = VERDICT.results[0]

STUDY_PAGE = StudyPage(
    items=[
        StudySummary(
            **dict(STUDY_HEADER),
            images=2,
            unfinished=1,
            uploads=0,
            sources=[IMAGE.source],
            outcomes={Outcome.POSITIVE: 1},
            recalled=0,
            highest_probability=VERDICT.probability,
            destinations=[
                DestinationState(destination="main-pacs", state=Arrival.SENT, objects={DeliveryState.SENT: 2})
            ],
        )
    ],
    next=None,
    total=1,
)
INSTANCE_PAGE = InstancePage(
    items=[
        InstanceSummary(
            **dict(IMAGE),
            study_instance_uid=STUDY_HEADER.study_instance_uid,
            accession_number=STUDY_HEADER.accession_number,
            state=InstanceState.FINISHED,
            attempts=1,
            last_error=None,
            prediction_id=VERDICT.id,
            outcome=VERDICT.outcome,
            probability=VERDICT.probability,
            recalled=0,
            finished_at=VERDICT.created_at,
        )
    ],
    next=None,
    total=None,
)
DELIVERY_PAGE = DeliveryPage(
    items=[
        DeliveryLine(
            **dict(DELIVERY),
            kind=_RESULT.kind,
            sop_class_uid=_RESULT.sop_class_uid,
            sop_instance_uid=_RESULT.sop_instance_uid,
            study_instance_uid=PREDICTION.study.study_instance_uid,
            prediction_id=VERDICT.id,
            created_at=VERDICT.created_at,
        )
    ],
    next=None,
    total=None,
)
DEAD_LETTER_PAGE = DeadLetterPage(
    items=[
        DeadLetter(
            kind=DeadKind.DELIVERY,
            id=97,
            at=VERDICT.created_at,
            error="sop_class_not_supported",
            attempts=1,
            destination="main-pacs",
            result_kind=_RESULT.kind,
            prediction_id=VERDICT.id,
            sop_instance_uid=_RESULT.sop_instance_uid,
            study_instance_uid=PREDICTION.study.study_instance_uid,
        ),
        DeadLetter(
            kind=DeadKind.JOB,
            id=31,
            at=VERDICT.created_at - timedelta(hours=2),
            error="pixel_data_unreadable",
            attempts=3,
            destination=None,
            result_kind=None,
            prediction_id=29,
            sop_instance_uid=IMAGE.sop_instance_uid,
            study_instance_uid=PREDICTION.study.study_instance_uid,
        ),
    ],
    next=None,
    total=None,
)
