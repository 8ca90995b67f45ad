"""TLS towards a peer: DICOM, HTTPS and MLLP alike."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.errors import ConfigurationError
from core.fields import TLS


class _NotingSocket(ssl.SSLSocket):
    """Leaves what went wrong with its context and closes: pynetdicom logs the one and forgets the other."""

    def do_handshake(self, block: bool = False) -> None:
        with self._noting():
            super().do_handshake(block)

    def read(self, len: int = 1024, buffer: Any = None) -> bytes:  # noqa: A002 - as the base class has it
        # TLS 1.3: a server that does not like our certificate says so after the handshake.
        with self._noting():
            return super().read(len, buffer)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as exc:
            if isinstance(self.context, ClientContext):
                self.context.failure = exc
            self.close()
            raise


class ClientContext(ssl.SSLContext):
    failure: ssl.SSLError | None = None
    """Why TLS with the peer failed."""
    sslsocket_class = _NotingSocket


def client_context(tls: TLS) -> ClientContext:
    """PS3.15 B.12: TLS 1.2 or newer, the peer's certificate checked.

    The certificate must also name the host as the configuration does. The profile leaves open what a certificate has
    to say; without this, whoever holds any other one of the same authority could take the peer's place (RFC 9325 7.1).

    Raises:
        ConfigurationError: a file cannot be used.
    """
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if tls.ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except OSError as exc:
        files = ", ".join(str(path) for path in (tls.ca, tls.certificate, tls.key) if path is not None)
        raise ConfigurationError(f"TLS cannot be set up with {files or 'this machine'}: {exc}") from exc
    return context
