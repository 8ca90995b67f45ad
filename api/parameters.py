"""The query parameters. One that is not known is refused: a misspelt filter must not answer with everybody's images."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.cursors import decode_cursor
from audit.models import Role
from audit.queries import PageKey, PredictionFilter
from core.records import Outcome


def _utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("the moment lies outside the calendar") from exc


Moment = Annotated[datetime, AfterValidator(_utc)]
"""ISO 8601, a date or a date and time; UTC where no zone is given."""
Word = Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$")]  # PostgreSQL's text holds no NUL
UID = Annotated[str, Field(pattern=r"^[0-9.]{1,64}$")]  # PS3.5 9.1
RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]


def _ours(cursor: str) -> str:
    decode_cursor(cursor)
    return cursor


class _Page(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: Annotated[str, Field(max_length=64), AfterValidator(_ours)] | None = Field(
        None, description="The `next` of the page before; leave it out for the first."
    )
    limit: int = Field(50, ge=1, le=200)

    @property
    def after(self) -> PageKey | None:
        """Where the page before ended."""
        return None if self.cursor is None else decode_cursor(self.cursor)


class PredictionQuery(_Page):
    patient_id: Word | None = Field(None, description="Exactly as received with the image.")
    issuer_of_patient_id: Word | None = None
    study_instance_uid: UID | None = None
    outcome: Outcome | None = None
    warning: Word | None = Field(None, description="Code of a warning beside the prediction.")
    reason: Word | None = Field(None, description="Code of a reason why there is none.")
    model: Word | None = Field(None, description="Name or Device UID.")
    role: Role = Field(Role.ACTIVE, description="`shadow` lists what models on trial said, which was never reported.")
    source: Word | None = None
    received_from: Moment | None = Field(None, description="Inclusive.")
    received_before: Moment | None = Field(None, description="Exclusive.")
    created_from: Moment | None = Field(None, description="Inclusive.")
    created_before: Moment | None = Field(None, description="Exclusive.")

    @property
    def chosen(self) -> PredictionFilter:
        return PredictionFilter(**self.model_dump(exclude={"cursor", "limit"}))

    @property
    def without_patient(self) -> dict[str, object]:
        """The filters given, for the record of the read; of a patient only that one was asked for."""
        given = self.model_dump(mode="json", exclude={"cursor", "limit"}, exclude_defaults=True)
        return given | {name: "(given)" for name in ("patient_id", "issuer_of_patient_id") if name in given}


class EventQuery(_Page):
    kind: Word | None = Field(None, description="For instance `association.refused`.")
    subject: Word | None = Field(None, description="The UID or row the event is about.")
    since: Moment | None = Field(None, description="Inclusive.")
