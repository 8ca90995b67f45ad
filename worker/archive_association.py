"""An association with an archive: one that sends us objects on it, and is not believed in what lengths it claims."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom.config
from pydicom.dataset import Dataset
from pynetdicom import _config, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ASSOCIATE

from core.destinations import DICOMArchive
from core.errors import RetryLater
from worker.archive import MOST_OBJECT_BYTES
from worker.scu import Handler, request_association

_PDU_BYTES = 131072
_SLACK_BYTES = 1024  # PS3.8 D.1.1: some senders leave PDV headers out of the maximum length
_MESSAGE_BYTES = 1024**2
"""Of what is kept in memory: command sets, matches, and lists of instances that failed."""
_MESSAGES_AHEAD = 4096
_ACCEPTED, _REJECTED_TRANSIENT = 0, 2  # PS3.8 9.3.3 and 9.3.4, result


@contextmanager
def open_association(
    archive: DICOMArchive,
    calling_ae_title: str,
    contexts: Sequence[tuple[str, str | None]],
    *,
    on_store: Callable[[Event], int] | None = None,
    storage_classes: Sequence[str] = (),
    folder: Path | None = None,
) -> Iterator[Association]:
    """Aborted where the block ends with an exception.

    Args:
        contexts: pairs of SOP class and transfer syntax as for ``request_association``.
        storage_classes: those that the archive stores to us on this association (PS3.7 D.3.3.4).
        folder: where data sets are written as they arrive.

    Raises:
        RetryLater: ``unknown_host``, ``tls_refused``, ``no_association``, ``association_rejected``,
            ``association_rejected_for_now`` or ``no_accepted_context``.
        ConfigurationError: a file of ``archive.tls`` cannot be used.
    """
    with _library_settings(folder):
        association = _request(archive, calling_ae_title, contexts, on_store, storage_classes)
        try:
            yield association
        except BaseException:
            association.abort()
            raise
        if association.is_established:
            association.release()


def _request(
    archive: DICOMArchive,
    calling_ae_title: str,
    contexts: Sequence[tuple[str, str | None]],
    on_store: Callable[[Event], int] | None,
    storage_classes: Sequence[str],
) -> Association:
    handlers: list[Handler] = [(evt.EVT_CONN_OPEN, _bound_what_is_read)]
    if on_store is not None:
        handlers.append((evt.EVT_C_STORE, on_store))
    try:
        association = request_association(
            archive.host,
            archive.port,
            ae_title=archive.ae_title,
            calling_ae_title=calling_ae_title,
            contexts=contexts,
            timeout_seconds=archive.timeout_seconds,
            tls=archive.tls,
            provider_of=storage_classes,
            handlers=handlers,
            maximum_pdu_bytes=_PDU_BYTES,
        )
    except ssl.SSLError as exc:
        raise RetryLater("tls_refused") from exc
    except OSError as exc:
        raise RetryLater("unknown_host") from exc
    if not association.is_established:
        raise _why_not(association)
    return association


def _why_not(association: Association) -> RetryLater:
    # A rejection that is here before pynetdicom looks (3.0.4) stays in the queue.
    answer = association.acceptor.primitive or association.dul.receive_pdu()
    if not isinstance(answer, A_ASSOCIATE):
        return RetryLater("no_association")
    if answer.result == _ACCEPTED:
        return RetryLater("no_accepted_context")
    reason = f"source {answer.result_source}, reason {answer.diagnostic} of PS3.8 9.3.4"
    for_now = answer.result == _REJECTED_TRANSIENT
    return RetryLater("association_rejected_for_now" if for_now else "association_rejected", reason)


def _bound_what_is_read(event: Event) -> None:
    """No PDU or message longer than agreed: pynetdicom reads whatever length is claimed."""
    transport = event.assoc.dul.socket
    if transport is None or transport.socket is None:
        return
    receive, dimse = transport.recv, event.assoc.dimse

    def receive_bounded(nr_bytes: int) -> bytearray:
        message = dimse.message
        held, filed = 0, 0
        if message is not None:
            held = sum(each.tell() for each in (message.encoded_command_set, message.data_set) if each is not None)
            filed = 0 if message._data_set_file is None else message._data_set_file.file.tell()
        if (
            nr_bytes > _PDU_BYTES + _SLACK_BYTES
            or held > _MESSAGE_BYTES
            or filed > MOST_OBJECT_BYTES
            or dimse.msg_queue.qsize() > _MESSAGES_AHEAD
        ):
            raise OSError("the archive sends more than was agreed")  # pynetdicom ends the association
        return receive(nr_bytes)

    transport.recv = receive_bounded  # type: ignore[method-assign]


@contextmanager
def _library_settings(folder: Path | None) -> Iterator[None]:
    """What pynetdicom, pydicom and tempfile know for the whole process only; the listener's for one that listens."""
    changes: list[tuple[Any, str, object]] = [
        (_config, "LOG_HANDLER_LEVEL", "none"),
        (_config, "LOG_REQUEST_IDENTIFIERS", False),
        (_config, "LOG_RESPONSE_IDENTIFIERS", False),
        (pydicom.config.settings, "reading_validation_mode", pydicom.config.IGNORE),  # warnings quote values
        (pydicom.config.settings, "writing_validation_mode", pydicom.config.IGNORE),
    ]
    if folder is not None:
        changes += [(_config, "STORE_RECV_CHUNKED_DATASET", True), (tempfile, "tempdir", str(folder))]
    before = [(where, name, getattr(where, name)) for where, name, _ in changes]
    for where, name, value in changes:
        setattr(where, name, value)
    try:
        yield
    finally:
        for where, name, value in before:
            setattr(where, name, value)


def text_of(identifier: Dataset, keyword: str) -> str:
    """A value as it came, without padding; bytes that are no ASCII become what no UID has."""
    element = identifier.get_item(keyword)
    value = b"" if element is None else element.value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip(" \0")
