"""Settings of the API and its pages."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from core.fields import LOOPBACK, Address, Port, Secret, Section
from core.scopes import Scope

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Asymmetric ones alone: with a shared secret, whoever can check a token can make one."""


def _web_address(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("expected an address that begins with http:// or https://")
    return url.rstrip("/")


WebAddress = Annotated[str, AfterValidator(_web_address)]


class OIDC(Section):
    """OpenID Connect: bearer tokens for the API, and sign-in to the pages."""

    issuer: Annotated[WebAddress, Field(min_length=1)]
    """Its discovery document says where its keys and forms are."""
    audience: str = Field(min_length=1)
    """What a bearer token must be meant for."""
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256",), min_length=1)
    name_claim: str = "sub"
    """Names the caller in the audit trail."""
    grants_claim: str = "groups"
    """Whose value or values say what the caller may do."""
    grants: dict[str, tuple[Scope, ...]] = Field(default_factory=dict)
    """Scopes by value of that claim, such as ``{radiology = ["audit:read", "phi:read"]}``."""
    client_id: str = ""
    """For signing in to the pages; without it, OpenID Connect serves bearer tokens alone."""
    client_secret: Secret | None = None
    ca: Path | None = None
    """Signs the issuer's certificate; the system's authorities when empty."""


class APISettings(Section):
    host: Address = LOOPBACK
    port: Port = 8080
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    """Something in front ends TLS and keeps strangers away: a reverse proxy, or a container network whose published
    port is bound to loopback. Without this, plain HTTP beyond loopback is refused at start."""
    public_url: WebAddress = ""
    """Where people reach the pages. Results carry a link to the page that takes feedback; none when empty."""
    oidc: OIDC | None = None
    anonymous_scopes: tuple[Scope, ...] = ()
    """What callers without a key may do; refused at start unless the service listens on loopback alone."""
    cors_origins: tuple[WebAddress, ...] = ()
    """Pages of these origins may call the API from a browser."""
    session_hours: float = Field(default=12, gt=0)
    """How long a sign-in to the pages lasts."""
    maximum_upload_bytes: int = Field(default=64 * 1024**2, ge=1)
    maximum_upload_pixels: int = Field(default=64 * 1000**2, ge=1)
    maximum_batch: int = Field(default=16, ge=1)
    """Files of one batch prediction."""
    predict_rate: str = Field(default="10/minute", pattern=r"^[1-9][0-9]*/(second|minute|hour|day)$")
    """Files one client may have predicted; all API processes count together where there is a Redis."""
    rate_limit_url: str = Field(default="", repr=False)
    """``redis://`` for the counts; the broker's when empty and that is a Redis, else each process counts by itself."""
    predict_timeout_seconds: float = Field(default=30, gt=0)
    """How long a caller waits for the model before the answer is that it is late."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: give both or neither")
        return self

    @model_validator(mode="after")
    def _strangers_stay_out(self) -> Self:
        if self.anonymous_scopes and not ipaddress.ip_address(self.host).is_loopback:
            raise ValueError(
                f"anonymous_scopes lets everybody in who reaches {self.host}: listen on 127.0.0.1, or give keys"
            )
        return self
