"""Takes due results off the delivery table, a destination at a time, until none is due."""

from __future__ import annotations

import time

from audit.deliveries import ERASED, claim_deliveries, mark_dead, mark_sent, retry_delivery
from audit.leases import renew
from audit.models import Delivery
from audit.session import Database
from core.destinations import confirm_after_seconds
from core.errors import LeaseLost
from core.logs import get_logger
from core.records import DeliveryJob
from core.settings import Settings
from core.spool import Spool
from core.tracing import record_span
from worker.answers import Answer, Refused, Sent, pause_before_retry
from worker.delivery import deliver

log = get_logger("delivery")

_DRAIN_SECONDS = 30.0
_PER_ASSOCIATION = 32


class Outbox:
    """Safe to drain from several threads: the table gives each a destination of its own."""

    def __init__(self, settings: Settings, database: Database, spool: Spool) -> None:
        self._settings, self._database, self._spool = settings, database, spool
        self._concurrency = {each.name: each.concurrency for each in settings.destinations}

    def drain(self) -> bool:
        """Send until nothing is due; True when time ran out before that."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            with self._database.write() as session:
                deliveries = claim_deliveries(
                    session, _PER_ASSOCIATION, self._settings.delivery.lease_seconds, self._concurrency
                )
            if not deliveries:
                return False
            self._send(deliveries)
        return True

    def _send(self, deliveries: list[DeliveryJob]) -> None:
        destination = self._settings.destination(deliveries[0].destination)
        if destination is None:
            for delivery in deliveries:
                self._settle(delivery, Refused("unknown_destination", permanent=True))
            return
        for delivery in deliveries:
            if not delivery.spool_name:  # made due by somebody who had not seen that it was erased
                self._settle(delivery, Refused(ERASED, permanent=True))
        deliveries = [delivery for delivery in deliveries if delivery.spool_name]
        if not deliveries:
            return
        unsettled = [delivery.id for delivery in deliveries]
        calling_ae_title = self._settings.listener.ae_title
        began = time.perf_counter()
        for delivery, answer in deliver(deliveries, destination, self._spool, calling_ae_title):
            record_span(
                "deliver",
                {"send": time.perf_counter() - began},
                kind="client",
                failed=isinstance(answer, Refused),
                destination=delivery.destination,
                sop_instance_uid=delivery.sop_instance_uid,
                answer=answer.code if isinstance(answer, Refused) else "sent",
            )
            unsettled.remove(delivery.id)
            self._settle(delivery, answer)
            self._keep(unsettled, delivery.token)
            began = time.perf_counter()

    def _settle(self, delivery: DeliveryJob, answer: Answer) -> None:
        destination = self._settings.destination(delivery.destination)
        policy = self._settings.delivery if destination is None else self._settings.retry_policy(destination)
        log.info(
            "delivery_tried",
            destination=delivery.destination,
            sop_instance_uid=delivery.sop_instance_uid,
            attempts=delivery.attempts,
            answer=answer.code if isinstance(answer, Refused) else "sent",
            status=answer.status,
        )
        try:
            with self._database.write() as session:
                match answer:
                    case Sent(status, confirmed):
                        ask_after = confirm_after_seconds(destination)
                        mark_sent(session, delivery, status, confirmed=confirmed, confirm_after_seconds=ask_after)
                    case Refused(code, True, status):
                        mark_dead(session, delivery, code, status)
                    case Refused(code, False, status) if delivery.age_seconds > policy.give_up_after_days * 86_400:
                        mark_dead(session, delivery, f"gave_up_after_{code}", status)
                    case Refused(code, False, status):
                        asked_for = answer.retry_after_seconds or 0.0
                        pause = max(asked_for, pause_before_retry(delivery.attempts, policy))
                        retry_delivery(session, delivery, code, status, pause)
        except LeaseLost:
            log.warning("lease_lost", delivery_id=delivery.id)

    def _keep(self, unsettled: list[int], token: str) -> None:
        if unsettled:
            with self._database.write() as session:
                renew(session, Delivery, unsettled, token, self._settings.delivery.lease_seconds)
