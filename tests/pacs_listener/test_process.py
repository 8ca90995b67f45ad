"""TLS, and ``pneumo listen`` as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pynetdicom.sop_class import Verification

from audit import schema
from audit.session import Database
from core.errors import ConfigurationError
from core.settings import ListenerSettings, Settings
from pacs_listener import statuses
from tests.pacs_listener.room import CALLER, associate, close, radiograph, running
from tests.services import free_port, require_program


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``server`` and ``client``, each signed by ``ca``."""
    openssl, folder = require_program("openssl"), tmp_path_factory.mktemp("tls")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=test ca", "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    for name in ("server", "client"):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-copy_extensions", "copy", "-out", f"{name}.pem")  # fmt: skip
    return folder


def tls_files(folder: Path, *, ca: bool) -> dict[str, Path]:
    files = {"tls_certificate": folder / "server.pem", "tls_key": folder / "server.key"}
    return {**files, "tls_ca": folder / "ca.pem"} if ca else files


def client_context(folder: Path, *, certificate: bool) -> tuple[ssl.SSLContext, str]:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if certificate:
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return context, "127.0.0.1"


def test_tls_round_trip_beside_peers_that_never_shake_hands(tmp_path: Path, certificates: Path) -> None:
    with running(tmp_path, network_timeout_seconds=2, **tls_files(certificates, ca=False)) as room:
        silent = [socket.create_connection(("127.0.0.1", room.port), timeout=10) for _ in range(5)]
        dx = radiograph(pixels=1000)
        association = associate(
            room.port, CALLER, "PNEUMO", (dx.SOPClassUID,), tls_args=client_context(certificates, certificate=False)
        )
        assert association.is_established
        assert association.send_c_store(dx).Status == statuses.SUCCESS
        association.release()
        close(association)
        assert [row.sop_instance_uid for row in room.instances()] == [dx.SOPInstanceUID]
        for each in silent:
            assert each.recv(100) == b""  # dropped when the handshake did not come
            each.close()


def test_with_a_ca_callers_need_a_certificate(tmp_path: Path, certificates: Path) -> None:
    with running(tmp_path, **tls_files(certificates, ca=True)) as room:
        for certificate in (True, False):
            arguments = client_context(certificates, certificate=certificate)
            association = associate(room.port, CALLER, "PNEUMO", (Verification,), tls_args=arguments)
            assert association.is_established is certificate
            if certificate:
                association.release()
            close(association)


def test_plain_dicom_on_a_tls_port_is_dropped(tmp_path: Path, certificates: Path) -> None:
    with running(tmp_path, **tls_files(certificates, ca=False)) as room:
        association = associate(room.port, CALLER, "PNEUMO", (Verification,))
        assert not association.is_established
        close(association)


def test_a_port_in_use_and_unusable_tls_files_are_configuration_errors(tmp_path: Path, certificates: Path) -> None:
    with (
        running(tmp_path / "a") as room,
        pytest.raises(ConfigurationError, match="cannot listen on"),
        running(tmp_path / "b", port=room.port),
    ):
        pass
    files = {**tls_files(certificates, ca=False), "tls_key": certificates / "client.key"}
    with pytest.raises(ConfigurationError, match="tls_key"), running(tmp_path / "c", **files):
        pass


@contextmanager
def listening_process(home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    home.mkdir()
    (home / "pneumo.toml").write_text(
        f'[listener]\nport = {port}\n[[sources]]\nname = "room 1"\nae_titles = ["{CALLER}"]\n', "utf-8"
    )
    database = Database(Settings(home=home, listener=ListenerSettings(port=port)).database)
    schema.upgrade(database)
    database.close()
    program = (
        "from core.logs import configure_logs; from core.settings import load_settings;"
        "from pacs_listener.server import run; configure_logs('json'); run(load_settings())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PNEUMO_HOME": str(home)}, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield process, port
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_listen_ends_on_a_signal_when_its_callers_are_done(tmp_path: Path, number: signal.Signals) -> None:
    with listening_process(tmp_path / "home") as (process, port):
        dx = radiograph()
        association = associate(port, CALLER, "PNEUMO", (dx.SOPClassUID,))
        assert association.send_c_store(dx).Status == statuses.SUCCESS
        process.send_signal(number)
        time.sleep(1)
        # The port is closed, the association is not.
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        assert association.send_c_store(radiograph()).Status == statuses.SUCCESS
        association.release()
        assert process.wait(20) == 0
        assert process.stderr is not None
        log = process.stderr.read()
    assert '"event": "listening"' in log
    assert log.count("instance_received") == 2
    assert "Marker" not in log
