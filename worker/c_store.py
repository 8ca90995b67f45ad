"""C-STORE SCU: results to a destination, each answer read and turned into a fate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association

from core.destinations import DICOMDestination
from core.errors import FailedForGood, RetryLater
from core.records import DeliveryJob
from core.spool import Spool
from worker.answers import NO_ANSWER, Answer, Refused, Sent
from worker.scu import request_association

# PS3.4 B.2.3 and PS3.7 C.4 and C.5: what repeating cannot change. 0xA9xx and 0xCxxx are families.
_PERMANENT = {
    0x0117: "invalid_sop_instance",
    0x0122: "sop_class_not_supported",
    0x0124: "not_authorised",
}
_DUPLICATE_SOP_INSTANCE = 0x0111  # PS3.7 C.5.7: it has this very object, since our UIDs are derived and our bytes kept
_SUCCESS_OR_WARNING = {0x0000, 0x0001, 0x0107, 0x0116, _DUPLICATE_SOP_INSTANCE}

_REJECTED_PERMANENT = 0x01  # PS3.8 9.3.4, result


def read_status(status: int | None) -> Answer:
    """The fate that a C-STORE status means; None where no answer came."""
    if status is None:
        return NO_ANSWER
    if status in _SUCCESS_OR_WARNING or status >> 12 == 0xB:
        return Sent(status)
    if status in _PERMANENT:
        return Refused(_PERMANENT[status], permanent=True, status=status)
    if status >> 8 == 0xA9:
        return Refused("data_set_does_not_match_sop_class", permanent=True, status=status)
    if status >> 12 == 0xC:
        return Refused("cannot_understand", permanent=True, status=status)
    if status >> 8 == 0xA7:
        return Refused("out_of_resources", permanent=False, status=status)
    return Refused("refused", permanent=False, status=status)


def deliver(
    deliveries: Iterable[DeliveryJob], destination: DICOMDestination, spool: Spool, calling_ae_title: str
) -> Iterator[tuple[DeliveryJob, Answer]]:
    """Send each over one association, in order, and yield its answer before the next is sent.

    After a lost association the rest is answered ``Refused`` without a try; it stays due.
    """
    waiting = list(deliveries)
    try:
        with _association(waiting, destination, calling_ae_title) as association:
            while waiting:
                delivery = waiting[0]
                answer = _store(association, delivery, spool)
                del waiting[0]
                yield delivery, answer
                if answer == NO_ANSWER:
                    raise RetryLater("association_lost")  # pynetdicom has aborted, or is about to
    except (RetryLater, FailedForGood) as exc:
        for delivery in waiting:
            yield delivery, Refused(exc.code, permanent=isinstance(exc, FailedForGood))


@contextmanager
def _association(
    deliveries: list[DeliveryJob], destination: DICOMDestination, calling_ae_title: str
) -> Iterator[Association]:
    # A context for each syntax, or the PACS would choose: our bytes go as they are wherever it takes Explicit VR.
    contexts = [
        (sop_class_uid, syntax)
        for sop_class_uid in sorted({delivery.sop_class_uid for delivery in deliveries})
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    ]
    try:
        association = request_association(
            destination.host,
            destination.port,
            ae_title=destination.ae_title,
            calling_ae_title=calling_ae_title,
            contexts=contexts,
            timeout_seconds=destination.timeout_seconds,
        )
    except OSError as exc:
        raise RetryLater("unknown_host") from exc
    if not association.is_established:
        raise _refusal(association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _refusal(association: Association) -> Exception:
    if association.is_rejected:
        primitive = association.acceptor.primitive
        if primitive is not None and primitive.result == _REJECTED_PERMANENT:
            return FailedForGood("association_rejected")
        return RetryLater("association_rejected_for_now")
    if association.acceptor.primitive is not None and not association.accepted_contexts:
        return FailedForGood("no_accepted_context")
    return RetryLater("no_association")


def _store(association: Association, delivery: DeliveryJob, spool: Spool) -> Answer:
    if not association.is_established:
        raise RetryLater("association_lost")
    dataset = dcmread(BytesIO(spool.read(delivery.spool_name)))
    try:
        response = association.send_c_store(dataset)
    except ValueError:
        # pynetdicom's way to say that no presentation context for this SOP class was accepted.
        return Refused("no_accepted_context", permanent=True)
    except RuntimeError as exc:
        raise RetryLater("association_lost") from exc
    return read_status(response.Status if "Status" in response else None)
