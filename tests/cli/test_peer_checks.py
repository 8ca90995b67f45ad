"""What the doctor finds at destinations and archives, each on loopback."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli.peer_checks import check_archive, check_destination
from core.errors import ConfigurationError
from core.settings import Settings
from tests.services import free_port
from tests.worker.peers import make_certificates

HERE = {"host": "127.0.0.1"}


class _SignedInOnly(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        allowed = self.path == "/dicom-web/studies?limit=1" and self.headers["Authorization"] == "Bearer t"
        self.send_response(204 if allowed else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Not into the test's output."""


def check(destination: dict[str, Any]) -> str:
    settings = Settings.model_validate({"destinations": [{"name": "it", **destination}]})
    return check_destination(settings, settings.destinations[0])


def test_a_folder_must_be_there(tmp_path: Path) -> None:
    assert "writable" in check({"type": "folder", "path": tmp_path})
    with pytest.raises(ConfigurationError, match="make or mount it"):
        check({"type": "folder", "path": tmp_path / "unmounted"})


def test_a_receiver_of_messages_must_take_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "takes connections" in check({"type": "hl7", **HERE, "port": port})
        assert "takes connections" in check({"type": "webhook", "url": f"http://127.0.0.1:{port}/x", "secret": "s"})
    with pytest.raises(OSError, match="refused"):
        check({"type": "hl7", **HERE, "port": port})


def test_a_web_archive_must_answer_a_search_with_our_credentials() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _SignedInOnly) as server:
        threading.Thread(target=server.serve_forever).start()
        web = {"type": "dicomweb", "url": f"http://127.0.0.1:{server.server_port}/dicom-web"}
        try:
            assert "answers a search" in check({**web, "bearer_token": "t"})
            with pytest.raises(ConfigurationError, match="HTTP 401"):
                check(web)
        finally:
            server.shutdown()
    with pytest.raises(ConfigurationError, match="no_connection"):
        check({"type": "dicomweb", "url": f"http://127.0.0.1:{free_port()}/dicom-web"})


def test_a_pacs_must_show_a_certificate_that_we_trust(tmp_path: Path) -> None:
    from pynetdicom import AE
    from pynetdicom.sop_class import Verification

    certificates = make_certificates(tmp_path)
    pacs = AE(ae_title="PACS")
    pacs.add_supported_context(Verification)
    server = pacs.start_server(("127.0.0.1", 0), block=False, ssl_context=certificates.server_context())
    try:
        there = {"ae_title": "PACS", **HERE, "port": server.server_address[1]}
        assert "answers C-ECHO" in check({**there, "tls": certificates.tls().model_dump()})
        with pytest.raises(ConfigurationError, match="do not agree on TLS"):
            check({**there, "tls": certificates.tls(ca="stranger").model_dump()})
    finally:
        server.shutdown()
        server.server_close()


def test_an_archive_that_moves_must_be_a_source() -> None:
    from pynetdicom import AE
    from pynetdicom.sop_class import Verification

    pacs = AE(ae_title="OLD")
    pacs.add_supported_context(Verification)
    server = pacs.start_server(("127.0.0.1", 0), block=False)
    archive = {"name": "old", "ae_title": "OLD", **HERE, "port": server.server_address[1]}
    try:
        stranger = Settings.model_validate({"archives": [archive]})
        with pytest.raises(ConfigurationError, match=r"name OLD in a \[\[sources\]\] section"):
            check_archive(stranger, stranger.archives[0])
        known = Settings.model_validate({"archives": [archive], "sources": [{"name": "o", "ae_titles": ["OLD"]}]})
        assert "answers C-ECHO" in check_archive(known, known.archives[0])
        gets = Settings.model_validate({"archives": [{**archive, "retrieve": "get"}]})
        assert "answers C-ECHO" in check_archive(gets, gets.archives[0])
    finally:
        server.shutdown()
        server.server_close()
