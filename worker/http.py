"""HTTP towards a peer whose answers are not trusted: bounded, never redirected, without the environment's proxies."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from core.destinations import DICOMwebArchive, DICOMwebDestination
from core.fields import TLS
from core.tls import client_context
from worker.answers import Refused, Unavailable

_LONGEST_ANSWER = 1024**2
_LONGEST_PAUSE = 86_400.0
# RFC 9110 and RFC 6585: what another attempt can pass. 301 and 308 are for good, 302, 303 and 307 are not.
_MAY_PASS = {302, 303, 307, 401, 403, 407, 408, 425, 429}
# These speak of the server or of our credentials, and not of what was sent.
_UNAVAILABLE = {401, 407, 429, 502, 503, 504}
# An expired token and a changed password are mended by people, within hours; and who asks on with a wrong password
# every few seconds may lock the account.
_MENDED_BY_PEOPLE = {401, 403, 407}
_PAUSE_FOR_PEOPLE = 600.0


@dataclass(frozen=True, slots=True)
class HTTPAnswer:
    status: int
    media_type: str
    """In lower case and without parameters."""
    body: bytes | None
    """None where it was longer than an answer may be, took too long or broke off."""
    retry_after_seconds: float | None = None


class HTTPPeer:
    """A server and the connection to it, kept from one request to the next. For one thread."""

    def __init__(self, url: str, tls: TLS | None, timeout_seconds: float) -> None:
        """``url``: decides whether TLS is spoken."""
        self._tls = (tls or TLS()) if urlsplit(url).scheme.lower() == "https" else None
        self._timeout_seconds = timeout_seconds

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        context = client_context(self._tls) if self._tls is not None else None
        return urllib3.PoolManager(maxsize=1, ssl_context=context, retries=False)

    def __enter__(self) -> HTTPPeer:
        return self

    def __exit__(self, *_exc: object) -> None:
        if "_pool" in self.__dict__:
            self._pool.clear()

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> HTTPAnswer:
        """
        Raises:
            Unavailable: there is no answer.
            ConfigurationError: a file of ``tls`` cannot be used.
        """
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers=headers,
                # Credentials and results go nowhere but to the host in the configuration.
                redirect=False,
                timeout=urllib3.Timeout(connect=self._timeout_seconds, read=self._timeout_seconds),
                preload_content=False,
                decode_content=False,
            )
        except SSLError as exc:
            raise Unavailable("tls_refused") from exc
        except (NewConnectionError, ConnectTimeoutError) as exc:
            raise Unavailable("no_connection") from exc
        except HTTPError as exc:
            raise Unavailable("no_answer") from exc
        return HTTPAnswer(
            status=response.status,
            media_type=response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            body=self._body(response),
            retry_after_seconds=_seconds(response.headers.get("Retry-After", "")),
        )

    def _body(self, response: urllib3.BaseHTTPResponse) -> bytes | None:
        content, deadline = b"", time.monotonic() + self._timeout_seconds
        try:
            while len(content) <= _LONGEST_ANSWER and time.monotonic() < deadline:
                part = response.read1(65_536)
                if not part:
                    response.release_conn()
                    return content
                content += part
        except HTTPError:
            pass
        response.close()
        return None


def refusal(answer: HTTPAnswer) -> Refused:
    """The fate that a status other than 2xx means. Raises Unavailable where it holds for everything else as well."""
    code = f"http_{answer.status}"
    pause = answer.retry_after_seconds
    if answer.status in _MENDED_BY_PEOPLE:
        pause = max(pause or 0.0, _PAUSE_FOR_PEOPLE)
    if answer.status in _UNAVAILABLE:
        raise Unavailable(code, answer.status, pause)
    permanent = 300 <= answer.status < 500 and answer.status not in _MAY_PASS
    return Refused(code, permanent, answer.status, pause)


def authorization(peer: DICOMwebDestination | DICOMwebArchive) -> dict[str, str]:
    """The header that signs us in, if any."""
    if peer.bearer_token is not None:
        return {"Authorization": f"Bearer {peer.bearer_token.get_secret_value()}"}
    if peer.username is not None and peer.password is not None:
        pair = f"{peer.username}:{peer.password.get_secret_value()}"  # RFC 7617
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    return {}


def _seconds(retry_after: str) -> float | None:
    """RFC 9110 10.2.3. The header's other form, a date, is left to our own pauses."""
    return min(float(retry_after), _LONGEST_PAUSE) if retry_after.isascii() and retry_after.isdigit() else None
