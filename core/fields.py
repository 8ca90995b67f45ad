"""The types that settings are made of."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

LOOPBACK = "127.0.0.1"


class Section(BaseModel):
    """A table of ``pneumo.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _ae_title(value: str) -> str:
    title = value.strip(" ")
    # PS3.5 6.2, VR AE: 16 characters of the default repertoire, no backslash or control character, not only spaces.
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError(f"an AE title has 1 to 16 printable ASCII characters and no backslash, got {value!r}")
    return title


def _address(value: str) -> str:
    ipaddress.ip_address(value)
    return value


def _secret(value: SecretStr) -> SecretStr:
    """``env:NAME`` and ``file:PATH`` say where the secret is, so that the configuration file need not hold it."""
    text = value.get_secret_value()
    if text.startswith("env:"):
        if not (found := os.environ.get(text[4:])):
            raise ValueError(f"the environment has no {text[4:]}")
        return SecretStr(found)
    if text.startswith("file:"):
        try:
            return SecretStr(Path(text[5:]).read_text().strip())
        except OSError as exc:
            raise ValueError(f"{text[5:]} cannot be read") from exc
    return value


AETitle = Annotated[str, AfterValidator(_ae_title)]
Address = Annotated[str, AfterValidator(_address)]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9 ._-]+$")]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
URL = Annotated[str, Field(pattern=r"^https?://[^/\s]+")]


class TLS(Section):
    """How we speak TLS to a peer. Empty, it is checked against the certificate authorities of this machine."""

    ca: Path | None = None
    """Certificate authorities that may have signed the peer's certificate, PEM."""
    certificate: Path | None = None
    """Ours, for a peer that asks for one."""
    key: Path | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: give both or neither")
        return self
