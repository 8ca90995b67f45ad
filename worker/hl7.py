"""ORU^R01 of HL7 2.5.1: what the report says of an image, for systems that take messages and no objects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message, Segment
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import get_message_info, parse_segment
from hl7apy.v2_5_1 import TX
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from core.destinations import HL7Destination
from core.identity import MANUFACTURER_MODEL_NAME
from core.records import Outcome, ResultKind
from dicom import codes
from dicom.case import Case
from dicom.headers import inherited, items, text
from dicom.identity import device_uid, result_uid
from dicom.sentences import BEFORE_THE_ADDRESS, in_per_cent, remarks, result_sentence

_VERSION = "2.5.1"
_STUDY_INSTANCE_UID = Code("110180", "DCM", "Study Instance UID")
_PRESENCE = {
    Outcome.POSITIVE: codes.PRESENT,
    Outcome.NEGATIVE: codes.ABSENT,
    Outcome.NOT_ANALYSED: codes.UNDETERMINED,
    Outcome.FAILED: codes.UNDETERMINED,
}
_PRELIMINARY = "P"  # HL70085, HL70123: no person has verified it
_REPRESENTATIONS = ("A", "I", "P")  # HL70465; the order of the groups of a PN (PS3.5 6.2)
# What the receiver could not show; half a surrogate pair stands for a byte that could not be decoded.
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")


def message_uid(case: Case) -> str:
    """Names the message; the same for every build and every attempt to send it."""
    return result_uid(case.source.sop_instance_uid, device_uid(case.model), ResultKind.HL7_MESSAGE, case.generation)


def message_bytes(case: Case) -> bytes:
    """UTF-8, segments ended by CR, without MLLP's frame and without receiver; the same bytes for the same case."""
    header = inherited(case.source.dataset, ())
    created = case.created.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")
    message = Message("ORU_R01", version=_VERSION, validation_level=VALIDATION_LEVEL.TOLERANT)
    message.msh.msh_3 = MANUFACTURER_MODEL_NAME
    message.msh.msh_7 = created
    message.msh.msh_9 = "ORU^R01^ORU_R01"
    message.msh.msh_10 = _control_id(message_uid(case))
    message.msh.msh_11 = "P"
    message.msh.msh_18 = "UNICODE UTF-8"
    result = message.add_group("ORU_R01_PATIENT_RESULT")
    _patient(result.add_group("ORU_R01_PATIENT").add_segment("PID"), header)
    order = result.add_group("ORU_R01_ORDER_OBSERVATION")
    _order(order.add_segment("OBR"), case, header, created)
    for number, (value_type, concept, sub_id, value, unit) in enumerate(_observations(case), start=1):
        segment = order.add_group("ORU_R01_OBSERVATION").add_segment("OBX")
        segment.obx_1 = str(number)
        segment.obx_2 = value_type
        segment.obx_3 = _coded(concept)
        segment.obx_4 = sub_id
        segment.obx_5 = value
        segment.obx_6 = unit
        segment.obx_11 = _PRELIMINARY
        segment.obx_14 = created
        segment.obx_18 = f"{_escaped(case.model.name)}^^{device_uid(case.model)}^ISO"
    return (message.to_er7() + "\r").encode()


def addressed(message: bytes, destination: HL7Destination) -> bytes:
    """The stored message with the names that this receiver goes by; each may be an HD of three components."""
    first, separator, rest = message.partition(b"\r")
    header = parse_segment(first.decode(), version=_VERSION, validation_level=VALIDATION_LEVEL.TOLERANT)
    header.msh_4 = destination.sending_facility
    header.msh_5 = destination.receiving_application
    header.msh_6 = destination.receiving_facility
    return bytes(header.to_er7().encode()) + separator + rest


def control_id(message: bytes) -> str:
    return str(parse_segment(message.partition(b"\r")[0].decode(), version=_VERSION).msh_10.value)


