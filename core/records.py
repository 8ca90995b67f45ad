"""Frozen records handed from one package to the next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Outcome(StrEnum):
    """The four ends of an image. Silence is none of them."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NOT_ANALYSED = "not_analysed"
    FAILED = "failed"


class ResultKind(StrEnum):
    """Kinds of result we make; part of every derived UID, so a value never changes once released."""

    SECONDARY_CAPTURE = "secondary_capture"
    REPORT = "report"
    """Comprehensive SR."""
    REPORT_3D = "report_3d"
    """The same as Comprehensive 3D SR, which IHE AIR asks for."""
    REPORT_STONE = "report_stone"
    """The same with the source concept that Orthanc's Stone viewer needs to draw the region."""
    PRESENTATION_STATE = "presentation_state"
    SEGMENTATION = "segmentation"
    ENCAPSULATED_PDF = "encapsulated_pdf"
    STUDY_SUMMARY = "study_summary"
    KEY_OBJECTS = "key_objects"
    REJECTION_NOTE = "rejection_note"
    """Key objects that withdraw results."""
    WEBHOOK_EVENT = "webhook_event"
    HL7_MESSAGE = "hl7_message"


REPORT_KINDS = (ResultKind.REPORT, ResultKind.REPORT_3D, ResultKind.REPORT_STONE)
"""One document in three dialects: a destination takes one of them."""
STUDY_KINDS = (ResultKind.STUDY_SUMMARY, ResultKind.KEY_OBJECTS)
"""Made once a study is idle, about all of its results."""
MESSAGE_KINDS = (ResultKind.WEBHOOK_EVENT, ResultKind.HL7_MESSAGE)
"""No DICOM objects."""


class DeliveryState(StrEnum):
    """Of a result object at a destination. ``sent`` was accepted; ``confirmed`` was asked for later, and is there."""

    PENDING = "pending"
    SENT = "sent"
    CONFIRMED = "confirmed"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Finding:
    """A coded remark about an image: a warning beside a prediction, or a reason why there is none.

    ``code`` is stable snake_case for machines (``low_resolution``); ``detail`` is one plain sentence for people.
    Neither may hold an attribute of a patient.
    """

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What decides a prediction. Any change of a field is another device (IHE AIR 6.5.3.1)."""

    name: str
    version: str
    manufacturer: str
    digest: str
    """SHA-256 of the weights file, hexadecimal."""
    preprocessing: str
    """Canonical JSON of what happens between the radiograph and the tensor."""
    label: str
    """The finding whose probability is predicted, e.g. ``pneumonia``."""
    threshold: float
    temperature: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """A calibrated probability held against its threshold."""

    label: str
    probability: float
    threshold: float
    classes: tuple[tuple[str, float], ...] = ()
    """Calibrated probability of each class, where the network tells kinds of the finding apart; they sum to 1."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must lie in [0, 1], got {self.probability}")

    @property
    def outcome(self) -> Outcome:
        return Outcome.POSITIVE if self.probability >= self.threshold else Outcome.NEGATIVE


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A class activation map as the network's last feature map has it.

    ``values``: (h, w) float32, >= 0, not scaled and not resized; rows and columns cover the whole image.
    """

    values: npt.NDArray[np.float32]
    method: str


@dataclass(frozen=True, slots=True)
class Region:
    """Where the heat map is above half of its maximum: a closed polygon on the source image.

    ``points``: (column, row) in pixels of the source image, 0.0, 0.0 being the top left corner of the first pixel
    (PS3.3 C.18.6.1.2); the first point is not repeated at the end.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if len(self.points) < 3:
            raise ValueError(f"a region has at least 3 points, got {len(self.points)}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model says of one image: a prediction with its heat map, or the reasons why it does not answer."""

    prediction: Prediction | None
    heatmap: Heatmap | None
    reasons: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        answered = self.prediction is not None
        if answered != (self.heatmap is not None) or answered == bool(self.reasons):
            raise ValueError("a verdict is a prediction with its heat map, or reasons why there is none")


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that is said about one image. ``reasons`` is filled for not analysed and failed, and only then."""

    outcome: Outcome
    prediction: Prediction | None = None
    reasons: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    voi: str | None = None
    """How stored values became grey values: ``lut``, ``window``, ``percentile`` or ``none`` (8-bit images)."""

    def __post_init__(self) -> None:
        judged = self.outcome in (Outcome.POSITIVE, Outcome.NEGATIVE)
        if judged != (self.prediction is not None):
            raise ValueError(f"outcome {self.outcome} {'needs' if judged else 'forbids'} a prediction")
        if judged == bool(self.reasons):
            raise ValueError(f"outcome {self.outcome} {'forbids' if judged else 'needs'} reasons")


@dataclass(frozen=True, slots=True)
class InferenceJob:
    """A claimed row of the job table: one received image to analyse before ``token`` is taken away."""

    id: int
    token: str
    attempts: int
    instance_id: int
    study_id: int
    sop_instance_uid: str
    spool_name: str
    source: str
    """Name of the configured source that sent it."""
    patient_conflict: bool = False
    """The study is already known under another patient: nothing may be written back."""
    generation: int = 1
    """Above 1, an earlier analysis by the same model has to be told apart from this one."""
    uploaded: bool = False
    """Given to the prediction service: nothing is written back."""
    use_tta: bool = False
    """An upload may ask for test-time augmentation by itself."""
    media_type: str = "application/dicom"
    """Of the spooled file."""
    request_id: str = ""
    """Of the HTTP request that asked for it."""
    traceparent: str = ""
    """W3C Trace Context of that request."""


@dataclass(frozen=True, slots=True)
class ModelInCharge:
    """What an inference worker answers with, as its heartbeat tells those who have no model."""

    device_uid: str
    device_uid_with_tta: str
    name: str
    version: str
    label: str
    image_size: int
    """Side of the square that the network sees, pixels."""
    num_parameters: int
    device: str
    """``cpu`` or ``cuda``."""
    accuracy: float | None
    """On the held-out images of its record; None where the record has none."""


@dataclass(frozen=True, slots=True)
class DeliveryJob:
    """A claimed row of the delivery table: one stored result object for one destination."""

    id: int
    token: str
    attempts: int
    destination: str
    sop_class_uid: str
    sop_instance_uid: str
    spool_name: str
    age_seconds: float
    """Since the delivery was first due: how long it has been tried for."""


@dataclass(frozen=True, slots=True)
class ResultObject:
    """A DICOM object we made, already at rest in the spool."""

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    spool_name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """What the listener knows about an accepted data set: the header facts the audit row keeps, as received."""

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    modality: str
    patient_id: str
    issuer_of_patient_id: str
    accession_number: str
    study_date: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    source: str
    """Name of the configured source that the calling AE title belongs to."""
    spool_name: str
    sha256: str
    """Of the data set as it came over the wire, without our file meta information."""
    size_bytes: int
