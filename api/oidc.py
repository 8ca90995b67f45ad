"""Tokens of an OpenID Connect issuer: whose they are and what they allow, once all about them has been checked."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import Key

from api.issuer import Issuer
from core.api_settings import OIDC
from core.scopes import Scope

_LEEWAY_SECONDS = 60
_LONGEST = 8192
_ACCESS_TOKEN = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})  # RFC 9068 4, and those before it
_NAME_LENGTH = 64  # of an actor in the audit trail


class TokenRefused(Exception):
    """``code`` says why, for our records."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Identity:
    name: str
    """``oidc:`` and the configured claim; no key has such a name."""
    scopes: frozenset[Scope]


class _Algorithms(jws.JWSRegistry):
    """Those configured and no other; each is asymmetric (``core.api_settings.Algorithm``)."""

    max_header_length = 4096  # some issuers send the certificates' digests along

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


class TokenCheck:
    def __init__(self, settings: OIDC, issuer: Issuer) -> None:
        self.settings, self.issuer = settings, issuer
        self._registry = _Algorithms(algorithms=settings.algorithms, strict_check_header=False)

    @classmethod
    def of(cls, settings: OIDC) -> TokenCheck:
        return cls(settings, Issuer(settings))

    @staticmethod
    def may_be_token(presented: str) -> bool:
        return presented.count(".") == 2 and not presented.startswith("pneumo_")

    def bearer(self, token: str) -> Identity:
        """Raises TokenRefused, or IssuerAway where its keys were never to be had."""
        header, claims = self._signed(token)
        if str(header.get("typ", "")).lower() not in _ACCESS_TOKEN:
            raise TokenRefused("type")
        # An ID token tells the client who signed in and opens nothing: Keycloak marks it with typ, others by the hash
        # of the access token or code it came with (OpenID Connect Core 1.0, 3.1.3.6). "events": a logout token.
        if claims.get("typ", "Bearer") != "Bearer" or claims.keys() & {"at_hash", "c_hash", "events"}:
            raise TokenRefused("type")
        self._require_audience(claims, self.settings.audience)
        return self._identity(claims)

    def id_token(self, token: str, nonce: str) -> Identity:
        """OpenID Connect Core 1.0, 3.1.3.7. Raises as ``bearer`` does."""
        _, claims = self._signed(token)
        self._require_audience(claims, self.settings.client_id)
        audience = claims["aud"]
        if claims.get("azp", self.settings.client_id) != self.settings.client_id:
            raise TokenRefused("authorized_party")
        if isinstance(audience, list) and len(audience) > 1 and "azp" not in claims:
            raise TokenRefused("authorized_party")
        if claims.get("nonce") != nonce:
            raise TokenRefused("nonce")
        if claims.get("typ", "ID") != "ID":
            raise TokenRefused("type")
        return self._identity(claims)

    def _signed(self, token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Header and claims, after the signature, the issuer and the times have been found right."""
        if len(token) > _LONGEST:
            raise TokenRefused("size")
        try:
            read = jws.extract_compact(token.encode(), registry=self._registry)
            header = read.headers()
            self._registry.check_header(header)
            self._registry.get_alg(header["alg"])
            key = self._key(header)
            if not jws.validate_compact(read, key, registry=self._registry):
                raise TokenRefused("signature")
            claims = json.loads(read.payload)
        except UnsupportedAlgorithmError as exc:
            raise TokenRefused("algorithm") from exc
        except (JoseError, ValueError, KeyError, TypeError, RecursionError) as exc:
            raise TokenRefused("malformed") from exc
        if not isinstance(claims, dict):
            raise TokenRefused("malformed")
        if not isinstance(claims.get("iss"), str) or claims["iss"].rstrip("/") != self.issuer.url:
            raise TokenRefused("issuer")
        _require_now(claims)
        return header, claims

    def _key(self, header: Mapping[str, Any]) -> Key:
        kid = header.get("kid")
        key = self.issuer.key(kid if isinstance(kid, str) else None, header["alg"])
        if key is None:
            raise TokenRefused("unknown_key")
        return key

    def _require_audience(self, claims: Mapping[str, Any], audience: str) -> None:
        found = claims.get("aud")
        if audience != found and not (isinstance(found, list) and audience in found):
            raise TokenRefused("audience")

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        name = claims.get(self.settings.name_claim)
        if not isinstance(name, str) or not name:
            raise TokenRefused("name")
        values = set(_values(claims, self.settings.grants_claim))
        scopes = {scope for value in values for scope in self.settings.grants.get(value, ())}
        return Identity(_actor(name), frozenset(scopes))


def _require_now(claims: Mapping[str, Any]) -> None:
    now = time.time()
    moments = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    if not all(isinstance(moment, int | float) and not isinstance(moment, bool) for moment in moments.values()):
        raise TokenRefused("malformed")
    if not moments.get("exp", 0) > now - _LEEWAY_SECONDS:  # also where there is none, or it is NaN
        raise TokenRefused("expired")
    if not max(moments.get("nbf", 0), moments.get("iat", 0)) <= now + _LEEWAY_SECONDS:
        raise TokenRefused("not_yet_valid")


def _values(claims: Mapping[str, Any], name: str) -> Iterator[str]:
    """Of the claim of this name, or inside another: ``realm_access.roles``. A text is one value, or some with blanks
    between them, as in ``scope``."""
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    for value in found if isinstance(found, list) else [found]:
        if isinstance(value, str):
            yield value
            yield from value.split() if not isinstance(found, list) else ()


def _actor(name: str) -> str:
    """Told from all others even where it is too long for the audit trail, or holds what does not belong there."""
    actor = f"oidc:{name}"
    if len(actor) <= _NAME_LENGTH and name.isprintable():
        return actor
    shown = actor[:40] if name.isprintable() else "oidc:"
    return f"{shown}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
