"""What results are delivered to, on loopback: certificates, HTTP servers and receivers of HL7 that answer as told."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from core.fields import TLS
from tests.services import require_program


@dataclass(frozen=True)
class Certificates:
    """``server`` and ``client``, signed by ``ca``; ``stranger`` signed itself, and ``elsewhere`` names another host."""

    folder: Path

    def tls(self, *, ca: str = "ca", certificate: str | None = "client") -> TLS:
        files = {} if certificate is None else {"certificate": self.pem(certificate), "key": self.key(certificate)}
        return TLS(ca=self.pem(ca), **files)

    def server_context(self, name: str = "server") -> ssl.SSLContext:
        """Asks callers for a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem(name), self.key(name))
        context.load_verify_locations(self.pem("ca"))
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def pem(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"


def make_certificates(folder: Path) -> Certificates:
    openssl = require_program("openssl")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    for name in ("ca", "stranger"):
        run("req", "-x509", *new_key, "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
            "-out", f"{name}.pem")  # fmt: skip
    for name, host in (("server", "IP:127.0.0.1"), ("elsewhere", "IP:192.0.2.1"), ("client", "DNS:pneumo")):
        run("req", *new_key, "-subj", f"/CN={name}", "-addext", f"subjectAltName={host}", "-keyout", f"{name}.key",
            "-out", f"{name}.csr")  # fmt: skip
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-copy_extensions", "copy", "-out", f"{name}.pem")  # fmt: skip
    return Certificates(folder)


class Request(NamedTuple):
    path: str
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    media_type: str = "application/dicom+json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class WebPeer:
    url: str
    requests: list[Request] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)


@contextmanager
def web_peer(reply: Callable[[Request], Reply], context: ssl.SSLContext | None = None) -> Iterator[WebPeer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            request = Request(self.path, self.headers, self.rfile.read(int(self.headers["Content-Length"])))
            peer.requests.append(request)
            peer.connections.add(self.client_address)
            answer = reply(request)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.media_type)
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments: object) -> None:
            pass  # a client that hangs up is part of the tests

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    peer = WebPeer(f"http{'s' if context else ''}://127.0.0.1:{server.server_port}/dicom-web")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield peer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Receiver:
    """Of HL7 messages, one to a connection."""

    port: int
    blocks: list[bytes] = field(default_factory=list)


@contextmanager
def receiver(
    reply: Callable[[bytes, socket.socket], None], context: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """``reply`` gets what came up to and with MLLP's end mark, and the connection, which is closed after it."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                connection.settimeout(5)
                if context is not None:
                    connection = context.wrap_socket(connection, server_side=True)
                block = b""
                while not block.endswith(b"\x1c\r"):
                    part = connection.recv(4096)
                    if not part:
                        break
                    block += part
                peer.blocks.append(block)
                reply(block, connection)
            except OSError:
                pass  # a client that hangs up is part of the tests
            finally:
                connection.close()

    listener = socket.create_server(("127.0.0.1", 0))
    peer = Receiver(listener.getsockname()[1])
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield peer
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
