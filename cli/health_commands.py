"""``pneumo alive``: what a container's health check asks about the worker beside it."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from core.broker import WorkQueue
from core.settings import Settings, load_settings

# A heart beats every 30 s, or when the batch in hand is done: six beats may be missed.
_LONGEST_SILENCE_SECONDS = 180


def alive(queue: Annotated[WorkQueue, typer.Argument(help="The queue this machine's worker serves.")]) -> None:
    """Say whether this machine's worker took a message off its queue in the last three minutes; exits with 1 if not."""
    worker, settings = socket.gethostname(), load_settings()
    try:
        silence = _seconds_since_beat(settings, queue, worker)
    except Exception as exc:  # a database that cannot be asked, for whatever reason, is the answer
        typer.echo(f"{queue} worker {worker}: the database cannot be asked ({type(exc).__name__})")
        raise typer.Exit(1) from exc
    if silence is None:
        typer.echo(f"{queue} worker {worker}: has never taken a message off its queue")
    else:
        typer.echo(f"{queue} worker {worker}: took a message off its queue {silence:.0f} s ago")
    raise typer.Exit(0 if silence is not None and silence <= _LONGEST_SILENCE_SECONDS else 1)


def _seconds_since_beat(settings: Settings, queue: WorkQueue, worker: str) -> float | None:
    from audit.heartbeats import seconds_since_beat
    from audit.session import Database

    database = Database(settings.database)
    try:
        with database.read() as session:
            return seconds_since_beat(session, queue, worker)
    finally:
        database.close()
