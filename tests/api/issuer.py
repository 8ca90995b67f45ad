"""An issuer of OpenID Connect tokens on loopback, which tells its keys and signs whatever a test wants signed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

AUDIENCE = "pneumo"
Key = RSAKey | ECKey | OctKey


class TestIssuer:
    __test__ = False

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.key = rsa_key("first")
        self.keys: list[Key] = [self.key]
        self.said: dict[str, Any] = {}
        """Instead of what its discovery document should say."""
        self.marked: dict[str, dict[str, str]] = {}
        """Members of a published key, by its id."""
        self.asked: list[str] = []
        self.away = False

    def token(self, *, key: Key | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good access token but for what is given; None leaves a claim or header out."""
        key, now = key or self.key, time.time()
        whole_header = {"alg": "RS256", "typ": "at+jwt", "kid": key.kid} | (header or {})
        whole = {
            "iss": self.url, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 300, "groups": ["radiology"],
        } | claims  # fmt: skip
        return jwt.encode(
            {name: value for name, value in whole_header.items() if value is not None},
            {name: value for name, value in whole.items() if value is not None},
            key,
            algorithms=[whole_header["alg"]],
            default_type=None,
        )

    def answer(self, path: str) -> dict[str, Any] | None:
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
            } | self.said
        if path == "/keys":
            return {"keys": [key.as_dict(private=False) | self.marked.get(str(key.kid), {}) for key in self.keys]}
        return None


def rsa_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


@contextmanager
def issuing(port: int) -> Iterator[TestIssuer]:
    issuer = TestIssuer(port)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = None if issuer.away else issuer.answer(self.path)
            self.send_response(503 if document is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_all: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
