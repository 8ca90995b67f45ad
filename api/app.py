"""Puts the API together. Reading it never needs the model, so torch is not in this process."""

from __future__ import annotations

import ipaddress
from importlib.metadata import version

from fastapi import FastAPI

from api import events, predictions, studies
from api.guard import Guard
from api.health import health_router
from api.metrics import metrics_router
from api.problems import answer_with_problems
from audit.session import Database
from core.settings import Settings

_DOCS = "/docs"


def create_app(settings: Settings, database: Database) -> FastAPI:
    """The caller keeps the database and closes it.

    The interactive documentation is served on loopback only: its page runs scripts from a content delivery network,
    and is where people would type their key.
    """
    documented = ipaddress.ip_address(settings.api.host).is_loopback
    app = FastAPI(
        title="pneumo",
        version=version("pneumo"),
        description=f"What was predicted, by which model, and whether the PACS has it. {settings.intended_use}.",
        docs_url=_DOCS if documented else None,
        openapi_url="/openapi.json" if documented else None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.database = database
    answer_with_problems(app)
    app.add_middleware(Guard, page_paths=frozenset({_DOCS}))
    for router in (
        predictions.router,
        studies.router,
        events.router,
        health_router(settings, database),
        metrics_router(database),
    ):
        app.include_router(router)
    return app
