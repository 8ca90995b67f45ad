"""``pneumo up | listen | work | serve | migrate | doctor``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from core.broker import WorkQueue
from core.logs import configure_logs
from core.settings import Settings, load_settings


def up() -> None:
    """Run listener, workers and API on this machine; what needs a server is embedded unless configured."""
    from cli.supervisor import Supervisor

    _prepare()
    migrate()
    Supervisor({
        "listener": ["listen"],
        "inference": ["work", "--queue", WorkQueue.INFERENCE],
        "delivery": ["work", "--queue", WorkQueue.DELIVERY],
        "api": ["serve"],
    }).run()  # fmt: skip


def listen() -> None:
    """Receive radiographs by C-STORE."""
    from pacs_listener.server import run

    run(_prepare())


def work(
    queue: Annotated[WorkQueue | None, typer.Option(help="Only this queue; both when left out.")] = None,
) -> None:
    """Analyse what was received and deliver the results."""
    settings = _prepare()
    if queue is None:
        from cli.supervisor import Supervisor

        Supervisor({name: ["work", "--queue", name] for name in WorkQueue}).run()
        return
    from worker.app import run

    run(settings, queue)


def serve() -> None:
    """Answer questions about the audit log over HTTP."""
    from api.server import run

    run(_prepare())


def migrate() -> None:
    """Bring the database to the newest schema."""
    from audit import schema
    from audit.session import Database

    database = Database(_prepare().database)
    before = schema.current_revision(database)
    schema.upgrade(database)
    typer.echo(f"database schema: {before or 'none'} -> {schema.current_revision(database)}", err=True)
    database.close()


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the configuration and everything it names, a line each. Exits with 1 if anything needs attention."""
    from rich.console import Console

    from cli.doctor import examine

    checks = examine(_prepare())
    if as_json:
        typer.echo(json.dumps({"checks": [{"name": c.name, "ok": c.ok, "answer": c.answer} for c in checks]}))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for check in checks:
            mark = "[green]ok  [/]" if check.ok else "[red]FAIL[/]"
            console.print(f"{mark} {check.name}: ", end="")
            console.print(check.answer, markup=False)
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


def _prepare() -> Settings:
    settings = load_settings()
    configure_logs(settings.log_format)
    return settings
