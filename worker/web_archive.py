"""An archive by QIDO-RS (PS3.18 10.6) and WADO-RS (PS3.18 10.4)."""

from __future__ import annotations

import json
import struct
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from pydicom.filereader import read_file_meta_info
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from core.destinations import DICOMwebArchive
from core.errors import FailedForGood, RetryLater
from core.fields import TLS
from core.tls import client_context
from worker.archive import (
    MOST_OBJECT_BYTES,
    MOST_OBJECTS,
    Arrived,
    FoundSeries,
    FoundStudies,
    Retrieved,
    Store,
    Studies,
    is_stored,
    series_of,
)
from worker.http import authorization
from worker.multipart import MultipartBrokeOff, MultipartError, MultipartReader, boundary_of

_MATCHES_PER_PAGE = 500
_MOST_PAGE_BYTES = 32 * 1024**2
_CHUNK_BYTES = 65_536
_JSON = {"Accept": "application/dicom+json"}
# PS3.18 8.7.3.5.2: any transfer syntax, so that the archive sends what it has and transcodes nothing.
_DICOM = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}

# PS3.10 7.1: preamble, prefix, and (0002,0000) with the length of the rest of the group
_START = struct.Struct("<128x12sL")
_PREFIX = b"DICM\x02\x00\x00\x00UL\x04\x00"
_MOST_META_BYTES = 64 * 1024

_TAGS = {
    "StudyInstanceUID": "0020000D",
    "StudyTime": "00080030",
    "SeriesInstanceUID": "0020000E",
    "Modality": "00080060",
    "NumberOfSeriesRelatedInstances": "00201209",
}
# What speaks of the archive or of us, and not of the study that was asked for.
_ARCHIVE_TROUBLE = {401, 403, 407, 408, 425, 429}


