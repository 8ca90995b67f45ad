"""Puts the API together. Reading it never needs the model, so torch is not in this process."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import Depends
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware

from api import (
    actions,
    alerts,
    chain,
    dead_letters,
    deliveries,
    documentation,
    drift,
    events,
    exports,
    feedback,
    instances,
    keys,
    model_info,
    models,
    patients,
    pictures,
    predictions,
    search,
    sign_in,
    sources,
    studies,
    timelines,
    today,
)
from api.access import Access
from api.cross_origin import CROSS_ORIGIN
from api.etags import ETags
from api.guard import Guard
from api.heads import Heads
from api.health import health_router
from api.metrics import metrics_router
from api.openapi import DescribedAPI
from api.pages.site import add_pages
from api.parameters import each_once
from api.predict import UPLOAD_PATHS, predict_router
from api.problems import answer_with_problems
from api.request_ids import RequestIds
from api.sessions import SignInNeeded, send_to_sign_in
from api.traces import Traces
from api.watch import Watch
from audit.journal import Journal
from audit.session import Database
from core.settings import Settings

_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's own: it would send paths, query strings and what was wrong with them, and so patients."""


def create_app(settings: Settings, database: Database) -> DescribedAPI:
    """The caller keeps the database and closes it.

    Raises:
        ConfigurationError: nobody could sign in as it is configured.
    """
    app = DescribedAPI(
        title="pneumo",
        version=version("pneumo"),
        description=f"What was predicted, by which model, and whether the PACS has it. {settings.intended_use}.",
        docs_url=None,
        redoc_url=None,
        openapi_url=documentation.OPENAPI,
        telemetry=_NO_TELEMETRY,
        dependencies=[Depends(each_once)],
        redirect_slashes=False,  # such a redirect leads to whatever host the request named
    )
    app.state.settings = settings
    app.state.database = database
    app.state.watch = watch = Watch(settings, database)
    app.state.access = access = Access.of(settings.api, Journal(database, "api"))
    answer_with_problems(app)
    app.add_exception_handler(SignInNeeded, send_to_sign_in)
    app.add_middleware(ETags)
    if settings.api.cors_origins:
        app.add_middleware(CORSMiddleware, **CROSS_ORIGIN, allow_origins=settings.api.cors_origins)
    app.add_middleware(Guard, policies=documentation.POLICIES, own_limits=UPLOAD_PATHS, strict_transport=access.https)
    app.add_middleware(Heads)
    if settings.otlp_endpoint:
        app.add_middleware(Traces)
    app.add_middleware(RequestIds)  # the last one is the outermost
    for router in (
        exports.router,  # before those whose paths end in an id
        predictions.router,
        studies.router,
        instances.router,
        deliveries.router,
        dead_letters.router,
        patients.router,
        sources.router,
        models.router,
        events.router,
        chain.router,
        feedback.router,
        actions.router,
        predict_router(settings, database),
        model_info.router,
        pictures.router,
        health_router(settings, database),
        alerts.router,
        drift.router,
        metrics_router(database, watch),
        sign_in.router,
        keys.router,
        documentation.router,
        today.router,
        search.router,
        timelines.router,
    ):
        app.include_router(router)
    add_pages(app)
    return app
