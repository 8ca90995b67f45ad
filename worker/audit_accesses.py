"""Audit messages about who searched, read or took away what."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from worker import audit_codes as codes
from worker.audit_told import QUERY, REPORT, SYSTEM_OBJECT, UNKNOWN, Told, study_and_patient
from worker.audit_xml import Message, Object, Participant


def queried(told: Told) -> Message:
    """A.5.3.10. The values that were searched by are patients, and stand in no audit event: the keys come empty."""
    data = told.event.data
    query = Object(
        str(data.get("sop_class_uid", "")),
        codes.SOP_CLASS_UID,
        SYSTEM_OBJECT,
        REPORT,
        query=_encoded_query(str(data.get("level", "")), data.get("keys", ())),
        details={"TransferSyntax": ExplicitVRLittleEndian.encode()},
    )
    return told.message(codes.QUERY, "E", [told.peer(codes.SOURCE), told.us(codes.DESTINATION)], [query])


def read(told: Told) -> Message:
    """A.5.3.6 where it was about one study, else A.5.3.10: a search over HTTP."""
    study, data = told.study, told.event.data
    if study is not None:
        return told.message(
            codes.INSTANCES_ACCESSED, "R", [told.actor(), told.us()], study_and_patient(study, told.instances())
        )
    searched = Object(
        str(data.get("route", "")),
        codes.URI,
        SYSTEM_OBJECT,
        QUERY,
        query=told.details().encode(),
    )
    return told.message(codes.QUERY, "E", [told.actor(codes.SOURCE), told.us(codes.DESTINATION)], [searched])


def exported(told: Told) -> Message:
    """A.5.3.4. Exports tell of any number of studies: the search stands for them."""
    data = told.event.data
    medium = Participant(
        str(data.get("route", UNKNOWN)),
        False,
        (codes.DESTINATION_MEDIA,),
        address=str(data.get("address") or ""),
        media_type=codes.MEDIA_URI,
    )
    searched = told.details()
    rows = Object(str(data.get("route", "")), codes.URI, SYSTEM_OBJECT, REPORT, query=searched.encode())
    return told.message(codes.EXPORT, "R", [told.actor(), told.us(codes.SOURCE), medium], [rows])


def _encoded_query(level: str, keys: Sequence[str]) -> bytes:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in keys:
        tag = tag_for_keyword(keyword)
        if tag is not None:
            query.add(DataElement(tag, dictionary_VR(tag), None))
    target = DicomBytesIO()
    target.is_implicit_VR, target.is_little_endian = False, True
    write_dataset(target, query)
    return target.getvalue()
