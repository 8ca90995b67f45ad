"""Webhooks after the Standard Webhooks specification 1.0.0: a signed POST for each event."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence

from core.destinations import WebhookDestination
from core.errors import ConfigurationError
from core.records import DeliveryJob
from core.spool import Spool
from worker.answers import Answer, Sent, in_turn
from worker.http import HTTPPeer, refusal

_SECRET_PREFIX = "whsec_"  # noqa: S105 - the mark of a secret, none itself


def deliver(
    deliveries: Sequence[DeliveryJob], destination: WebhookDestination, spool: Spool
) -> Iterator[tuple[DeliveryJob, Answer]]:
    """Send each in order and yield its answer before the next is sent."""
    with HTTPPeer(destination.url, destination.tls, destination.timeout_seconds) as peer:
        yield from in_turn(deliveries, lambda delivery: _post(delivery, destination, spool, peer))


def _post(delivery: DeliveryJob, destination: WebhookDestination, spool: Spool, peer: HTTPPeer) -> Answer:
    body = spool.read(delivery.spool_name)
    headers = {
        "Content-Type": "application/json",
        **signature_headers(destination.secret.get_secret_value(), delivery.sop_instance_uid, int(time.time()), body),
    }
    answer = peer.request("POST", destination.url, headers, body)
    return Sent(answer.status) if 200 <= answer.status < 300 else refusal(answer)


def signature_headers(secret: str, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """``timestamp``: of this attempt, seconds since 1970. ``event_id`` stays the same however often it is sent."""
    signed = b"%b.%d.%b" % (event_id.encode(), timestamp, body)
    signature = b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()
    return {"webhook-id": event_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}


def _key(secret: str) -> bytes:
    """``whsec_`` and base64; anything else is taken as it stands."""
    if not secret.startswith(_SECRET_PREFIX):
        return secret.encode()
    try:
        return b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error as exc:
        raise ConfigurationError("the secret of a webhook has no base64 after whsec_") from exc
