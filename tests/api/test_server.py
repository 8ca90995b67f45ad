from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.server import build_server, refuse_clear_text, run
from audit.api_keys import create_key
from audit.session import Database
from core.api_settings import APISettings
from core.errors import ConfigurationError
from core.scopes import Scope
from core.settings import Settings
from tests.api.conftest import serving
from tests.services import free_port, require_program


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        require_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_plain_http_beyond_loopback_is_refused(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7"):  # noqa: S104 - refused, which is the point
        with pytest.raises(ConfigurationError, match=r"api\.tls_certificate and api\.tls_key"):
            run(Settings(home=tmp_path, api=APISettings(host=host)))


def test_plain_http_is_spoken_on_loopback_and_behind_what_protects_it() -> None:
    for api in (
        APISettings(),
        APISettings(host="::1"),
        APISettings(host="192.0.2.7", behind_proxy=True),
        APISettings(host="192.0.2.7", tls_certificate=Path("c"), tls_key=Path("k")),
    ):
        refuse_clear_text(api)


def test_https_is_served_with_a_certificate(certificate: tuple[Path, Path], database: Database, tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(
        home=tmp_path, api=APISettings(port=port, tls_certificate=certificate[0], tls_key=certificate[1])
    )
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    with serving(settings, database), httpx.Client(verify=trusted, base_url=f"https://127.0.0.1:{port}") as client:
        assert client.get("/health/live").json() == {"status": "ok"}
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/health/live")


def test_a_certificate_that_cannot_be_used_is_named(
    certificate: tuple[Path, Path], database: Database, tmp_path: Path
) -> None:
    shutil.copy(certificate[0], tmp_path / "no_key.pem")
    for key in (tmp_path / "missing.pem", tmp_path / "no_key.pem"):
        settings = Settings(home=tmp_path, api=APISettings(tls_certificate=certificate[0], tls_key=key))
        with pytest.raises(ConfigurationError, match=key.name):
            build_server(settings, database)


def test_old_protocols_and_ciphers_are_refused(
    certificate: tuple[Path, Path], database: Database, tmp_path: Path
) -> None:
    port = free_port()
    settings = Settings(
        home=tmp_path, api=APISettings(port=port, tls_certificate=certificate[0], tls_key=certificate[1])
    )
    with serving(settings, database):
        for version, ciphers, accepted in (
            ("-tls1_3", (), True),
            ("-tls1_2", ("-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), True),
            ("-tls1_2", ("-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"), False),
            ("-tls1_1", ("-cipher", "ALL:@SECLEVEL=0"), False),
            ("-tls1", ("-cipher", "ALL:@SECLEVEL=0"), False),
        ):
            command = [require_program("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", version, *ciphers]
            tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            assert ("Cipher is (NONE)" not in tried.stdout) == accepted, (version, ciphers, tried.stdout)


def test_sign_in_at_an_issuer_needs_an_address_to_come_back_to(database: Database, tmp_path: Path) -> None:
    oidc = {"issuer": "https://issuer.example", "audience": "pneumo", "client_id": "pneumo"}
    exposed = {"host": "192.0.2.7", "behind_proxy": True, "oidc": oidc}
    with pytest.raises(ConfigurationError, match=r"api\.public_url"):
        create_app(Settings(home=tmp_path, api=APISettings.model_validate(exposed)), database)
    exposed["public_url"] = "https://pneumo.example"
    create_app(Settings(home=tmp_path, api=APISettings.model_validate(exposed)), database)


def test_what_is_asked_for_stays_out_of_the_log(database: Database, tmp_path: Path) -> None:
    port = free_port()
    with database.write() as session:
        key = create_key(session, "reader", "cli:test", list(Scope))
    program = (
        "from core.settings import load_settings as load; from core.logs import configure_logs; import api.server;"
    )
    environment = {
        "PNEUMO_HOME": str(tmp_path),
        "PNEUMO_DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
        "PNEUMO_API__PORT": str(port),
    }
    service = subprocess.Popen(
        [sys.executable, "-c", program + "configure_logs('json'); api.server.run(load())"],
        env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        transport = httpx.HTTPTransport(retries=8)  # with pauses that double; it takes a while to start
        with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/v1/events", headers={"X-API-Key": "pneumo_SECRET"}).status_code == 401
            client.headers["X-API-Key"] = key
            assert client.get("/v1/predictions", params={"patient_id": "SECRET"}).status_code == 200
            assert client.get("/v1/predictions", params={"patient_id": "SECRET", "limit": 0}).status_code == 422
    finally:
        service.terminate()
        output, _ = service.communicate(timeout=30)
    assert "api_starts" in output
    assert "api.refused" in output
    assert "SECRET" not in output
