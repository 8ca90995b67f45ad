"""C-GET and C-MOVE as SCP: instances back to a workstation, or on to a configured peer (PS3.4 C.4.2, C.4.3)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_GET, C_MOVE
from pynetdicom.dsutils import decode, encode
from pynetdicom.events import Event

from audit.events import record_event
from audit.holdings import HeldInstance, StudyKeys, find_studies
from audit.journal import Journal
from audit.session import Database
from core.destinations import DICOMDestination
from core.errors import FailedForGood
from core.logs import describe, get_logger
from core.settings import Settings
from core.spool import Spool
from pacs_listener.admission import GET, MOVE, Peer, caller
from pacs_listener.identifier import Identifier, Level, read_identifier
from pacs_listener.query import MOST_INSTANCES, MOST_MATCHES, refuse
from pacs_listener.sub_operations import MoveDestination, Originator, association_with, failed_list, store

log = get_logger("listener")

AT_ONCE = 4
"""Retrievals, of all callers: what is left of the disk and the CPU is for what arrives."""

# PS3.4 Tables C.4-2 and C.4-3
_SUCCESS = 0x0000
_PENDING = 0xFF00
_CANCEL = 0xFE00
_SOME_FAILED = 0xB000
_TOO_MANY = 0xA701
_NOT_PERFORMED = 0xA702
_UNKNOWN_DESTINATION = 0xA801
_IDENTIFIER_DOES_NOT_MATCH = 0xA900
_UNABLE_TO_PROCESS = 0xC000
_STATUSES = {
    "too_many_matches": _TOO_MANY,
    "too_many_retrievals": _NOT_PERFORMED,
    "move_destination_unknown": _UNKNOWN_DESTINATION,
}

Request = C_GET | C_MOVE


@dataclass(slots=True)
class _Tally:
    """Sub-operations (PS3.7 9.1.3.1.6)."""

    remaining: int
    completed: int = 0
    warned: int = 0
    failed_uids: list[str] = field(default_factory=list)

    def note(self, instance: HeldInstance, status: int | None) -> None:
        self.remaining -= 1
        if status == _SUCCESS:
            self.completed += 1
        elif status is not None and (status >> 12 == 0xB or status in (0x0001, 0x0107, 0x0116)):  # PS3.7 Annex C.4
            self.warned += 1
        else:
            self.failed_uids.append(instance.sop_instance_uid)

    @property
    def final_status(self) -> int:
        if not self.failed_uids and not self.warned:
            return _SUCCESS
        return _SOME_FAILED if self.completed or self.warned else _NOT_PERFORMED


class Retrievals:
    """Called by pynetdicom in the thread of each association.

    Its own services of C-GET and C-MOVE take only data sets that are decoded and held in memory, and cannot refuse an
    identifier before they call the move destination; so the requests are taken before they reach them.
    """

    def __init__(self, settings: Settings, database: Database, spool: Spool, journal: Journal, incoming: Path) -> None:
        self._database, self._spool, self._journal, self._incoming = database, spool, journal, incoming
        self._ae_title = settings.listener.ae_title
        self._destinations = _move_destinations(settings)
        self._room = threading.BoundedSemaphore(AT_ONCE)

    def on_established(self, event: Event) -> None:
        association = event.assoc
        association._serve_request = partial(self._serve, association, association._serve_request)  # type: ignore[method-assign]

    def _serve(
        self, association: Association, otherwise: Callable[[Any, int], None], request: object, context_id: int
    ) -> None:
        context = association._accepted_cx.get(context_id)
        if (
            context is None
            or not isinstance(request, C_GET | C_MOVE)
            or not request.is_valid_request
            or context.abstract_syntax != (GET if isinstance(request, C_GET) else MOVE)
        ):
            otherwise(request, context_id)
            return
        association.dimse.cancel_req = {}
        association._is_paused = True  # or an abort in this thread would wait for this thread
        try:
            _Retrieval(self, association, request, context_id, context.transfer_syntax[0]).run()
        finally:
            association._is_paused = False
            association.dimse.cancel_req = {}


class _Retrieval:
    """One request until its last response."""

    def __init__(
        self, house: Retrievals, association: Association, request: Request, context_id: int, syntax: UID
    ) -> None:
        self._house, self._association, self._request = house, association, request
        self._context_id, self._syntax = context_id, syntax
        self._peer: Peer = caller(association)

    def run(self) -> None:
        room = self._house._room
        has_room = room.acquire(blocking=False)
        try:
            if not has_room:
                raise FailedForGood("too_many_retrievals", "ask again later")
            destination = self._destination()
            instances = self._find(read_identifier(self._identifier()))
            self._send(instances, destination)
        except FailedForGood as exc:
            status = _STATUSES.get(exc.code, _IDENTIFIER_DOES_NOT_MATCH)
            refuse(self._house._journal, "retrieve.refused", exc, status, self._peer)
            self._respond(status, comment=f"{exc.code}: {exc.detail}")
        except Exception as exc:  # noqa: BLE001 - the listener outlives every retrieval, its database and its disk
            log.error("retrieve_failed", calling_ae_title=self._peer.calling_ae_title, **describe(exc))
            self._respond(_UNABLE_TO_PROCESS, comment="could not be done; ask again later")
        finally:
            if has_room:
                room.release()

    def _destination(self) -> MoveDestination | None:
        """None for C-GET."""
        if isinstance(self._request, C_GET):
            return None
        destination = self._house._destinations.get(self._ae_title)
        if destination is None:
            raise FailedForGood("move_destination_unknown", "not configured")
        return destination

    @property
    def _ae_title(self) -> str:
        """Of whoever gets the instances."""
        if isinstance(self._request, C_GET):
            return self._peer.calling_ae_title
        return str(self._request.MoveDestination or "").strip()

    def _identifier(self) -> Dataset:
        if self._request.Identifier is None:
            raise FailedForGood("unreadable", "no identifier")
        try:
            return decode(self._request.Identifier, self._syntax.is_implicit_VR, self._syntax.is_little_endian)
        except Exception as exc:
            # Whatever pydicom trips over in a stranger's bytes has this one meaning.
            raise FailedForGood("unreadable", "identifier") from exc

    def _find(self, identifier: Identifier) -> list[HeldInstance]:
        if not identifier.uids[identifier.level]:  # PS3.4 C.4.2.2.1: no universal matching
            raise FailedForGood("unique_key_missing", f"{identifier.level} level")
        keys = StudyKeys(study_instance_uids=identifier.study_instance_uids)
        with self._house._database.read() as session:
            studies = find_studies(session, keys, most_studies=MOST_MATCHES, most_instances=MOST_INSTANCES)
        if len(studies) > MOST_MATCHES or sum(len(study.instances) for study in studies) > MOST_INSTANCES:
            raise FailedForGood("too_many_matches", "ask for less")
        return [
            instance
            for study in studies
            for instance in study.instances
            if identifier.admits(Level.SERIES, instance.series_instance_uid)
            and identifier.admits(Level.IMAGE, instance.sop_instance_uid)
        ]

    def _send(self, instances: Sequence[HeldInstance], destination: MoveDestination | None) -> None:
        tally = _Tally(len(instances))
        way = (
            association_with(self._ae_title, destination, self._house._ae_title, instances)
            if destination is not None and instances
            else nullcontext(self._association)
        )
        try:
            with way as to:
                status = self._store_all(to, instances, tally)
        finally:
            self._record(instances, tally)
        self._respond(status, tally)

    def _store_all(self, to: Association | None, instances: Sequence[HeldInstance], tally: _Tally) -> int:
        """The status to end with."""
        originator = None
        if isinstance(self._request, C_MOVE):
            originator = Originator(self._peer.calling_ae_title, self._request.MessageID or 0)
        for number, instance in enumerate(instances, start=1):
            if self._request.MessageID in self._association.dimse.cancel_req:
                return _CANCEL
            if _is_lost(self._association):
                break
            tally.note(instance, self._store(to, instance, number, originator))
            if tally.remaining:
                self._respond(_PENDING, tally)
        return tally.final_status

    def _store(
        self, to: Association | None, instance: HeldInstance, number: int, originator: Originator | None
    ) -> int | None:
        if to is None or _is_lost(to):
            return None
        try:
            # Message IDs of 16 bits; the one of the request is not used again (PS3.7 9.1.1.1.1).
            message_id = (self._request.MessageID or 0) + number & 0xFFFF
            return store(
                to,
                instance,
                self._house._spool,
                incoming=self._house._incoming,
                message_id=message_id,
                originator=originator,
            )
        except Exception as exc:  # noqa: BLE001 - one sub-operation fails; the others go on
            log.error("sub_operation_failed", sop_instance_uid=instance.sop_instance_uid, **describe(exc))
            return None

    def _record(self, instances: Sequence[HeldInstance], tally: _Tally) -> None:
        studies = list(dict.fromkeys(instance.study_instance_uid for instance in instances))
        with self._house._database.write() as session:
            record_event(
                session,
                "instances.retrieved",
                subject=studies[0] if len(studies) == 1 else "",
                actor=self._peer.calling_ae_title,
                operation="C-GET" if isinstance(self._request, C_GET) else "C-MOVE",
                address=self._peer.address,
                to=self._ae_title,
                studies=studies,
                completed=tally.completed,
                warned=tally.warned,
                failed=len(tally.failed_uids),
                not_sent=tally.remaining,
            )

    def _respond(self, status: int, tally: _Tally | None = None, comment: str = "") -> None:
        if _is_lost(self._association):
            return
        response: Request = type(self._request)()
        response.MessageIDBeingRespondedTo = self._request.MessageID
        response.AffectedSOPClassUID = self._request.AffectedSOPClassUID
        response.Status = status
        if comment:
            response.ErrorComment = comment[:64]  # type: ignore[assignment]
        if tally is not None:
            if status in (_PENDING, _CANCEL):
                response.NumberOfRemainingSuboperations = tally.remaining
            response.NumberOfCompletedSuboperations = tally.completed
            response.NumberOfFailedSuboperations = len(tally.failed_uids)
            response.NumberOfWarningSuboperations = tally.warned
            if status not in (_PENDING, _SUCCESS):
                encoded = encode(
                    failed_list(tally.failed_uids), self._syntax.is_implicit_VR, self._syntax.is_little_endian
                )
                response.Identifier = BytesIO(encoded or b"")
        self._association.dimse.send_msg(response, self._context_id)


def _is_lost(association: Association) -> bool:
    return not association.is_established or association.acse.is_aborted() or not association.dul.is_alive()


def _move_destinations(settings: Settings) -> dict[str, MoveDestination]:
    """AE title to address: sources that have one, and DICOM destinations, which come first."""
    patience = settings.listener.network_timeout_seconds
    known = {
        title: MoveDestination(source.host, source.port, source.tls, patience)
        for source in settings.sources
        if source.host
        for title in source.ae_titles
    }
    for destination in settings.destinations:
        if isinstance(destination, DICOMDestination):
            known[destination.ae_title] = MoveDestination(
                destination.host, destination.port, destination.tls, destination.timeout_seconds
            )
    return known
