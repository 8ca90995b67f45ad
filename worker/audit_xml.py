"""DICOM audit messages as XML, by the schema of PS3.15 A.5.1."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from xml.etree import ElementTree as ET

# XML 1.0 2.2: what may stand in a document; senders' texts hold what they like.
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_APPLICATION_SERVER = "4"  # PS3.15 A.5.1.2.1
_MACHINE_NAME, _IP_ADDRESS = "1", "2"


class Outcome(IntEnum):
    """EventOutcomeIndicator."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    """Of an alert: what was tried did not succeed."""
    MAJOR_FAILURE = 12
    """Of an alert: the system may be compromised."""


@dataclass(frozen=True, slots=True)
class Coded:
    code: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Participant:
    user_id: str
    is_requestor: bool = False
    roles: tuple[Coded, ...] = ()
    ae_titles: tuple[str, ...] = ()
    name: str = ""
    address: str = ""
    """Of the machine it is at: an IP address or a name."""
    media_type: Coded | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """ParticipantObjectIdentification; ``query`` stands in the place of the name."""

    id: str
    id_type: Coded
    type_code: int
    """1 person, 2 system object."""
    role: int
    """PS3.15 A.5.1.2.2."""
    name: str = ""
    query: bytes | None = None
    details: Mapping[str, bytes] = field(default_factory=dict)
    accession_number: str = ""
    instances: Mapping[str, int] = field(default_factory=dict)
    """How many of each SOP Class."""


@dataclass(frozen=True, slots=True)
class Message:
    event: Coded
    types: tuple[Coded, ...]
    action: str
    """C, R, U, D or E."""
    at: datetime
    participants: tuple[Participant, ...]
    objects: tuple[Object, ...] = ()
    outcome: Outcome = Outcome.SUCCESS
    outcome_description: str = ""


def xml_of(message: Message, audit_source_id: str) -> bytes:
    """UTF-8, without a byte order mark."""
    root = ET.Element("AuditMessage")
    event = _child(
        root,
        "EventIdentification",
        EventActionCode=message.action,
        EventDateTime=message.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        EventOutcomeIndicator=str(message.outcome.value),
    )
    _coded(event, "EventID", message.event)
    for each in message.types:
        _coded(event, "EventTypeCode", each)
    if message.outcome_description:
        _child(event, "EventOutcomeDescription").text = _clean(message.outcome_description)
    for participant in message.participants:
        _add_participant(root, participant)
    source = _child(root, "AuditSourceIdentification", AuditSourceID=audit_source_id)
    ET.SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    for each_object in message.objects:
        _add_object(root, each_object)
    return ET.tostring(root, encoding="UTF-8", xml_declaration=True)


def _add_participant(root: ET.Element, participant: Participant) -> None:
    attributes = {"UserID": participant.user_id, "UserIsRequestor": str(participant.is_requestor).lower()}
    if participant.ae_titles:
        attributes["AlternativeUserID"] = f"AETITLES={';'.join(participant.ae_titles)}"  # PS3.15 A.5.2.2
    if participant.name:
        attributes["UserName"] = participant.name
    if participant.address:
        attributes["NetworkAccessPointID"] = participant.address
        attributes["NetworkAccessPointTypeCode"] = _kind_of_address(participant.address)
    element = _child(root, "ActiveParticipant", **attributes)
    for role in participant.roles:
        _coded(element, "RoleIDCode", role)
    if participant.media_type is not None:
        _coded(_child(element, "MediaIdentifier"), "MediaType", participant.media_type)


def _add_object(root: ET.Element, about: Object) -> None:
    element = _child(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=about.id,
        ParticipantObjectTypeCode=str(about.type_code),
        ParticipantObjectTypeCodeRole=str(about.role),
    )
    _coded(element, "ParticipantObjectIDTypeCode", about.id_type)
    if about.query is not None:
        _child(element, "ParticipantObjectQuery").text = _base64(about.query)
    else:
        _child(element, "ParticipantObjectName").text = _clean(about.name)
    for kind, value in about.details.items():
        _child(element, "ParticipantObjectDetail", type=kind, value=_base64(value))
    if about.accession_number or about.instances:
        description = _child(element, "ParticipantObjectDescription")
        if about.accession_number:
            _child(description, "Accession", Number=about.accession_number)
        for sop_class_uid, number in about.instances.items():
            _child(description, "SOPClass", UID=sop_class_uid, NumberOfInstances=str(number))


def _coded(parent: ET.Element, name: str, value: Coded) -> None:
    ET.SubElement(parent, name, {"csd-code": value.code, "codeSystemName": value.scheme, "originalText": value.meaning})


def _child(parent: ET.Element, name: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, name, {key: _clean(value) for key, value in attributes.items()})


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _kind_of_address(address: str) -> str:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return _MACHINE_NAME
    return _IP_ADDRESS
