"""Is this object there? Asked by C-FIND at IMAGE level (PS3.4 C.6.2) or by QIDO-RS (PS3.18 10.6)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from pydicom.dataset import Dataset
from pynetdicom.association import Association

from audit.confirmations import Question
from core.destinations import DICOMDestination, DICOMwebDestination
from core.errors import RetryLater
from worker.commitment import associated
from worker.http import HTTPPeer, authorization

_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_PENDING = (0xFF00, 0xFF01)  # PS3.4 C.4.1.1.4
_MOST_MATCHES = 10_000
"""Of an archive that takes no notice of the SOP Instance UID and answers with the whole series."""
_SOP_INSTANCE_UID = "00080018"
_STUDY_INSTANCE_UID = "0020000D"


def look_up(
    questions: Sequence[Question], destination: DICOMDestination | DICOMwebDestination, calling_ae_title: str
) -> Iterator[tuple[Question, bool]]:
    """Yields each answer before the next question is asked.

    Raises:
        RetryLater: this question and those after it have no answer.
        ConfigurationError: a file of ``destination.tls`` cannot be used.
    """
    if isinstance(destination, DICOMwebDestination):
        with HTTPPeer(destination.url, destination.tls, destination.timeout_seconds) as peer:
            for question in questions:
                yield question, _is_in_web(question, destination, peer)
        return
    with associated(destination, calling_ae_title, _STUDY_ROOT_FIND) as association:
        for question in questions:
            yield question, _is_found(question, association)


def _is_found(question: Question, association: Association) -> bool:
    keys = Dataset()
    keys.QueryRetrieveLevel = "IMAGE"
    keys.StudyInstanceUID = question.study_instance_uid
    keys.SeriesInstanceUID = question.series_instance_uid
    keys.SOPInstanceUID = question.sop_instance_uid
    found, matches = False, 0
    try:
        for status, identifier in association.send_c_find(keys, _STUDY_ROOT_FIND):
            if "Status" not in status:
                raise RetryLater("no_answer")
            if status.Status not in _PENDING:
                if status.Status == 0x0000:
                    return found
                raise RetryLater(f"query_refused_0x{status.Status:04X}")
            matches += 1
            if matches > _MOST_MATCHES:
                raise RetryLater("too_many_matches")
            uid = "" if identifier is None else str(identifier.get("SOPInstanceUID", ""))
            found |= uid.strip(" \0") == question.sop_instance_uid
    except RuntimeError as exc:
        raise RetryLater("association_lost") from exc
    raise RetryLater("no_answer")


def _is_in_web(question: Question, destination: DICOMwebDestination, peer: HTTPPeer) -> bool:
    study = question.study_instance_uid
    keys = {"SOPInstanceUID": question.sop_instance_uid}
    found = _search(f"/studies/{study}/instances", keys, _SOP_INSTANCE_UID, destination, peer)
    if found is None:
        # Either the study is not there, or this is not where the service lies.
        studies = _search("/studies", {"StudyInstanceUID": study}, _STUDY_INSTANCE_UID, destination, peer)
        if studies is None or study in studies:
            raise RetryLater("http_404")
        return False
    return question.sop_instance_uid in found


def _search(
    path: str, keys: dict[str, str], tag: str, destination: DICOMwebDestination, peer: HTTPPeer
) -> set[str] | None:
    """The values of ``tag`` in the matches; None for 404."""
    url = f"{destination.url.rstrip('/')}{path}?{urlencode(keys)}"
    answer = peer.request("GET", url, {"Accept": "application/dicom+json", **authorization(destination)})
    if answer.status == 404:
        return None
    if answer.status == 204:
        return set()
    if answer.status != 200:
        raise RetryLater(f"http_{answer.status}")
    if answer.body is None:
        raise RetryLater("answer_too_long")
    try:
        matches = json.loads(answer.body or b"[]")
        return {str(match[tag]["Value"][0]) for match in matches if tag in match}
    except (ValueError, LookupError, TypeError, RecursionError) as exc:
        raise RetryLater("answer_no_dicom_json") from exc
