"""C-STORE sub-operations: instances from the spool to a peer, their data sets untouched wherever they fit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode, split_dataset
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext

from audit.holdings import HeldInstance
from core.fields import TLS
from core.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from core.logs import describe, get_logger
from core.spool import Spool
from core.tls import client_context

log = get_logger("listener")

_LITTLE_ENDIAN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: odd numbers of one byte
_LOW = 2  # PS3.7 9.3.1.1: priority


@dataclass(frozen=True, slots=True)
class MoveDestination:
    host: str
    port: int
    tls: TLS | None
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Originator:
    """Who asked for the move (PS3.7 9.1.1.1.5)."""

    ae_title: str
    message_id: int


@contextmanager
def association_with(
    ae_title: str, destination: MoveDestination, calling_ae_title: str, instances: Sequence[HeldInstance]
) -> Iterator[Association | None]:
    """None where it cannot be had; released at the end."""
    ae = AE(ae_title=calling_ae_title)
    ae.implementation_class_uid, ae.implementation_version_name = IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = destination.timeout_seconds
    tls = None if destination.tls is None else client_context(destination.tls)
    try:
        association = ae.associate(
            destination.host,
            destination.port,
            contexts=_proposed(instances),
            ae_title=ae_title,
            evt_handlers=[(evt.EVT_CONN_OPEN, _leave_answers_alone)],
            tls_args=None if tls is None else (tls, destination.host),
        )
    except OSError as exc:
        log.warning("move_destination_not_reached", destination=ae_title, **describe(exc))
        yield None
        return
    if not association.is_established:
        log.warning("move_destination_not_reached", destination=ae_title)
        yield None
        return
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def store(
    association: Association,
    instance: HeldInstance,
    spool: Spool,
    *,
    incoming: Path,
    message_id: int,
    originator: Originator | None = None,
) -> int | None:
    """The status of the answer; None where there is none, or no context that fits was accepted.

    Raises:
        Exception: the file is gone, or cannot be read as DICOM where it has to be encoded anew.
    """
    accepted: dict[str, PresentationContext] = {
        context.transfer_syntax[0]: context
        for context in association.accepted_contexts
        if context.as_scu and context.abstract_syntax == instance.sop_class_uid
    }
    request = C_STORE()
    request.MessageID, request.Priority = message_id, _LOW
    request.AffectedSOPClassUID = UID(instance.sop_class_uid)
    request.AffectedSOPInstanceUID = UID(instance.sop_instance_uid)
    if originator is not None:
        request.MoveOriginatorApplicationEntityTitle = originator.ae_title
        request.MoveOriginatorMessageID = originator.message_id
    with _local(instance.spool_name, spool, incoming) as path:
        meta, offset = split_dataset(path)
        held = meta.TransferSyntaxUID
        context = accepted.get(held)
        if context is not None:
            request._dataset_path = (path, offset)
        else:
            context = next((accepted[each] for each in _LITTLE_ENDIAN if each in accepted), None)
            if context is None or held not in _LITTLE_ENDIAN:
                return None
            request.DataSet = BytesIO(_encoded(path, context.transfer_syntax[0]))
        association.dimse.send_msg(request, context.context_id or 0)  # reads the file to its end
    _, response = association.dimse.get_msg(block=True)
    if (
        isinstance(response, C_STORE)
        and response.is_valid_response
        and response.MessageIDBeingRespondedTo == message_id
    ):
        return response.Status
    association.abort(block=False)
    return None


def _encoded(path: Path, syntax: UID) -> bytes:
    encoded = encode(dcmread(path), syntax.is_implicit_VR, syntax.is_little_endian)
    if encoded is None:
        raise ValueError("not to be encoded in another transfer syntax")
    return encoded


@contextmanager
def _local(name: str, spool: Spool, incoming: Path) -> Iterator[Path]:
    if spool.local_root is not None:
        yield spool.local_root / name
        return
    with NamedTemporaryFile(dir=incoming, suffix=".dcm") as copy:
        with spool.open(name) as held:
            shutil.copyfileobj(held, copy)
        copy.flush()
        yield Path(copy.name)


def _proposed(instances: Sequence[HeldInstance]) -> list[PresentationContext]:
    """A context for each syntax, or the peer would choose instead of us; uncompressed ones can be either."""
    pairs = dict.fromkeys(
        (instance.sop_class_uid, syntax)
        for instance in instances
        for syntax in (
            instance.transfer_syntax_uid,
            *(_LITTLE_ENDIAN if instance.transfer_syntax_uid in _LITTLE_ENDIAN else ()),
        )
    )
    return [build_context(*pair) for pair in list(pairs)[:_MOST_CONTEXTS]]


def _leave_answers_alone(event: Event) -> None:
    """Keep pynetdicom's own thread from taking the answers that ``store`` waits for: an SCU has no other messages."""
    take = event.assoc.dimse.get_msg
    event.assoc.dimse.get_msg = lambda block=False: take(block) if block else (None, None)  # type: ignore[method-assign]


def failed_list(uids: Sequence[str]) -> Dataset:
    """PS3.4 C.4.2.1.4.2: which sub-operations failed."""
    dataset = Dataset()
    dataset.FailedSOPInstanceUIDList = list(uids)
    return dataset
