"""Signing in with the issuer's form: the authorization code flow, with PKCE, state and nonce (RFC 9700 2.1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from urllib.parse import quote, urlencode

from api.issuer import Issuer
from api.next_page import local_path
from api.oidc import Identity, TokenCheck
from core.api_settings import OIDC


class FlowFailed(Exception):
    """``code`` says why, for our records."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """What the browser keeps while its user is at the issuer's form.

    In a cookie, so that any process can go on. It needs no signature: whoever writes one knows nothing more than the
    user of that browser does, and can only sign in as who they are.
    """

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def new(cls, then: str) -> PendingSignIn:
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), then)

    @classmethod
    def from_cookie(cls, cookie: str) -> PendingSignIn | None:
        try:
            values = json.loads(base64.urlsafe_b64decode(cookie.encode()))
            pending = cls(**values)
        except (ValueError, TypeError, RecursionError):
            return None
        texts = (pending.state, pending.nonce, pending.verifier, pending.next)
        if not all(isinstance(text, str) and text for text in texts) or local_path(pending.next) != pending.next:
            return None
        return pending

    def to_cookie(self) -> str:
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()

    def is_answered_by(self, state: str) -> bool:
        return hmac.compare_digest(self.state.encode(), state.encode())


class CodeFlow:
    def __init__(self, settings: OIDC, tokens: TokenCheck, callback: str) -> None:
        self._settings, self._tokens, self._callback = settings, tokens, callback

    @classmethod
    def of(cls, tokens: TokenCheck, callback: str) -> CodeFlow | None:
        settings = tokens.settings
        return cls(settings, tokens, callback) if settings.client_id else None

    @property
    def _issuer(self) -> Issuer:
        return self._tokens.issuer

    def form_of(self, pending: PendingSignIn) -> str:
        """Address of the issuer's form. Raises IssuerAway."""
        form = self._issuer.directory().authorization_endpoint
        challenge = hashlib.sha256(pending.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._callback,
            "scope": "openid profile email",
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),  # RFC 7636 4.2
            "code_challenge_method": "S256",
        }
        return f"{form}{'&' if '?' in form else '?'}{urlencode(query)}"

    def identity(self, pending: PendingSignIn, code: str, issuer: str) -> Identity:
        """Who signed in. Raises FlowFailed, TokenRefused or IssuerAway."""
        if issuer and issuer.rstrip("/") != self._issuer.url:
            raise FlowFailed("another_issuer")  # RFC 9207 2.4
        directory = self._issuer.directory()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._callback,
            "client_id": self._settings.client_id,
            "code_verifier": pending.verifier,
        }
        auth = None
        if self._settings.client_secret is not None:
            secret = self._settings.client_secret.get_secret_value()
            if directory.secret_in_body:
                form["client_secret"] = secret
            else:  # RFC 6749 2.3.1: both are form-encoded first
                auth = (quote(self._settings.client_id, safe=""), quote(secret, safe=""))
        answer = self._issuer.post(directory.token_endpoint, form, auth)
        try:
            token = answer.json()["id_token"]
        except (ValueError, KeyError, TypeError) as exc:
            raise FlowFailed("no_token") from exc
        if not answer.is_success or not isinstance(token, str):
            raise FlowFailed("no_token")
        return self._tokens.id_token(token, pending.nonce)
