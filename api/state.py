"""What the application holds for its routes."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from audit.session import Database


def _database(request: Request) -> Database:
    return cast("Database", request.app.state.database)


DatabaseOfApp = Annotated[Database, Depends(_database)]