class WebArchive:
    """Images come into ``folder`` and are handed to ``store``. For one thread."""

    def __init__(self, archive: DICOMwebArchive, *, folder: Path, store: Store) -> None:
        """Raises ConfigurationError where a file of ``archive.tls`` cannot be used."""
        secure = urlsplit(archive.url).scheme == "https"
        self._root, self._folder, self._store = archive.url.rstrip("/"), folder, store
        self._headers = authorization(archive)
        self._timeout = urllib3.Timeout(connect=archive.timeout_seconds, read=archive.timeout_seconds)
        self._pool = urllib3.PoolManager(
            maxsize=1, ssl_context=client_context(archive.tls or TLS()) if secure else None, retries=False
        )

    def find_studies(self, day: date, modalities: tuple[str, ...]) -> FoundStudies:
        studies = Studies()
        for modality in modalities:
            for match in self._pages(StudyDate=f"{day:%Y%m%d}", ModalitiesInStudy=modality):
                studies.add(match["StudyInstanceUID"], match["StudyTime"])
        return studies.found()

    def find_series(
        self,
        study_instance_uid: str,
        modalities: tuple[str, ...],  # noqa: ARG002 - every QIDO-RS server counts (PS3.18 Table 10.6.3-4)
    ) -> list[FoundSeries]:
        path = f"/studies/{study_instance_uid}/series"
        matches = self._search(path, includefield=_TAGS["NumberOfSeriesRelatedInstances"])
        return [series for series in map(series_of, matches) if series is not None]

    def retrieve(self, study_instance_uid: str, series_instance_uid: str) -> Retrieved:
        path = f"/studies/{study_instance_uid}/series/{series_instance_uid}"
        statuses: list[int | None] = []
        with self._get(path, _DICOM) as response:
            if response.status != 200:
                raise _refusal(response.status)
            try:
                boundary = boundary_of(response.headers.get("Content-Type", ""))
                reader = MultipartReader(response.stream(_CHUNK_BYTES, decode_content=False), boundary)
                while (content_type := reader.next_part()) is not None:
                    if len(statuses) >= MOST_OBJECTS:
                        raise FailedForGood("too_many_objects", f"more than {MOST_OBJECTS}")
                    statuses.append(self._take(reader, content_type))
            except MultipartBrokeOff as exc:
                raise RetryLater("no_answer") from exc
            except MultipartError as exc:
                raise FailedForGood("answer_not_multipart") from exc
        completed = sum(status is not None and is_stored(status) for status in statuses)
        return Retrieved(completed, len(statuses) - completed)

    def _take(self, reader: MultipartReader, content_type: str) -> int | None:
        """The status that storing the part ended with; None where it is no DICOM."""
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".dcm", delete=False) as file:
            reader.copy(file.write, MOST_OBJECT_BYTES)
        path = Path(file.name)
        try:
            arrived = _announced(path) if content_type == "application/dicom" else None
            return None if arrived is None else self._store(arrived)
        finally:
            path.unlink(missing_ok=True)

    def _pages(self, **keys: str) -> Iterator[dict[str, str]]:
        """PS3.18 8.3.4.4: a server may give fewer matches than asked for, and more from an offset."""
        seen: set[str] = set()
        count = 0
        while True:
            page = self._search("/studies", **keys, offset=f"{count}")
            new = {match["StudyInstanceUID"] for match in page} - seen
            if not new:  # the end, or a server that knows no offset
                return
            yield from page
            seen |= new
            count += len(page)

    def _search(self, path: str, **keys: str) -> list[dict[str, str]]:
        """The matches as texts by keyword."""
        query = urlencode({**keys, "limit": f"{_MATCHES_PER_PAGE}"})
        with self._get(f"{path}?{query}", _JSON) as response:
            if response.status == 204:
                return []
            if response.status != 200:
                raise _refusal(response.status)
            body = bytearray()
            for chunk in response.stream(_CHUNK_BYTES, decode_content=False):
                body += chunk
                if len(body) > _MOST_PAGE_BYTES:
                    raise FailedForGood("answer_too_long", f"more than {_MOST_PAGE_BYTES} bytes")
        try:
            matches = json.loads(body) if body.strip() else []
        except (ValueError, RecursionError) as exc:
            raise FailedForGood("answer_no_json") from exc
        if not isinstance(matches, list):
            raise FailedForGood("answer_no_json")
        return [{keyword: _text(match, tag) for keyword, tag in _TAGS.items()} for match in matches]

    @contextmanager
    def _get(self, path: str, headers: Mapping[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        """Raises RetryLater where there is no answer, or it breaks off within the block."""
        try:
            response = self._pool.request(
                "GET",
                self._root + path,
                headers={**headers, **self._headers},
                redirect=False,  # credentials go nowhere but to the host in the configuration
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
            )
            try:
                yield response
            finally:
                response.close()
        except SSLError as exc:
            raise RetryLater("tls_refused") from exc
        except (NewConnectionError, ConnectTimeoutError) as exc:
            raise RetryLater("no_connection") from exc
        except HTTPError as exc:
            raise RetryLater("no_answer") from exc


def _refusal(status: int) -> RetryLater | FailedForGood:
    code = f"http_{status}"
    return RetryLater(code) if status in _ARCHIVE_TROUBLE or status >= 500 else FailedForGood(code)


def _text(match: Any, tag: str) -> str:
    """PS3.18 F.2: the first value; empty where there is none."""
    attribute = match.get(tag) if isinstance(match, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return str(values[0]) if isinstance(values, list) and values and isinstance(values[0], str | int) else ""


def _announced(path: Path) -> Arrived | None:
    """What the file meta information says (PS3.10 7.1); None where there is none that can be read."""
    with path.open("rb") as file:
        start = file.read(_START.size)
    if len(start) < _START.size:
        return None
    prefix, length = _START.unpack(start)
    if prefix != _PREFIX or length > _MOST_META_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's quote values
            meta = read_file_meta_info(path)
            return Arrived(
                path,
                sop_class_uid=str(meta.MediaStorageSOPClassUID),
                sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
                transfer_syntax_uid=str(meta.TransferSyntaxUID),
            )
    except Exception:  # noqa: BLE001 - whatever pydicom trips over in a stranger's bytes has this one meaning
        return None
