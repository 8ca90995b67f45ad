"""The issuer of OpenID Connect tokens: where its forms are, and the keys it signs with.

Asked when first needed, so that the API starts while the issuer is away; from then on its keys are here, and no request
waits for the network but the first that comes with a key not known yet.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

from core.api_settings import OIDC
from core.logs import get_logger

log = get_logger("api")

_TIMEOUT_SECONDS = 3.0
_QUEUE_SECONDS = 1.0
"""Others wait so long for the one who asks first."""
_FRESH_SECONDS = 3600.0
"""Keys that the issuer has withdrawn are believed for so long."""
_PAUSE_SECONDS = 60.0
"""Between two questions for a key that is not known: anybody can make one up."""
_FIRST_PAUSE_SECONDS = 10.0
"""Between two questions while nothing is known."""


class IssuerAway(Exception):
    """The issuer does not answer, or not with what it should."""


@dataclass(frozen=True, slots=True)
class Directory:
    """What the issuer says of itself (OpenID Connect Discovery 1.0, 3)."""

    authorization_endpoint: str
    token_endpoint: str
    secret_in_body: bool
    """It takes the client's secret in the body alone (``client_secret_post``)."""
    keys: tuple[Key, ...]
    found_at: float


class Issuer:
    def __init__(self, settings: OIDC, clock: Callable[[], float] = time.monotonic) -> None:
        self.url, self._clock = settings.issuer, clock
        self._trusted = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        self._asking = threading.Lock()
        self._asked_at = -_PAUSE_SECONDS
        self._directory: Directory | None = None

    def directory(self) -> Directory:
        """Raises IssuerAway where nothing is known yet and nobody answers."""
        directory = self._directory
        if directory is None:
            directory = self._ask_again(_FIRST_PAUSE_SECONDS, wait=True)
            if directory is None:
                raise IssuerAway
        elif self._clock() - max(directory.found_at + _FRESH_SECONDS, self._asked_at + _PAUSE_SECONDS) > 0:
            threading.Thread(target=self._ask_again, args=(_PAUSE_SECONDS,), name="oidc-keys", daemon=True).start()
        return directory

    def key(self, kid: str | None, algorithm: str) -> Key | None:
        """The key that signs under this name; None where there is none, asked for once more if need be."""
        found = _fitting(self.directory().keys, kid, algorithm)
        if found is None and (directory := self._ask_again(_PAUSE_SECONDS)) is not None:
            found = _fitting(directory.keys, kid, algorithm)
        return found

    def post(self, url: str, form: dict[str, str], auth: tuple[str, str] | None) -> httpx.Response:
        """Raises IssuerAway where it does not answer."""
        try:
            with self._client() as client:
                answer = client.post(url, data=form, auth=auth or httpx.USE_CLIENT_DEFAULT)
        except httpx.HTTPError as exc:
            raise IssuerAway from exc
        if answer.is_server_error:
            raise IssuerAway
        return answer

    def _ask_again(self, pause: float, *, wait: bool = False) -> Directory | None:
        """What is known now: after asking, unless someone asks already or it was asked for a moment ago."""
        if not self._asking.acquire(timeout=_QUEUE_SECONDS if wait else 0):
            return self._directory
        try:
            if self._clock() - self._asked_at >= pause:
                self._asked_at = self._clock()
                self._directory = self._ask()
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError, JoseError) as exc:
            log.warning(
                "oidc_issuer_away", cause=type(exc).__name__, keys=len(self._directory.keys) if self._directory else 0
            )
        finally:
            self._asking.release()
        return self._directory

    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=_TIMEOUT_SECONDS, verify=self._trusted, headers={"Accept": "application/json"})

    def _ask(self) -> Directory:
        with self._client() as client:
            return self._asked(client)

    def _asked(self, client: httpx.Client) -> Directory:
        said = _get(client, f"{self.url}/.well-known/openid-configuration")
        if said["issuer"].rstrip("/") != self.url:
            raise ValueError("the discovery document is another issuer's")  # OpenID Connect Discovery 1.0, 4.3
        addresses = [said[name] for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if self.url.startswith("https://") and not all(address.startswith("https://") for address in addresses):
            raise ValueError("an issuer behind HTTPS names an address without")
        methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Directory(
            authorization_endpoint=addresses[0],
            token_endpoint=addresses[1],
            secret_in_body="client_secret_basic" not in methods and "client_secret_post" in methods,
            keys=tuple(_keys(_get(client, addresses[2])["keys"])),
            found_at=self._clock(),
        )


def _get(client: httpx.Client, url: str) -> dict[str, Any]:
    document: dict[str, Any] = client.get(url).raise_for_status().json()
    return document


def _keys(documents: list[dict[str, Any]]) -> list[Key]:
    """Public ones for signatures; what we do not understand is left out (RFC 7517 5)."""
    keys: list[Key] = []
    for document in documents:
        if document.get("use", "sig") != "sig":
            continue
        try:
            key = JWKRegistry.import_key(document)
        except (JoseError, ValueError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):  # never a shared secret: whoever can check it can sign
            keys.append(key)
    return keys


_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


def _fitting(keys: tuple[Key, ...], kid: str | None, algorithm: str) -> Key | None:
    """A token that names no key has one where there is no choice."""
    fitting = [
        key
        for key in keys
        if key.key_type == _KEY_TYPES[algorithm[:2]] and key.get("alg") in {None, algorithm} and kid in {None, key.kid}
    ]
    return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None
