"""What the application holds for its routes."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, cast

from fastapi import Depends, Request

from api.problems import Code, Refusal
from audit.session import Database
from core.settings import Settings
from core.spool import Spool


def _database(request: Request) -> Database:
    return cast("Database", request.app.state.database)


DatabaseOfApp = Annotated[Database, Depends(_database)]


def open_spool(url: str) -> Spool:
    """Opened for each use: the API starts, and says what is wrong, while it is away. Raises Refusal: 503."""
    try:
        return Spool(url)
    except OSError as exc:
        raise Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE,
            Code.UNAVAILABLE,
            "The spool cannot be reached: see /health/ready.",
        ) from exc


def _spool(request: Request) -> Spool:
    return open_spool(request.app.state.settings.spool)


SpoolOfApp = Annotated[Spool, Depends(_spool)]


def _settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


SettingsOfApp = Annotated[Settings, Depends(_settings)]
