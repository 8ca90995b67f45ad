"""The API with its prediction service, and callers of it."""

from __future__ import annotations

from collections.abc import Iterable

import httpx

from audit.api_keys import create_key
from audit.session import Database
from core.scopes import Scope


def settings_of_api(**changes: object) -> dict[str, object]:
    """For ``start_api``: more images a minute than any test asks for, unless it says otherwise."""
    return {"predict_rate": "10000/minute", "predict_timeout_seconds": 60} | changes


def key_of(database: Database, name: str, scopes: Iterable[Scope] = (Scope.PREDICT,)) -> str:
    with database.write() as session:
        return create_key(session, name, "cli:test", list(scopes))


def client_with(key: str, like: httpx.Client) -> httpx.Client:
    return httpx.Client(base_url=like.base_url, timeout=30, headers={"Authorization": f"Bearer {key}"})
