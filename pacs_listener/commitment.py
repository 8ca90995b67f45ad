"""Storage commitment (PS3.4 J), as SCP for modalities and as SCU whose destinations report to it."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from typing import cast

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_messages import N_EVENT_REPORT_RQ, N_EVENT_REPORT_RSP
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.events import Event
from pynetdicom.pdu import P_DATA_TF

from audit.commitments import Holding, book_request, look_up, mark_answered_at_once
from audit.confirmations import settle_commitment
from audit.journal import Journal
from audit.session import Database
from core.commitment import (
    ALL_COMMITTED,
    FAILURES_EXIST,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST,
    Report,
    Request,
    read_report,
    read_request,
    report_data_set,
)
from core.errors import FailedForGood
from core.logs import describe, get_logger
from core.settings import Source
from pacs_listener.admission import Admission, Peer, peer_of

log = get_logger("listener")

# PS3.7 10.1.1.1.8 and 10.1.4.1.10, Annex C.5
_SUCCESS = 0x0000
_PROCESSING_FAILURE = 0x0110
_NO_SUCH_INSTANCE = 0x0112
_NO_SUCH_EVENT_TYPE = 0x0113
_INVALID_ARGUMENT_VALUE = 0x0115
_NO_SUCH_ACTION = 0x0123
_NOT_AUTHORISED = 0x0124

_MESSAGE_ID = 1
_REPORTS_AHEAD = 8
_HEARD_WITHIN_SECONDS = 60.0
"""Without an address for reports, after this the worker finds that the one on the association was not heard."""


@dataclass(slots=True)
class _Owed:
    """A report that goes out on the association that asked for it, once the request has been answered."""

    request_id: int
    context_id: int
    transfer_syntax: str
    report: Report
    is_sent: bool = False


class Commitments:
    """Called by pynetdicom in the threads of each association."""

    def __init__(self, admission: Admission, database: Database, journal: Journal) -> None:
        self._admission, self._database, self._journal = admission, database, journal
        self._owed: dict[Association, _Owed] = {}
        self._arriving: Counter[Association] = Counter()
        self._lock = threading.Lock()

    def on_action(self, event: Event) -> tuple[int, None]:
        peer, request = peer_of(event), cast("N_ACTION", event.request)
        try:
            return self._act(event, request, peer), None
        except FailedForGood as exc:
            return self._refuse(_INVALID_ARGUMENT_VALUE, exc.code, peer, exc.detail), None
        except Exception as exc:  # noqa: BLE001 - the listener outlives every request and its database
            log.error("commitment_request_failed", calling_ae_title=peer.calling_ae_title, **describe(exc))
            return _PROCESSING_FAILURE, None

    def _act(self, event: Event, request: N_ACTION, peer: Peer) -> int:
        source = self._admission.source(peer.calling_ae_title, peer.address)
        if source is None:
            return self._refuse(_NOT_AUTHORISED, "not_authorised", peer)
        if request.RequestedSOPInstanceUID != PUSH_MODEL_INSTANCE:
            return self._refuse(_NO_SUCH_INSTANCE, "not_the_well_known_instance", peer)
        if request.ActionTypeID != REQUEST:
            return self._refuse(_NO_SUCH_ACTION, "no_such_action", peer)
        asked = read_request(_decoded(event, "action_information"))
        request_id, holding = self._book(asked, source, peer)
        log.info("commitment_requested", transaction_uid=asked.transaction_uid, instances=len(asked.references))
        if not source.host:
            report = Report(asked.transaction_uid, holding.held, holding.missing)
            owed = _Owed(request_id, event.context.context_id, event.context.transfer_syntax, report)
            with self._lock:
                self._owed[event.assoc] = owed
        return _SUCCESS

    def _book(self, asked: Request, source: Source, peer: Peer) -> tuple[int, Holding]:
        with self._database.write() as session:
            row = book_request(
                session,
                transaction_uid=asked.transaction_uid,
                source=source.name,
                calling_ae_title=peer.calling_ae_title,
                called_ae_title=peer.called_ae_title,
                references=asked.references,
                due_in_seconds=0 if source.host else _HEARD_WITHIN_SECONDS,
            )
            return row.id, look_up(session, asked.references)

    def on_pdu_sent(self, event: Event) -> None:
        """Sends a report that is owed behind the N-ACTION response, which has gone out whole with this PDU.

        Here and not in the handler of the request, which pynetdicom calls before it answers. Nobody waits for the
        report's answer: a peer that releases instead is not held up.
        """
        if not isinstance(event.pdu, P_DATA_TF):
            return
        with self._lock:
            owed = self._owed.get(event.assoc)
            if owed is None or owed.is_sent:
                return
            owed.is_sent = True
        event.assoc.dimse.send_msg(_report_message(owed), owed.context_id)

    def on_message(self, event: Event) -> None:
        match event.message:
            case N_EVENT_REPORT_RQ():
                self._bound_reports(event.assoc)
            case N_EVENT_REPORT_RSP(command_set=command) if command.get("Status") == _SUCCESS:
                with self._lock:
                    owed = self._owed.pop(event.assoc, None)
                if owed is not None:
                    self._note_answer(owed)

    def _bound_reports(self, association: Association) -> None:
        """pynetdicom starts a thread for each, however many a peer sends without waiting for answers."""
        with self._lock:
            self._arriving[association] += 1
            too_many = self._arriving[association] > _REPORTS_AHEAD
        if too_many:
            association.abort(block=False)

    def _note_answer(self, owed: _Owed) -> None:
        try:
            with self._database.write() as session:
                holding = Holding(owed.report.committed, owed.report.failed)
                mark_answered_at_once(session, owed.request_id, holding)
        except Exception as exc:  # noqa: BLE001 - as above; the row stays pending
            log.error("commitment_answer_not_noted", **describe(exc))

    def on_closed(self, event: Event) -> None:
        with self._lock:
            self._owed.pop(event.assoc, None)
            self._arriving.pop(event.assoc, None)

    def on_report(self, event: Event) -> tuple[int, None]:
        peer, request = peer_of(event), cast("N_EVENT_REPORT", event.request)
        try:
            return self._take_report(event, request, peer), None
        except FailedForGood as exc:
            return self._refuse(_INVALID_ARGUMENT_VALUE, exc.code, peer, exc.detail), None
        except Exception as exc:  # noqa: BLE001 - as above
            log.error("commitment_report_failed", calling_ae_title=peer.calling_ae_title, **describe(exc))
            return _PROCESSING_FAILURE, None
        finally:
            with self._lock:
                if event.assoc in self._arriving:
                    self._arriving[event.assoc] -= 1

    def _take_report(self, event: Event, request: N_EVENT_REPORT, peer: Peer) -> int:
        destinations = self._admission.destinations(peer.calling_ae_title)
        if not destinations:
            return self._refuse(_NOT_AUTHORISED, "not_authorised", peer)
        if request.EventTypeID not in (ALL_COMMITTED, FAILURES_EXIST):
            return self._refuse(_NO_SUCH_EVENT_TYPE, "no_such_event_type", peer)
        report = read_report(_decoded(event, "event_information"))
        with self._database.write() as session:
            is_ours = settle_commitment(
                session, report.transaction_uid, report.committed_uids, report.failure_reasons, destinations
            )
        log.info(
            "commitment_report", transaction_uid=report.transaction_uid, is_ours=is_ours,
            committed=len(report.committed), failed=len(report.failed),
        )  # fmt: skip
        if not is_ours:
            # Taken all the same: a PACS that is refused reports for ever.
            self._journal.refusal(
                "commitment.unknown",
                same=(peer.calling_ae_title, report.transaction_uid),
                subject=report.transaction_uid,
                actor=peer.calling_ae_title,
            )
        return _SUCCESS

    def _refuse(self, status: int, code: str, peer: Peer, detail: str = "") -> int:
        self._journal.refusal(
            "commitment.refused",
            same=(code, peer.calling_ae_title),
            actor=peer.calling_ae_title,
            status=f"0x{status:04X}",
            code=code,
            detail=detail,
        )
        return status


def _decoded(event: Event, which: str) -> Dataset:
    try:
        return cast("Dataset", getattr(event, which))
    except Exception as exc:
        # Whatever pynetdicom and pydicom trip over in a stranger's bytes has this one meaning.
        raise FailedForGood("unreadable", type(exc).__name__) from exc


def _report_message(owed: _Owed) -> N_EVENT_REPORT:
    message = N_EVENT_REPORT()
    message.MessageID = _MESSAGE_ID
    message.AffectedSOPClassUID = UID(PUSH_MODEL)
    message.AffectedSOPInstanceUID = UID(PUSH_MODEL_INSTANCE)
    message.EventTypeID = owed.report.event_type
    syntax = UID(owed.transfer_syntax)
    message.EventInformation = BytesIO(
        encode(report_data_set(owed.report), syntax.is_implicit_VR, syntax.is_little_endian) or b""
    )
    return message
