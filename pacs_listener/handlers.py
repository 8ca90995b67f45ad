"""What is answered: association requests, C-ECHO, C-STORE."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import cast

from pydicom.dataset import Dataset
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from audit.intake import Receipt
from audit.journal import Journal
from core.errors import FailedForGood
from core.file_header import Header, canonical_uid
from core.logs import describe, get_logger
from core.records import ReceivedInstance
from core.settings import Source
from core.spool import Spool
from core.tracing import span
from pacs_listener import statuses
from pacs_listener.admission import STORAGE_CLASSES, Admission, Peer, Refusal, peer_of
from pacs_listener.incoming import digest, read_header
from pacs_listener.reception import Reception

log = get_logger("listener")

_ANSWERS = {
    Receipt.NEW: (statuses.SUCCESS, ""),
    Receipt.DUPLICATE: (statuses.SUCCESS, ""),
    Receipt.OWN_RESULT: (statuses.SUCCESS, ""),
    Receipt.CONFLICT: (statuses.KEPT_ASIDE, "SOP Instance UID known with other content; kept aside"),
}


class DiskReserve:
    """Whether there is room for another data set, where it arrives and where it stays."""

    def __init__(self, spool: Spool, incoming: Path, reserve_bytes: int) -> None:
        self._spool, self._incoming, self._reserve_bytes = spool, incoming, reserve_bytes

    def has_room(self) -> bool:
        free = self._spool.free_bytes()
        if free is None:  # an object store has no end; the disk that images arrive on has
            free = shutil.disk_usage(self._incoming).free
        return free >= self._reserve_bytes


class Handlers:
    """Called by pynetdicom in the thread of each association."""

    def __init__(self, admission: Admission, reception: Reception, journal: Journal, disk: DiskReserve) -> None:
        self._admission, self._reception, self._journal, self._disk = admission, reception, journal, disk

    def on_requested(self, event: Event) -> None:
        """Reject before pynetdicom negotiates, with the reasons it cannot know."""
        association, peer = event.assoc, peer_of(event)
        established = sum(each.is_established for each in association.ae.active_associations)
        refusal = self._admission.judge(peer.calling_ae_title, peer.called_ae_title, peer.address, established)
        if refusal is not None:
            association.acse.send_reject(refusal.result, refusal.source, refusal.diagnostic)
            self._record_refusal(refusal, peer)
            association.kill()
            return
        roles = association.requestor.role_selection
        receives = {str(uid) for uid, role in roles.items() if role.scp_role}
        association.acceptor.supported_contexts = self._admission.contexts(peer.calling_ae_title, receives)

    def _record_refusal(self, refusal: Refusal, peer: Peer) -> None:
        self._journal.refusal(
            "association.refused",
            same=(refusal.cause, peer.calling_ae_title, peer.called_ae_title, peer.address),
            actor=peer.calling_ae_title,
            called_ae_title=peer.called_ae_title,
            address=peer.address,
            cause=refusal.cause,
        )

    def on_closed(self, event: Event) -> None:
        """A peer that hangs up in the middle of a data set leaves a file that pynetdicom forgets."""
        message = event.assoc.dimse.message
        partial = None if message is None else message._data_set_file
        if partial is not None:
            partial.close()
            Path(partial.name).unlink(missing_ok=True)

    def on_echo(self, _event: Event) -> int:
        return statuses.SUCCESS

    def on_store(self, event: Event) -> Dataset:
        """An exception that leaves a handler would be answered 0xC211, which tells a modality never to try again."""
        peer, request = peer_of(event), cast("C_STORE", event.request)
        uid = canonical_uid(str(request.AffectedSOPInstanceUID)) or ""
        try:
            with span("C-STORE", kind="server", sop_instance_uid=uid, calling_ae_title=peer.calling_ae_title) as active:
                answer = self._store(event, request, uid, peer)
                if active is not None:
                    active.set_attribute("status", f"0x{answer.Status:04X}")
                return answer
        except Exception as exc:  # noqa: BLE001 - the listener outlives every data set, its database and its disk
            log.error("store_failed", sop_instance_uid=uid, calling_ae_title=peer.calling_ae_title, **describe(exc))
            return statuses.answer(statuses.PROCESSING_FAILURE, "could not be stored; send it again later")

    def _store(self, event: Event, request: C_STORE, uid: str, peer: Peer) -> Dataset:
        source = self._admission.source(peer.calling_ae_title, peer.address)
        if source is None:
            return self._refuse(statuses.NOT_AUTHORISED, "not_authorised", uid, peer)
        if event.context.abstract_syntax not in STORAGE_CLASSES:  # accepted for C-GET, where it is us who store
            return self._refuse(statuses.NOT_AUTHORISED, "sop_class_not_received", uid, peer)
        if not self._disk.has_room():
            return self._refuse(statuses.OUT_OF_RESOURCES, "disk_reserve_reached", uid, peer)
        if event.dataset_path is None:
            return self._refuse(statuses.CANNOT_UNDERSTAND, "no_data_set", uid, peer)
        try:
            header = read_header(event.dataset_path)
        except FailedForGood as exc:
            return self._refuse(statuses.CANNOT_UNDERSTAND, exc.code, uid, peer, exc.detail)
        if (header.sop_class_uid, header.sop_instance_uid) != (canonical_uid(str(request.AffectedSOPClassUID)), uid):
            return self._refuse(statuses.DATA_SET_DOES_NOT_MATCH, "uid_differs_from_command", uid, peer)
        if header.sop_class_uid != event.context.abstract_syntax:
            return self._refuse(statuses.DATA_SET_DOES_NOT_MATCH, "sop_class_differs_from_context", uid, peer)

        about = _describe(event.dataset_path, str(event.context.transfer_syntax), header, source, peer)
        receipt, job_id = self._reception.take_in(event.dataset_path, about)
        log.info("instance_received", sop_instance_uid=uid, receipt=receipt, job_id=job_id, source=source.name)
        return statuses.answer(*_ANSWERS[receipt])

    def _refuse(self, status: int, code: str, uid: str, peer: Peer, detail: str = "") -> Dataset:
        # A full disk is one piece of news, however many images it turns away.
        which = "" if status == statuses.OUT_OF_RESOURCES else uid
        self._journal.refusal(
            "instance.refused",
            same=(code, peer.calling_ae_title, which),
            subject=uid,
            actor=peer.calling_ae_title,
            status=f"0x{status:04X}",
            code=code,
            detail=detail,
        )
        return statuses.answer(status, f"{code}: {detail}" if detail else code)


def _describe(path: Path, transfer_syntax_uid: str, header: Header, source: Source, peer: Peer) -> ReceivedInstance:
    sha256, size_bytes = digest(path)
    return ReceivedInstance(
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        transfer_syntax_uid=transfer_syntax_uid,
        modality=header.modality,
        patient_id=header.patient_id,
        issuer_of_patient_id=header.issuer_of_patient_id or source.issuer_of_patient_id,
        accession_number=header.accession_number,
        study_date=header.study_date,
        calling_ae_title=peer.calling_ae_title,
        called_ae_title=peer.called_ae_title,
        peer_address=peer.address,
        source=source.name,
        spool_name="",
        sha256=sha256,
        size_bytes=size_bytes,
    )
