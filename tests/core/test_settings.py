from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from core.api_settings import OIDC, APISettings
from core.audit_settings import AlertSettings, AuditSettings, Syslog
from core.destinations import (
    DICOMArchive,
    DICOMDestination,
    DICOMwebArchive,
    DICOMwebDestination,
    FolderDestination,
    HL7Destination,
    Route,
    WebhookDestination,
)
from core.errors import ConfigurationError
from core.fields import TLS
from core.settings import (
    DeliverySettings,
    ListenerSettings,
    Settings,
    Source,
    WorkerSettings,
    load_settings,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PNEUMO_CONFIG", "PNEUMO_HOME"):
        monkeypatch.delenv(name, raising=False)


def write(path: Path, text: str) -> None:
    path.write_text(text)


def test_defaults_are_closed() -> None:
    settings = load_settings()
    assert settings.sources == ()
    assert settings.listener.host == settings.api.host == "127.0.0.1"
    assert settings.database.startswith("sqlite:///")


def test_file_is_read_and_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path / "pneumo.toml",
        """
        database_url = "sqlite:///from-file.db"
        [listener]
        port = 11113
        [[sources]]
        name = "Room 1"
        ae_titles = ["CR1", " CR1B "]
        """,
    )
    monkeypatch.setenv("PNEUMO_DATABASE_URL", "sqlite:///from-environment.db")
    monkeypatch.setenv("PNEUMO_LISTENER__AE_TITLE", "OTHER")
    settings = load_settings()
    assert settings.database == "sqlite:///from-environment.db"
    assert (settings.listener.port, settings.listener.ae_title) == (11113, "OTHER")
    assert settings.sources[0].ae_titles == ("CR1", "CR1B")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[listener]\nprot = 1", "listener.prot"),
        ("[listener]\nport = 70000", "listener.port"),
        ("[listener]\nae_title = 'SEVENTEEN LETTERS'", "1 to 16 printable ASCII characters"),
        ("[listener]\ntls_key = 'a.pem'", "give both or neither"),
        ("[[sources]]\nname = 'a'\nae_titles = ['X']\n[[sources]]\nname = 'b'\nae_titles = ['X']", "twice: X"),
        ("[[sources]]\nname = 'api'\nae_titles = ['X']", "no source or archive may be named api"),
        ("[[destinations]]\nname = 'a'\nae_title = 'P'\nhost = ''", "destinations.0.dicom.host"),
        ("intended_use = ''", "intended_use"),
        ("= broken", "not valid TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    write(tmp_path / "pneumo.toml", text)
    with pytest.raises(ConfigurationError, match=re.escape(complaint)):
        load_settings()


def test_a_named_file_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PNEUMO_CONFIG", "nowhere.toml")
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml"):
        load_settings()


def test_addresses_with_passwords_are_not_shown() -> None:
    settings = Settings(database_url="postgresql+psycopg://u:hush@db/x", broker_url="redis://:hush@r/0")
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    "section",
    [
        Settings, Source, DICOMDestination, DICOMwebDestination, FolderDestination, WebhookDestination, HL7Destination,
        DICOMArchive, DICOMwebArchive, Route, TLS, ListenerSettings, WorkerSettings, DeliverySettings, APISettings,
        OIDC, AuditSettings, Syslog, AlertSettings,
    ],
)  # fmt: skip
def test_every_setting_has_a_reader(section: type[BaseModel]) -> None:
    packages = ("api", "audit", "cli", "core", "pacs_listener", "worker")
    code = "\n".join(
        path.read_text()
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if path.name != "settings.py"
    )
    # Settings.database, spool, models and retry_policy
    read_by_properties = {"database_url", "spool_url", "models_folder", "retry"}
    unread = [name for name in section.model_fields if not re.search(rf"\.{name}\b", code)]
    assert set(unread) <= read_by_properties
