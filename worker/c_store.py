"""C-STORE SCU: results to a destination, each answer read and turned into a fate."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association

from core.destinations import DICOMDestination
from core.errors import ConfigurationError, FailedForGood, RetryLater
from core.records import DeliveryJob
from core.spool import Spool
from worker.answers import NO_ANSWER, Answer, Refused, read_status, refusal
from worker.scu import request_association

_SYNTAXES = {"explicit": ExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian}
_REJECTED_PERMANENT = 0x01  # PS3.8 9.3.4, result


def deliver(
    deliveries: Sequence[DeliveryJob], destination: DICOMDestination, spool: Spool, calling_ae_title: str
) -> Iterator[tuple[DeliveryJob, Answer]]:
    """Send each over one association, in order, and yield its answer before the next is sent.

    After a lost association the rest is answered ``Refused`` without a try; it stays due.
    """
    waiting = list(deliveries)
    try:
        with _association(waiting, destination, calling_ae_title) as association:
            while waiting:
                delivery = waiting[0]
                answer = _store(association, delivery, destination, spool)
                del waiting[0]
                yield delivery, answer
                if answer == NO_ANSWER:
                    raise RetryLater("association_lost")  # pynetdicom has aborted, or is about to
    except (RetryLater, FailedForGood, ConfigurationError) as exc:
        for_the_rest = refusal(exc, destination.name)
        for delivery in waiting:
            yield delivery, for_the_rest


@contextmanager
def _association(
    deliveries: Sequence[DeliveryJob], destination: DICOMDestination, calling_ae_title: str
) -> Iterator[Association]:
    # A context for each syntax, or the PACS would choose instead of us.
    contexts = [
        (sop_class_uid, str(_SYNTAXES[name]))
        for sop_class_uid in sorted({delivery.sop_class_uid for delivery in deliveries})
        for name in destination.transfer_syntaxes
    ]
    try:
        association = request_association(
            destination.host,
            destination.port,
            ae_title=destination.ae_title,
            calling_ae_title=calling_ae_title,
            contexts=contexts,
            timeout_seconds=destination.timeout_seconds,
            tls=destination.tls,
        )
    except ssl.SSLError as exc:
        # Certificates expire and are renewed; the results wait for that.
        raise RetryLater("tls_refused") from exc
    except OSError as exc:
        raise RetryLater("unknown_host") from exc
    if not association.is_established:
        raise _failure(association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _failure(association: Association) -> RetryLater | FailedForGood:
    if association.is_rejected:
        primitive = association.acceptor.primitive
        if primitive is not None and primitive.result == _REJECTED_PERMANENT:
            return FailedForGood("association_rejected")
        return RetryLater("association_rejected_for_now")
    if association.acceptor.primitive is not None and not association.accepted_contexts:
        return FailedForGood("no_accepted_context")
    return RetryLater("no_association")


def _store(association: Association, delivery: DeliveryJob, destination: DICOMDestination, spool: Spool) -> Answer:
    if not association.is_established:
        raise RetryLater("association_lost")
    accepted = {
        context.transfer_syntax[0]
        for context in association.accepted_contexts
        if context.abstract_syntax == delivery.sop_class_uid
    }
    syntax = next((_SYNTAXES[name] for name in destination.transfer_syntaxes if _SYNTAXES[name] in accepted), None)
    if syntax is None:
        return Refused("no_accepted_context", permanent=True)
    try:
        response = association.send_c_store(_in_syntax(spool.read(delivery.spool_name), syntax))
    except RuntimeError as exc:
        raise RetryLater("association_lost") from exc
    return read_status(response.Status if "Status" in response else None)


def _in_syntax(content: bytes, syntax: UID) -> Dataset:
    """``content`` as it is wherever it is in this syntax, which all of ours are while Explicit VR is taken."""
    dataset = dcmread(BytesIO(content))
    if dataset.file_meta.TransferSyntaxUID == syntax:
        return dataset
    dataset.file_meta.TransferSyntaxUID = syntax
    converted = BytesIO()
    dcmwrite(converted, dataset)
    converted.seek(0)
    return dcmread(converted)
