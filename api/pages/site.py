"""Puts the pages together: routes, files, and errors that a person can read."""

from __future__ import annotations

from fastapi import FastAPI

from api.pages import (
    account,
    actions,
    alerts,
    audit_trail,
    dead_letters,
    errors,
    feedback,
    files,
    keys,
    models,
    preferences,
    search,
    sign_in,
    sources,
    study,
    today,
)

_PAGES = (
    files, preferences, sign_in, today, search, study, models, sources, dead_letters, alerts, feedback, audit_trail,
    keys, account, actions,
)  # fmt: skip


def add_pages(app: FastAPI) -> None:
    """Call after the routes and error handlers of the API: browsers get these errors as pages, all others as before."""
    for module in _PAGES:
        app.include_router(module.router)
    errors.answer_browsers_with_pages(app)
