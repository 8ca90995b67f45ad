"""STOW-RS: results to a PACS over HTTP, a request for each (PS3.18 10.5).

One object to a request: what a server cannot take of one must not take the others with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

from core.destinations import DICOMwebDestination
from core.records import DeliveryJob
from core.spool import Spool
from worker.answers import DUPLICATE_SOP_INSTANCE, Answer, Refused, Sent, in_turn, read_status
from worker.http import HTTPAnswer, HTTPPeer, authorization, refusal

# PS3.18 I.2, Store Instances Response Module
_REFERENCED_SOP_SEQUENCE = "00081199"
_FAILED_SOP_SEQUENCE = "00081198"
_REFERENCED_SOP_INSTANCE_UID = "00081155"
_WARNING_REASON = "00081196"
_FAILURE_REASON = "00081197"

_Items = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class _Report:
    """Each item: tag to value, of the attributes with one value."""

    stored: _Items = field(default_factory=list)
    failed: _Items = field(default_factory=list)


def deliver(
    deliveries: Sequence[DeliveryJob], destination: DICOMwebDestination, spool: Spool
) -> Iterator[tuple[DeliveryJob, Answer]]:
    """Send each in order and yield its answer before the next is sent. The bytes go as they are."""
    with HTTPPeer(destination.url, destination.tls, destination.timeout_seconds) as peer:
        yield from in_turn(deliveries, lambda delivery: _store(delivery, destination, spool, peer))


def _store(delivery: DeliveryJob, destination: DICOMwebDestination, spool: Spool, peer: HTTPPeer) -> Answer:
    content = spool.read(delivery.spool_name)
    boundary = hashlib.sha256(content).hexdigest()  # cannot stand in what it is made from
    body = b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--%b--\r\n" % (
        boundary.encode(), content, boundary.encode(),
    )  # fmt: skip
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
        **authorization(destination),
    }
    answer = peer.request("POST", f"{destination.url.rstrip('/')}/studies", headers, body)
    return _fate(answer, delivery.sop_instance_uid)


def _fate(answer: HTTPAnswer, sop_instance_uid: str) -> Answer:
    stored = 200 <= answer.status < 300
    if not stored and answer.status != 409:
        return refusal(answer)
    report = _read(answer)
    if report is not None:
        for item in report.failed:
            if item.get(_REFERENCED_SOP_INSTANCE_UID) == sop_instance_uid:
                return _failure(item.get(_FAILURE_REASON, ""))
        for item in report.stored:
            if item.get(_REFERENCED_SOP_INSTANCE_UID) == sop_instance_uid:
                warning = item.get(_WARNING_REASON, "")
                return Sent(int(warning) if _is_status(warning) else 0)
    if answer.status == 409:
        return refusal(answer)
    if answer.status == 200 and answer.body == b"":
        return Sent(0)  # PS3.18 Table 10.5.3-1: all were stored; some servers say no more
    return Refused("not_in_answer", permanent=False, status=answer.status)


def _failure(reason: str) -> Answer:
    """PS3.18 I.2.2: the codes of C-STORE. What is listed as failed is not there, even if the code says success."""
    if not _is_status(reason):
        return Refused("refused", permanent=False)
    answer = read_status(int(reason))
    if isinstance(answer, Sent) and answer.status != DUPLICATE_SOP_INSTANCE:
        return Refused("refused", permanent=False, status=answer.status)
    return answer


def _is_status(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= 5 and int(value) <= 0xFFFF


def _read(answer: HTTPAnswer) -> _Report | None:
    """None where the body is no Store Instances Response."""
    if answer.body is None:
        return None
    try:
        if answer.media_type.endswith("json"):
            return _from_json(json.loads(answer.body))
        if answer.media_type.endswith("xml"):
            return _from_xml(answer.body)
    except (ValueError, RecursionError, ET.ParseError):
        pass
    return None


def _from_json(document: Any) -> _Report | None:
    """PS3.18 F.2."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]  # as search results come
    if not isinstance(document, dict):
        return None

    def items(tag: str) -> _Items:
        return [
            {name: str(values[0]).strip(" \0") for name in item if len(values := _values(item, name)) == 1}
            for item in _values(document, tag)
            if isinstance(item, dict)
        ]

    return _Report(items(_REFERENCED_SOP_SEQUENCE), items(_FAILED_SOP_SEQUENCE))


def _values(attributes: dict[str, Any], tag: str) -> list[Any]:
    attribute = attributes.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values if isinstance(values, list) else []


class _WithoutDTD(ET.TreeBuilder):
    def doctype(self, *_declaration: str | None) -> None:
        raise ValueError("entities can make a small answer large")


def _from_xml(body: bytes) -> _Report:
    """PS3.19 A.1, Native DICOM Model, with or without its namespace."""
    root = ET.fromstring(body, ET.XMLParser(target=_WithoutDTD()))  # noqa: S314 - bounded, and without a DTD

    def items(tag: str) -> _Items:
        return [
            {
                attribute.get("tag", ""): (values[0].text or "").strip()
                for attribute in item.findall("{*}DicomAttribute")
                if len(values := attribute.findall("{*}Value")) == 1
            }
            for sequence in root.findall("{*}DicomAttribute")
            if sequence.get("tag") == tag
            for item in sequence.findall("{*}Item")
        ]

    return _Report(items(_REFERENCED_SOP_SEQUENCE), items(_FAILED_SOP_SEQUENCE))
