"""``pneumo serve``: the API on its address, over HTTPS where a certificate is given."""

from __future__ import annotations

import gc
import ipaddress
import signal
import ssl
import sys
from collections.abc import Callable

import uvicorn

from api.app import create_app
from api.connections import BoundedConnection
from audit.life import recorded_life
from audit.session import Database
from core.api_settings import APISettings
from core.errors import ConfigurationError
from core.logs import get_logger
from core.settings import Settings
from core.tracing import tracing

log = get_logger("api")

_CONNECTIONS = 800  # the next one is answered 503; processes usually may have 1024 files open
_GRACE_SECONDS = 30
# Forward secrecy and authenticated encryption; TLS 1.3 has nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK"


def run(settings: Settings) -> None:
    """Serve until a signal comes.

    Raises:
        ConfigurationError: the address would carry patient data in the clear, or the certificate cannot be used.
    """
    refuse_clear_text(settings.api)
    database = Database(settings.database)
    try:
        server = build_server(settings, database)
        log.info("api_starts", host=settings.api.host, port=settings.api.port, https=server.config.is_ssl)
        # uvicorn shuts down in order and then raises the signal again, whose default ends us on the spot.
        signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
        with tracing(settings.otlp_endpoint, "api"), recorded_life(database, "api"):
            gc.freeze()  # what was imported stays; looking through it again and again costs 100 ms each time
            server.run()
    finally:
        database.close()


def build_server(settings: Settings, database: Database) -> uvicorn.Server:
    """Raises ConfigurationError where certificate or key cannot be used."""
    config = uvicorn.Config(
        create_app(settings, database),
        host=settings.api.host,
        port=settings.api.port,
        ssl_certfile=settings.api.tls_certificate,
        ssl_keyfile=settings.api.tls_key,
        log_config=None,
        access_log=False,  # its lines hold query strings, and these hold patient IDs
        server_header=False,
        proxy_headers=False,  # the address in the audit trail is one that cannot be made up
        http=BoundedConnection,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_context_factory=_modern_tls if settings.api.tls_certificate else None,
    )
    try:
        config.load()
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigurationError(
            f"api.tls_certificate {settings.api.tls_certificate} or api.tls_key {settings.api.tls_key} "
            f"cannot be used: {exc}"
        ) from exc
    return uvicorn.Server(config)


def _modern_tls(_config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    return context


def refuse_clear_text(api: APISettings) -> None:
    """The one rule: plain HTTP is spoken on loopback, or behind something that was declared to protect it."""
    if ipaddress.ip_address(api.host).is_loopback or api.tls_certificate is not None or api.behind_proxy:
        return
    raise ConfigurationError(
        f"api.host is {api.host}, and plain HTTP there would carry patient data and keys in the clear: "
        "give api.tls_certificate and api.tls_key, or listen on 127.0.0.1, or set api.behind_proxy where a proxy "
        "or a container network in front protects it"
    )