def acknowledgment(message: bytes) -> tuple[str, str] | None:
    """MSA-1 and MSA-2 of an answer in any version, or None where it has none."""
    lines = message.decode(errors="replace").replace("\n", "\r").strip("\r ").split("\r")
    try:
        encoding_characters, _, _ = get_message_info(lines[0])
        for line in lines[1:]:
            if line.startswith("MSA"):
                segment = parse_segment(line, version=_VERSION, encoding_chars=encoding_characters)
                return str(segment.msa_1.value).strip(), str(segment.msa_2.value).strip()
    except (HL7apyException, LookupError):
        pass
    return None


def _control_id(uid: str) -> str:
    """MSH-10 holds 20 characters, a UID up to 64."""
    return hashlib.sha256(uid.encode()).hexdigest()[:20].upper()


def _patient(segment: Segment, header: Dataset) -> None:
    segment.pid_1 = "1"
    if patient_id := text(header, "PatientID"):
        segment.pid_3 = _joined(patient_id, "", "", text(header, "IssuerOfPatientID"), "PI")
    for representation, group in zip(_REPRESENTATIONS, text(header, "PatientName").split("="), strict=False):
        if group:
            family, given, middle, prefix, suffix = [*group.split("^"), "", "", "", ""][:5]
            field = segment.add_field("PID_5")
            field.value = _joined(family, given, middle, suffix, prefix, "", "L", representation)
    segment.pid_7 = text(header, "PatientBirthDate")
    segment.pid_8 = text(header, "PatientSex")


def _order(segment: Segment, case: Case, header: Dataset, created: str) -> None:
    source = case.source.dataset
    accession_number = _escaped(text(header, "AccessionNumber"))
    segment.obr_1 = "1"
    segment.obr_2 = _escaped(text(source, "PlacerOrderNumberImagingServiceRequest")) or accession_number
    segment.obr_3 = _escaped(text(source, "FillerOrderNumberImagingServiceRequest")) or accession_number
    segment.obr_4 = _procedure(source)
    segment.obr_7 = text(header, "StudyDate") and (text(header, "StudyDate") + text(header, "StudyTime")[:6])
    segment.obr_18 = accession_number  # IHE RAD TF-2 4.4: Placer Field 1
    segment.obr_22 = created
    segment.obr_24 = "RAD"  # HL70074
    segment.obr_25 = _PRELIMINARY


def _procedure(source: Dataset) -> str:
    """As the image names it, else any imaging procedure."""
    for item in items(source, "ProcedureCodeSequence"):
        code = Code(text(item, "CodeValue"), text(item, "CodingSchemeDesignator"), text(item, "CodeMeaning"))
        if code.value and code.scheme_designator:
            return _coded(code)
    return _coded(codes.IMAGING_PROCEDURE)


def _observations(case: Case) -> Iterator[tuple[str, Code, str, str, str]]:
    """OBX-2 to OBX-6 of each. Comments share their OBX-3 and are told apart by OBX-4."""
    analysis = case.analysis
    yield "CE", codes.finding(case.model.label), "", _coded(_PRESENCE[analysis.outcome]), ""
    if analysis.prediction is not None:
        certainty = f"{in_per_cent(analysis.prediction.probability):g}"
        yield "NM", codes.CERTAINTY_OF_FINDING, "", certainty, _coded(codes.PERCENT)
    comments = [case.intended_use, result_sentence(analysis), *remarks(analysis)]
    if case.feedback_url:
        comments.append(BEFORE_THE_ADDRESS)
    for number, comment in enumerate(comments, start=1):
        yield "TX", codes.COMMENT, str(number), _escaped(comment), ""
    if case.feedback_url:
        # No RP: receivers file what that points to among the documents of the patient.
        yield "ST", codes.URI, "", _escaped(case.feedback_url), ""
    yield "ST", _STUDY_INSTANCE_UID, "", case.source.study_instance_uid, ""


def _coded(code: Code) -> str:
    return _joined(code.value, code.meaning, code.scheme_designator)


def _joined(*components: str) -> str:
    return "^".join(_escaped(component) for component in components).rstrip("^")


def _escaped(value: str) -> str:
    # hl7apy takes a backslash that seems to begin an escape sequence for one, hence the first step.
    plain = _NOT_TEXT.sub(" ", value).replace("\\", "\\E\\")
    return str(TX(plain).to_er7())
