"""Results to their destination, whichever way that takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.destinations import (
    Destination,
    DICOMDestination,
    DICOMwebDestination,
    FolderDestination,
    HL7Destination,
    WebhookDestination,
)
from core.records import DeliveryJob
from core.spool import Spool
from worker import c_store, folder, mllp, stow, webhook
from worker.answers import Answer


def deliver(
    deliveries: Sequence[DeliveryJob], destination: Destination, spool: Spool, calling_ae_title: str
) -> Iterator[tuple[DeliveryJob, Answer]]:
    """Send each in order and yield its answer before the next is sent."""
    match destination:
        case DICOMDestination():
            return c_store.deliver(deliveries, destination, spool, calling_ae_title)
        case DICOMwebDestination():
            return stow.deliver(deliveries, destination, spool)
        case FolderDestination():
            return folder.deliver(deliveries, destination, spool)
        case WebhookDestination():
            return webhook.deliver(deliveries, destination, spool)
        case HL7Destination():
            return mllp.deliver(deliveries, destination, spool)
