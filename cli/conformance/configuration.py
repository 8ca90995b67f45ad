"""Configuration: what may be set and what holds if it is not, from the settings' own classes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cli.conformance.markdown import remarks, table, text
from core.api_settings import APISettings
from core.destinations import (
    DICOMArchive,
    DICOMDestination,
    DICOMwebArchive,
    DICOMwebDestination,
    RetryPolicy,
    Route,
)
from core.fields import TLS
from core.settings import DeliverySettings, ListenerSettings, Settings, Source, WorkerSettings

_SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("[listener]", "the application entity that receives", ListenerSettings),
    ("[[sources]]", "who may call: AE title to presentation address of modalities and routers", Source),
    ("[[destinations]], type dicom", "where results go: AE title to presentation address", DICOMDestination),
    ("[[destinations]], type dicomweb", "where results go by STOW-RS", DICOMwebDestination),
    ("[[archives]], type dicom", "what `pneumo pull` may pull from", DICOMArchive),
    ("[[archives]], type dicomweb", "what `pneumo pull` may pull from", DICOMwebArchive),
    ("[[routes]]", "which destinations get an image's results", Route),
    ("tls of a source, destination or archive", "TLS where we open the connection", TLS),
    ("[delivery], and retry of a destination", "repeats of what failed for now", RetryPolicy),
)
_OTHERS: tuple[tuple[str, type[BaseModel], tuple[str, ...]], ...] = (
    ("", Settings, ("intended_use",)),
    ("worker.", WorkerSettings, ("study_idle_seconds", "sweep_seconds")),
    ("delivery.", DeliverySettings, ("concurrency", "lease_seconds")),
    ("api.", APISettings, ("public_url",)),
)


def chapter() -> str:
    parts = [_INTRODUCTION]
    for title, purpose, section in _SECTIONS:
        parts += [
            f"### `{title}`",
            f"{purpose[0].upper()}{purpose[1:]}.",
            table(("Setting", "Default", "Meaning"), _rows(section, tuple(section.model_fields))),
        ]
    others = [
        (f"`{prefix}{name.strip('`')}`", default, meaning)
        for prefix, section, names in _OTHERS
        for name, default, meaning in _rows(section, names)
    ]
    return "\n\n".join([*parts, "### Other parameters", table(("Setting", "Default", "Meaning"), others)])


_INTRODUCTION = text("""
    One file, `pneumo.toml`, and environment variables that overrule it (`PNEUMO_LISTENER__PORT`); both are read once,
    at the start, and a wrong value keeps the service from starting. The one local AE title is that of the listener; it
    is also the calling AE title of every association we request. Remote AE titles are mapped to host and port by
    `[[sources]]`, `[[destinations]]` and `[[archives]]`; there is no LDAP, DHCP or DNS discovery. "required" has no
    default.
""")


def _rows(section: type[BaseModel], names: tuple[str, ...]) -> list[tuple[str, str, str]]:
    meanings = {name: meaning for each in reversed(section.__mro__) for name, meaning in _remarks(each).items()}
    return [(f"`{name}`", _default(section.model_fields[name]), meanings.get(name, "")) for name in names]


def _remarks(of: type) -> dict[str, str]:
    return remarks(of) if of.__module__.startswith("core.") else {}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ("", (), {}):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{value}`"
