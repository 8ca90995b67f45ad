"""The schema of DICOM audit messages (PS3.15 A.5.1): names of elements and attributes, order, number, values.

Each element is given its attributes, and the pattern of its children as a regular expression over their names.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import datetime
from xml.etree import ElementTree as ET


def _one_of(last: int) -> str:
    return "|".join(str(number) for number in range(1, last + 1))


_BOOLEAN = "true|false|0|1"
_UID = r"[0-2](\.(0|[1-9][0-9]*))+"
_ANY = "(?s:.*)"


@dataclass(frozen=True)
class _Rule:
    required: dict[str, str] = field(default_factory=dict)
    optional: dict[str, str] = field(default_factory=dict)
    children: str = ""
    """Each name is followed by a blank."""
    text: str = ""


_CODED = _Rule({"csd-code": ".+", "codeSystemName": ".+", "originalText": ".+"}, {"displayName": _ANY})
_RULES = {
    "AuditMessage": _Rule(
        children="EventIdentification (ActiveParticipant )+AuditSourceIdentification "
        "(ParticipantObjectIdentification )*"
    ),
    "EventIdentification": _Rule(
        {"EventDateTime": "datetime", "EventOutcomeIndicator": "0|4|8|12"},
        {"EventActionCode": "[CRUDE]"},
        "EventID (EventTypeCode )*(EventOutcomeDescription )?",
    ),
    "EventID": _CODED,
    "EventTypeCode": _CODED,
    "EventOutcomeDescription": _Rule(text=_ANY),
    "ActiveParticipant": _Rule(
        {"UserID": _ANY, "UserIsRequestor": _BOOLEAN},
        {
            "AlternativeUserID": _ANY,
            "UserName": _ANY,
            "NetworkAccessPointID": ".+",
            "NetworkAccessPointTypeCode": _one_of(5),
        },
        "(RoleIDCode )*(MediaIdentifier )?",
    ),
    "RoleIDCode": _CODED,
    "MediaIdentifier": _Rule(children="MediaType "),
    "MediaType": _CODED,
    "AuditSourceIdentification": _Rule(
        {"AuditSourceID": ".+"}, {"AuditEnterpriseSiteID": ".+"}, "(AuditSourceTypeCode )*"
    ),
    "AuditSourceTypeCode": _Rule(
        {"csd-code": ".+"}, {"codeSystemName": ".+", "originalText": ".+", "displayName": _ANY}
    ),
    "ParticipantObjectIdentification": _Rule(
        {"ParticipantObjectID": _ANY},
        {
            "ParticipantObjectTypeCode": _one_of(4),
            "ParticipantObjectTypeCodeRole": _one_of(26),
            "ParticipantObjectDataLifeCycle": _one_of(15),
            "ParticipantObjectSensitivity": _ANY,
        },
        "ParticipantObjectIDTypeCode (ParticipantObjectName |ParticipantObjectQuery )"
        "(ParticipantObjectDetail )*(ParticipantObjectDescription )*",
    ),
    "ParticipantObjectIDTypeCode": _CODED,
    "ParticipantObjectName": _Rule(text=_ANY),
    "ParticipantObjectQuery": _Rule(text="base64"),
    "ParticipantObjectDetail": _Rule({"type": ".+", "value": "base64"}),
    "ParticipantObjectDescription": _Rule(
        children="(MPPS )*(Accession )*(SOPClass )*(ParticipantObjectContainsStudy )?(Encrypted )?(Anonymized )?"
    ),
    "Accession": _Rule({"Number": ".+"}),
    "SOPClass": _Rule({"NumberOfInstances": "[0-9]+"}, {"UID": _UID}, "(Instance )*"),
    "Instance": _Rule({"UID": _UID}),
}  # fmt: skip


def check(xml: bytes) -> ET.Element:
    """The message; AssertionError where the schema forbids it."""
    root = ET.fromstring(xml)  # noqa: S314 - our own bytes
    assert root.tag == "AuditMessage"
    for element in root.iter():
        _check(element)
    requestors = [each for each in root.iter("ActiveParticipant") if each.get("UserIsRequestor") == "true"]
    assert len(requestors) <= 1, "A.5.2: at most one participant is the requestor"
    return root


def _check(element: ET.Element) -> None:
    assert element.tag in _RULES, f"no such element: {element.tag}"
    rule = _RULES[element.tag]
    allowed = rule.required | rule.optional
    assert element.attrib.keys() >= rule.required.keys(), f"{element.tag} lacks {rule.required.keys() - element.attrib}"
    for name, value in element.attrib.items():
        assert name in allowed, f"{element.tag} has no attribute {name}"
        _check_value(f"{element.tag}/@{name}", value, allowed[name])
    names = "".join(f"{child.tag} " for child in element)
    assert re.fullmatch(rule.children, names), f"{element.tag} holds {names!r}, expected {rule.children!r}"
    _check_value(element.tag, (element.text or "") if not len(element) else (element.text or "").strip(), rule.text)


def _check_value(what: str, value: str, pattern: str) -> None:
    match pattern:
        case "datetime":
            assert datetime.fromisoformat(value).tzinfo is not None, f"{what}: A.5.2.5 wants a time zone"
        case "base64":
            base64.b64decode(value, validate=True)
        case _:
            assert re.fullmatch(pattern, value), f"{what} is {value!r}, expected {pattern!r}"
