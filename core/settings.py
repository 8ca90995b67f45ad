"""Typed settings: ``pneumo.toml`` and the environment, read once at start.

The file is ``$PNEUMO_CONFIG``, else ``pneumo.toml`` in the working directory, else ``$PNEUMO_HOME/pneumo.toml``; none
is needed. A variable ``PNEUMO_<NAME>`` (``PNEUMO_<SECTION>__<NAME>`` inside a section) overrides it: secrets belong
there.
"""

from __future__ import annotations

import os
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from core.api_settings import APISettings
from core.audit_settings import AlertSettings, AuditSettings
from core.destinations import Archive, Destination, RetryPolicy, Route
from core.errors import ConfigurationError
from core.fields import LOOPBACK, TLS, Address, AETitle, Name, Port, Section
from core.records import ResultKind


class Source(Section):
    """A modality or router that may send to us. Several calling AE titles per source are normal."""

    name: Name
    ae_titles: tuple[AETitle, ...] = Field(min_length=1)
    addresses: tuple[Address, ...] = ()
    """When given, calls under these AE titles are accepted from these IP addresses only."""
    issuer_of_patient_id: str = Field(default="", max_length=64)
    """Stands in where an image names no issuer: the same Patient ID of two hospitals is two patients."""
    host: str = ""
    """Where reports of storage commitment go; on the association that asked where this is empty. Retrieved instances go
    there, too, when a C-MOVE names one of the AE titles."""
    port: Port = 104
    tls: TLS | None = None
    may_retrieve: bool = False
    """Callers under these AE titles may query and retrieve all images and results that are here."""


class ListenerSettings(Section):
    ae_title: AETitle = "PNEUMO"
    host: Address = LOOPBACK
    port: Port = 11112
    maximum_associations: int = Field(default=25, ge=1)
    network_timeout_seconds: float = Field(default=60, gt=0)
    disk_reserve_bytes: int = Field(default=2 * 1024**3, ge=0)
    """With less free space than this, C-STORE is answered 0xA700, out of resources."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    """With a CA file, callers must show a certificate that it signed."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: give both or neither")
        if self.tls_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_ca checks callers on a TLS port: give tls_certificate and tls_key as well")
        return self


class WorkerSettings(Section):
    weights: Path | None = None
    """A weights file with its record beside it, which pins these workers to it: they look at no `pneumo models`."""
    models_folder: Path | None = None
    """Where `pneumo models add` keeps models, on each machine with an inference worker; under ``home`` when empty."""
    batch_size: int = Field(default=16, ge=1)
    use_tta: bool = False
    """Test-time augmentation: each image is judged in several views, which takes several times as long."""
    lease_seconds: float = Field(default=120, gt=0)
    """A claimed job that is not finished by then belongs to whoever claims it next."""
    maximum_attempts: int = Field(default=3, ge=1)
    retry_seconds: float = Field(default=10, ge=0)
    study_idle_seconds: float = Field(default=10, ge=0)
    """A study's results are sent when no image of it has arrived for this long."""
    sweep_seconds: float = Field(default=2, gt=0)
    message_life_seconds: float = Field(default=30, gt=0)
    """After this the wake-up message of a job that is still due counts as lost and is sent again."""


class DeliverySettings(RetryPolicy):
    concurrency: int = Field(default=4, ge=1)
    """Threads, for all destinations together."""
    lease_seconds: float = Field(default=300, gt=0)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PNEUMO_", env_nested_delimiter="__", frozen=True, extra="forbid")

    home: Path = Path("pneumo-data")
    """Where embedded state lies: database, broker, spool, added models."""
    database_url: str = Field(default="", repr=False)
    """SQLAlchemy URL; SQLite under ``home`` when empty."""
    broker_url: str = Field(default="", repr=False)
    """``redis://`` or ``amqp://``; a folder under ``home`` when empty."""
    spool_url: str = Field(default="", repr=False)
    """Any fsspec URL; a folder under ``home`` when empty."""
    intended_use: str = Field(default="RESEARCH USE ONLY - NOT FOR DIAGNOSIS", min_length=1, max_length=120)
    """Burned into every picture and written into every report."""
    log_format: Annotated[str, Field(pattern="^(json|text)$")] = "text"
    sources: tuple[Source, ...] = ()
    destinations: tuple[Destination, ...] = ()
    routes: tuple[Route, ...] = ()
    """Without any, every destination gets every result of its kinds."""
    archives: tuple[Archive, ...] = ()
    """What `pneumo pull` may pull from."""
    listener: ListenerSettings = ListenerSettings()
    worker: WorkerSettings = WorkerSettings()
    delivery: DeliverySettings = DeliverySettings()
    api: APISettings = APISettings()
    audit: AuditSettings = AuditSettings()
    alerts: AlertSettings = AlertSettings()
    otlp_endpoint: str = ""
    """Where OpenTelemetry traces go (OTLP over HTTP), such as http://127.0.0.1:4318; none are made when empty."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (
            ("source or archive name", [each.name for each in (*self.sources, *self.archives)]),
            ("calling AE title", [title for source in self.sources for title in source.ae_titles]),
            ("destination name", [destination.name for destination in self.destinations]),
            ("route name", [route.name for route in self.routes]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"each {what} may stand once in the configuration, twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _uploads_have_a_name_of_their_own(self) -> Self:
        if any(each.name == "api" for each in (*self.sources, *self.archives)):
            raise ValueError("no source or archive may be named api: uploads to the prediction service stand under it")
        return self

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Self:
        known = {
            "destination": {destination.name for destination in self.destinations},
            "source": {each.name for each in (*self.sources, *self.archives)},
        }
        for route in self.routes:
            for what, names in (("destination", route.destinations), ("source", route.sources)):
                if unknown := sorted(set(names) - known[what]):
                    raise ValueError(f"route {route.name} names a {what} that is not configured: {', '.join(unknown)}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=configuration_file())

    @cached_property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.home.absolute()}/pneumo.db"

    @cached_property
    def models(self) -> Path:
        return self.worker.models_folder or self.home.absolute() / "models"

    @cached_property
    def spool(self) -> str:
        return self.spool_url or (self.home.absolute() / "spool").as_uri()

    def destination(self, name: str) -> Destination | None:
        return next((destination for destination in self.destinations if destination.name == name), None)

    @cached_property
    def wanted_kinds(self) -> frozenset[ResultKind]:
        """What at least one destination takes."""
        return frozenset(kind for destination in self.destinations for kind in destination.objects)

    def retry_policy(self, destination: Destination) -> RetryPolicy:
        return destination.retry or self.delivery


def configuration_file() -> Path | None:
    """The file the settings come from, or None where there is none.

    Raises:
        ConfigurationError: PNEUMO_CONFIG names a file that is not there.
    """
    named = os.environ.get("PNEUMO_CONFIG")
    if named:
        if not Path(named).is_file():
            raise ConfigurationError(f"PNEUMO_CONFIG names {named}, which is not a file")
        return Path(named)
    home = Path(os.environ.get("PNEUMO_HOME", "pneumo-data"))
    return next((path for path in (Path("pneumo.toml"), home / "pneumo.toml") if path.is_file()), None)


def load_settings() -> Settings:
    """Raises ConfigurationError with a line for each setting that is wrong."""
    try:
        return Settings()
    except ValidationError as exc:
        lines = (f"  {'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in exc.errors())
        raise ConfigurationError(
            f"the configuration ({configuration_file() or 'environment'}) is not usable:\n" + "\n".join(lines)
        ) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{configuration_file()} is not valid TOML: {exc}") from exc
