"""``pneumo listen``: the application entity that receives."""

from __future__ import annotations

import signal
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pydicom.config
from pynetdicom import AE, _config, evt

from audit.journal import Journal
from audit.life import recorded_life
from audit.session import Database
from core.broker import Waker, celery_app
from core.errors import ConfigurationError
from core.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from core.logs import describe, get_logger
from core.settings import ListenerSettings, Settings
from core.spool import Spool
from core.tracing import tracing
from pacs_listener.admission import Admission, supported_contexts
from pacs_listener.commitment import Commitments
from pacs_listener.connection import Connection, Limits, ListenerServer, tls_context
from pacs_listener.handlers import DiskReserve, Handlers
from pacs_listener.incoming import sweep
from pacs_listener.query import Queries
from pacs_listener.reception import Reception
from pacs_listener.retrieve import Retrievals

log = get_logger("listener")

MAXIMUM_PDU_BYTES = 131072
"""Half the CPU per byte of pynetdicom's 16 KiB; DCMTK sends no longer ones, and 1 MiB is slower."""

_OPENING_SECONDS = 10.0
_SWEEP_SECONDS = 60.0
_DRAIN_SECONDS = 10.0
_ABORT_SECONDS = 2.0
_NO_LIMIT = 10_000  # pynetdicom counts peers it has rejected, too; Admission counts associations
_POLL_SECONDS = 0.1


