"""Requests an association as service class user, for deliveries and for the command line's tools."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from core.fields import TLS
from core.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from core.tls import client_context

Handler = tuple[Any, Callable[[Event], Any]]


def request_association(
    host: str,
    port: int,
    *,
    ae_title: str,
    calling_ae_title: str,
    contexts: Sequence[tuple[str, str | None]],
    timeout_seconds: float,
    tls: TLS | None = None,
    provider_of: Sequence[str] = (),
    handlers: Sequence[Handler] = (),
    maximum_pdu_bytes: int | None = None,
) -> Association:
    """Ask once; whether the association is established is for the caller to see.

    Args:
        contexts: pairs of SOP class and transfer syntax, each a presentation context of its own, so that the acceptor
            cannot choose between syntaxes; None offers the usual uncompressed ones.
        timeout_seconds: for the connection, the association, each answer, and silence on the line.
        provider_of: SOP classes in which we propose to be the SCP (PS3.7 D.3.3.4).
        handlers: pynetdicom's pairs of event and function.
        maximum_pdu_bytes: that we receive; pynetdicom's 16 KiB where None.

    Raises:
        OSError: the host's name is not known; as ssl.SSLError, TLS failed: one does not accept the other's certificate,
            or the peer speaks no TLS.
        ConfigurationError: a file of ``tls`` cannot be used.
    """
    context = client_context(tls) if tls is not None else None
    ae = AE(ae_title=calling_ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout_seconds
    if maximum_pdu_bytes is not None:
        ae.maximum_pdu_size = maximum_pdu_bytes
    association = ae.associate(
        host,
        port,
        contexts=[build_context(*context) for context in contexts],
        ae_title=ae_title,
        ext_neg=[build_role(sop_class, scp_role=True) for sop_class in provider_of],
        evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once), *handlers],
        tls_args=(context, host) if context is not None else None,
    )
    if association.is_established:
        _leave_answers_alone(association)
    elif context is not None and context.failure is not None:
        raise context.failure
    return association


def _send_at_once(event: Event) -> None:
    """Nagle's algorithm would hold the end of each message back for some 40 ms."""
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _leave_answers_alone(association: Association) -> None:
    """Keep pynetdicom's own thread from taking the answer that ``send_c_store`` waits for.

    Before a request that thread is told to pause, and believed to have paused a moment too early (3.0.4): on a busy
    machine it now and then takes the answer, which then counts as never given. An SCU has no other messages to take.
    """
    take = association.dimse.get_msg
    association.dimse.get_msg = lambda block=False: take(block) if block else (None, None)  # type: ignore[method-assign]
