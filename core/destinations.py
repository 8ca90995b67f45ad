"""Where results go, and which of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from core.fields import TLS, URL, AETitle, Name, Port, Secret, Section
from core.records import MESSAGE_KINDS, REPORT_KINDS, Outcome, ResultKind


class RetryPolicy(Section):
    """Pauses double from the first to the longest."""

    first_retry_seconds: float = Field(default=10, gt=0)
    longest_pause_seconds: float = Field(default=3600, gt=0)
    give_up_after_days: float = Field(default=7, gt=0)


_OBJECTS = frozenset(ResultKind) - frozenset(MESSAGE_KINDS)


class _Destination(Section):
    takes: ClassVar[frozenset[ResultKind]] = _OBJECTS
    name: Name
    objects: tuple[ResultKind, ...] = Field(default=(ResultKind.SECONDARY_CAPTURE, ResultKind.REPORT), min_length=1)
    """The kinds of result it gets."""
    concurrency: int = Field(default=1, ge=1, le=16)
    """Associations or requests at once."""
    timeout_seconds: float = Field(default=30, gt=0)
    """For the connection, each answer, and silence on the line."""
    retry: RetryPolicy | None = None
    """Instead of that of ``[delivery]``."""

    @field_validator("objects")
    @classmethod
    def _fit_together(cls, objects: tuple[ResultKind, ...]) -> tuple[ResultKind, ...]:
        if len([kind for kind in objects if kind in REPORT_KINDS]) > 1:
            raise ValueError(f"these are one report in several dialects, name one of: {', '.join(REPORT_KINDS)}")
        if ResultKind.REJECTION_NOTE in objects:
            raise ValueError("rejection notes are sent by `pneumo recall`, wherever what they withdraw was sent")
        if unfit := sorted(set(objects) - cls.takes):
            raise ValueError(f"not for a destination of this type: {', '.join(unfit)}")
        return objects


class Confirming(_Destination):
    """A destination that can be asked whether it has what it took."""

    confirm_after_seconds: float = Field(default=60, gt=0)
    """Between sending and asking; each later pause is as long as was waited until then."""
    confirm_within_hours: float = Field(default=24, gt=0)
    """After this without an answer, the delivery is reported as unconfirmed and left as sent."""
    most_repeats: int = Field(default=3, ge=0)
    """How often what the destination says it does not have is sent again before it counts as dead."""


class DICOMDestination(Confirming):
    """A PACS that results are stored to by C-STORE."""

    type: Literal["dicom"] = "dicom"
    ae_title: AETitle
    host: str = Field(min_length=1)
    port: Port = 104
    tls: TLS | None = None
    transfer_syntaxes: tuple[Literal["explicit", "implicit"], ...] = Field(
        default=("explicit", "implicit"), min_length=1
    )
    """VR encodings to offer, the preferred first."""
    confirm: Literal["none", "commitment", "query"] = "none"
    """How to ask: storage commitment (PS3.4 J), or C-FIND where the PACS has none."""


class _WebDestination(Section):
    url: URL
    tls: TLS | None = None
    bearer_token: Secret | None = None
    username: str | None = None
    password: Secret | None = None

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together: give both or neither")
        if self.bearer_token is not None and self.username is not None:
            raise ValueError("give bearer_token, or username and password, not both")
        return self


class DICOMwebDestination(_WebDestination, Confirming):
    """A PACS that results are stored to by STOW-RS (PS3.18 10.5). ``url`` is the root that ``/studies`` follows."""

    type: Literal["dicomweb"]
    confirm: Literal["none", "query"] = "query"
    """QIDO-RS."""


class FolderDestination(_Destination):
    """Files, ``STUDY/SERIES/SOP.dcm`` below ``path``. What is written and synced is confirmed."""

    type: Literal["folder"]
    path: Path


class WebhookDestination(_Destination):
    """An HTTP service that is told of every outcome, signed with ``secret`` (HMAC-SHA256)."""

    type: Literal["webhook"]
    url: URL
    tls: TLS | None = None
    secret: Secret
    takes: ClassVar[frozenset[ResultKind]] = frozenset({ResultKind.WEBHOOK_EVENT})
    objects: tuple[ResultKind, ...] = (ResultKind.WEBHOOK_EVENT,)


class HL7Destination(_Destination):
    """An HL7 v2 receiver of ORU^R01 over MLLP."""

    type: Literal["hl7"]
    host: str = Field(min_length=1)
    port: Port = 2575
    tls: TLS | None = None
    sending_facility: str = Field(default="", max_length=64)
    receiving_application: str = Field(default="", max_length=64)
    receiving_facility: str = Field(default="", max_length=64)
    takes: ClassVar[frozenset[ResultKind]] = frozenset({ResultKind.HL7_MESSAGE})
    objects: tuple[ResultKind, ...] = (ResultKind.HL7_MESSAGE,)


def _type_of(value: Any) -> str:
    return str(value.get("type", "dicom") if isinstance(value, dict) else value.type)


Destination = Annotated[
    Annotated[DICOMDestination, Tag("dicom")]
    | Annotated[DICOMwebDestination, Tag("dicomweb")]
    | Annotated[FolderDestination, Tag("folder")]
    | Annotated[WebhookDestination, Tag("webhook")]
    | Annotated[HL7Destination, Tag("hl7")],
    Discriminator(_type_of),
]


def confirm_after_seconds(destination: Destination | None) -> float | None:
    """When to ask it whether it has what it took; None where it is not asked."""
    if isinstance(destination, DICOMDestination | DICOMwebDestination) and destination.confirm != "none":
        return destination.confirm_after_seconds
    return None


class Route(Section):
    """Sends an image's results to destinations when all that it names matches; what it leaves out matches anything."""

    name: Name
    sources: tuple[Name, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    modalities: tuple[str, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)
    """DICOM keyword to a shell pattern that one of the attribute's values must match, in any case of letters."""
    destinations: tuple[Name, ...]
    last: bool = False
    """No later route is asked once this one matched."""


class DICOMArchive(Section):
    """A PACS to pull studies from by C-FIND and C-MOVE, or C-GET."""

    type: Literal["dicom"] = "dicom"
    name: Name
    ae_title: AETitle
    host: str = Field(min_length=1)
    port: Port = 104
    tls: TLS | None = None
    timeout_seconds: float = Field(default=60, gt=0)
    retrieve: Literal["move", "get"] = "move"
    """With C-MOVE the images come to our listener, which must know the PACS as a source."""


class DICOMwebArchive(_WebDestination):
    """A PACS to pull studies from by QIDO-RS and WADO-RS."""

    type: Literal["dicomweb"]
    name: Name
    timeout_seconds: float = Field(default=60, gt=0)


Archive = Annotated[
    Annotated[DICOMArchive, Tag("dicom")] | Annotated[DICOMwebArchive, Tag("dicomweb")], Discriminator(_type_of)
]