class Listener:
    """Receives from ``start`` to ``shutdown``.

    One per process, and one per spool: at its start it clears the spool's ``incoming`` folder.
    """

    def __init__(self, settings: Settings, database: Database, spool: Spool, waker: Waker) -> None:
        self._settings = settings.listener
        # On the spool's volume, so that taking a file over is a rename.
        self._incoming = (spool.local_root or settings.home.absolute()) / "incoming"
        disk = DiskReserve(spool, self._incoming, self._settings.disk_reserve_bytes)
        admission, journal = Admission(settings), Journal(database, "listener")
        self._handlers = Handlers(admission, Reception(database, spool, waker, self._incoming), journal, disk)
        self._commitments = Commitments(admission, database, journal)
        self._queries = Queries(database, journal, self._settings.ae_title)
        self._retrievals = Retrievals(settings, database, spool, journal, self._incoming)
        timeout = self._settings.network_timeout_seconds
        self._limits = Limits(
            pdu_bytes=MAXIMUM_PDU_BYTES,
            pdu_seconds=timeout,
            opening_seconds=min(timeout, _OPENING_SECONDS),
            has_room=disk.has_room,
        )
        self._ae = self._build_ae()
        self._libraries = ExitStack()
        self._stopping = threading.Event()

    def _build_ae(self) -> AE:
        ae = AE(ae_title=self._settings.ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.maximum_pdu_size = MAXIMUM_PDU_BYTES
        ae.maximum_associations = _NO_LIMIT
        ae.network_timeout = ae.dimse_timeout = self._settings.network_timeout_seconds
        ae.acse_timeout = self._limits.opening_seconds  # the request has arrived already; this is for refused peers
        return ae

    def start(self) -> None:
        """Returns when the port is open. Raises ConfigurationError when it cannot be opened."""
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        swept = sweep(self._incoming)
        if swept:
            log.warning("partial_files_removed", files=swept)
        address = (self._settings.host, self._settings.port)
        try:
            server = self._ae.make_server(
                address,
                contexts=supported_contexts(),
                ssl_context=_tls(self._settings),
                evt_handlers=[
                    (evt.EVT_REQUESTED, self._handlers.on_requested),
                    (evt.EVT_CONN_CLOSE, self._handlers.on_closed),
                    (evt.EVT_C_ECHO, self._handlers.on_echo),
                    (evt.EVT_C_STORE, self._handlers.on_store),
                    (evt.EVT_C_FIND, self._queries.on_find),
                    (evt.EVT_ESTABLISHED, self._retrievals.on_established),
                    (evt.EVT_N_ACTION, self._commitments.on_action),
                    (evt.EVT_N_EVENT_REPORT, self._commitments.on_report),
                    (evt.EVT_PDU_SENT, self._commitments.on_pdu_sent),
                    (evt.EVT_DIMSE_RECV, self._commitments.on_message),
                    (evt.EVT_CONN_CLOSE, self._commitments.on_closed),
                ],
                server_class=ListenerServer,
                request_handler=Connection,
                limits=self._limits,
            )
        except OSError as exc:
            raise ConfigurationError(f"cannot listen on {address[0]}:{address[1]}: {exc.strerror or exc}") from exc
        self._server = server
        self._libraries.enter_context(_library_settings(self._incoming))
        threading.Thread(target=server.serve_forever, args=[_POLL_SECONDS], name="listener", daemon=True).start()
        threading.Thread(target=self._sweep, name="sweep", daemon=True).start()

    def shutdown(self, drain_seconds: float = 0) -> None:
        """Accept no more; give associations this long to end by themselves, then abort them."""
        self._stopping.set()
        self._server.shutdown()
        deadline = time.monotonic() + drain_seconds
        while self._ae.active_associations and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        # In threads: an abort waits for a thread that may be waiting for its peer.
        aborts = [threading.Thread(target=each.abort, daemon=True) for each in self._ae.active_associations]
        for abort in aborts:
            abort.start()
        for abort in aborts:
            abort.join(_ABORT_SECONDS)
        self._libraries.close()

    def _sweep(self) -> None:
        # Silent peers are dropped after one timeout: what was not written to for two is nobody's.
        idle_seconds = 2 * self._settings.network_timeout_seconds
        while not self._stopping.wait(_SWEEP_SECONDS):
            try:
                sweep(self._incoming, idle_seconds)
            except OSError as exc:
                log.error("sweep_failed", **describe(exc))


def build_server(settings: Settings, database: Database, spool: Spool, waker: Waker) -> Listener:
    return Listener(settings, database, spool, waker)


def run(settings: Settings) -> None:
    """Blocks until SIGTERM or SIGINT; what is being received then has some seconds to finish.

    Raises:
        ConfigurationError: the port or the TLS files cannot be used.
    """
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before the first thread, which inherits it
    threading.excepthook = _log_thread_failure
    database, waker = Database(settings.database), Waker(celery_app(settings))
    listener = build_server(settings, database, Spool(settings.spool), waker)
    listener.start()
    own = settings.listener
    log.info(
        "listening", ae_title=own.ae_title, host=own.host, port=own.port, tls=own.tls_certificate is not None,
        sources=[source.name for source in settings.sources],
    )  # fmt: skip
    if not settings.sources:
        log.warning("no_sources", consequence="every caller is refused; add a [[sources]] section to pneumo.toml")
    with tracing(settings.otlp_endpoint, "listener"), recorded_life(database, "listener"):
        signal.sigwait(ends)
        log.info("stopping")
        listener.shutdown(_DRAIN_SECONDS)
    waker.close()
    database.close()


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    """pynetdicom's threads end on messages it cannot decode; Python's own hook would print what they quote."""
    if failure.exc_value is not None:
        log.error("thread_failed", **describe(failure.exc_value))


@contextmanager
def _library_settings(incoming: Path) -> Iterator[None]:
    """What pynetdicom, pydicom and tempfile know for the whole process only.

    ``_config.ENFORCE_UID_CONFORMANCE`` stays off: with it a UID that is none aborts the association with everything
    that was still to come, where our own, stricter check refuses one instance and says why in the audit log.
    """
    changes: list[tuple[Any, str, object]] = [
        (_config, "STORE_RECV_CHUNKED_DATASET", True),  # to a file as it comes, never a whole data set in memory
        (_config, "LOG_HANDLER_LEVEL", "none"),
        (_config, "LOG_REQUEST_IDENTIFIERS", False),
        (_config, "LOG_RESPONSE_IDENTIFIERS", False),
        # Warnings about odd values quote them.
        (pydicom.config.settings, "reading_validation_mode", pydicom.config.IGNORE),
        (pydicom.config.settings, "writing_validation_mode", pydicom.config.IGNORE),
        (tempfile, "tempdir", str(incoming)),  # the one way to tell pynetdicom where to write
    ]
    before = [(where, name, getattr(where, name)) for where, name, _ in changes]
    for where, name, value in changes:
        setattr(where, name, value)
    try:
        yield
    finally:
        for where, name, value in before:
            setattr(where, name, value)


def _tls(settings: ListenerSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    try:
        return tls_context(settings.tls_certificate, settings.tls_key, settings.tls_ca)
    except OSError as exc:
        raise ConfigurationError(
            f"the TLS files of the listener cannot be used ({exc.strerror or exc}): check listener.tls_certificate "
            f"({settings.tls_certificate}), listener.tls_key ({settings.tls_key}) and listener.tls_ca"
        ) from exc
