"""How callers are let in: what the settings say about it, and what the process keeps for it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, cast

from fastapi import Depends, Request

from api.oidc import TokenCheck
from api.oidc_sign_in import CodeFlow
from api.sign_in_attempts import SignInAttempts
from audit.journal import Journal
from core.api_settings import APISettings
from core.errors import ConfigurationError
from core.scopes import Scope

_SESSION, _FLOW = "pneumo_session", "pneumo_oidc"


@dataclass(frozen=True, slots=True)
class Access:
    https: bool
    """Browsers reach us over HTTPS, so that cookies may be bound to it."""
    public_origin: str
    """Scheme, host and port that browsers see; never taken from a request."""
    cors_origins: frozenset[str]
    anonymous_scopes: frozenset[Scope]
    session_life: timedelta
    tokens: TokenCheck | None
    """None where OpenID Connect is not configured."""
    code_flow: CodeFlow | None
    """None where nobody signs in to the pages by OpenID Connect."""
    attempts: SignInAttempts
    journal: Journal

    @classmethod
    def of(cls, api: APISettings, journal: Journal) -> Access:
        """Raises ConfigurationError where OpenID Connect cannot send people back to us."""
        if api.oidc and api.oidc.client_id and not api.public_url and not ipaddress.ip_address(api.host).is_loopback:
            raise ConfigurationError(
                "api.oidc.client_id lets people sign in at the issuer, which sends them back to api.public_url: give it"
            )
        scheme = "http" if api.tls_certificate is None else "https"
        host = f"[{api.host}]" if ":" in api.host else api.host
        public = api.public_url or f"{scheme}://{host}:{api.port}"
        tokens = TokenCheck.of(api.oidc) if api.oidc else None
        return cls(
            https=public.startswith("https://") or api.tls_certificate is not None,
            public_origin="/".join(public.split("/", 3)[:3]),
            cors_origins=frozenset(api.cors_origins),
            anonymous_scopes=frozenset(api.anonymous_scopes),
            session_life=timedelta(hours=api.session_hours),
            tokens=tokens,
            code_flow=CodeFlow.of(tokens, f"{public}/sign-in/oidc/callback") if tokens else None,
            # Behind a proxy all strangers share its address: one of them would lock everybody out.
            attempts=SignInAttempts(by_address=not api.behind_proxy),
            journal=journal,
        )

    @property
    def session_cookie(self) -> str:
        return self._cookie(_SESSION)

    @property
    def flow_cookie(self) -> str:
        return self._cookie(_FLOW)

    def _cookie(self, name: str) -> str:
        # RFC 6265bis 4.1.3.2: with this prefix no other host, and nobody without TLS, can set it.
        return f"__Host-{name}" if self.https else name


def _access(request: Request) -> Access:
    return cast("Access", request.app.state.access)


AccessOfApp = Annotated[Access, Depends(_access)]
