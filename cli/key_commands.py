"""``pneumo keys create | list | revoke``: who may ask the API."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli.database import open_database, operator
from core.scopes import Scope

if TYPE_CHECKING:
    from audit.models import APIKey

app = typer.Typer(help="API keys.", no_args_is_help=True)

_MAY = {
    Scope.AUDIT_READ: "read what was received, said and delivered; patients come masked",
    Scope.PHI_READ: "see who the patients are, and search for them",
    Scope.PREDICT: "have images predicted by the service",
    Scope.FEEDBACK_WRITE: "say whether a prediction was right",
    Scope.JOBS_WRITE: "retry, requeue, re-analyse, acknowledge",
    Scope.ADMIN: "make and revoke keys over the API",
}
_DAYS = re.compile(r"([1-9][0-9]{0,4})d")


def _moment(text: str) -> datetime:
    """``90d`` from now, or the beginning of a day in UTC."""
    if days := _DAYS.fullmatch(text):
        return datetime.now(UTC) + timedelta(days=int(days[1]))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"expected days such as 90d, or a date such as 2027-01-31, got {text!r}") from exc
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


Name = Annotated[str, typer.Argument(help="Who or what will use the key; the audit trail shows it.")]
Scopes = Annotated[
    list[Scope], typer.Option("--scope", metavar="SCOPE", help="What it may do; give several by repeating it.")
]
Expires = Annotated[
    datetime | None,
    typer.Option(
        "--expires", parser=_moment, metavar="90d|DATE", help="When it ends by itself (dates in UTC); else never."
    ),
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


_SCOPES_IN_HELP = "\n\n".join(f"{scope}: {what}" for scope, what in _MAY.items())


@app.command(epilog=f"Scopes (none includes another):\n\n{_SCOPES_IN_HELP}")
def create(
    name: Name,
    scopes: Scopes = [Scope.AUDIT_READ],  # noqa: B006 - Typer's way to say a default; nothing changes it
    expires: Expires = None,
    as_json: AsJSON = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    from audit.api_keys import create_key

    with open_database() as database:
        try:
            with database.write() as session:
                key = create_key(session, name, operator(), scopes, expires)
        except ValueError as exc:
            raise typer.BadParameter(str(exc)) from exc
    made = {
        "name": name,
        "key": key,
        "scopes": sorted(set(scopes)),
        "expires_at": expires.astimezone(UTC).isoformat() if expires else None,
    }
    typer.echo(json.dumps(made) if as_json else key)
    typer.echo("Keep it now, it cannot be shown again. Send it as `Authorization: Bearer KEY`.", err=True)


@app.command("list")
def list_(as_json: AsJSON = False) -> None:
    """All keys, the revoked ones too."""
    from rich.console import Console
    from rich.table import Table

    from audit.api_keys import list_keys

    with open_database() as database, database.read() as session:
        keys = list_keys(session)
    if as_json:
        typer.echo(json.dumps({"keys": [_row(key) for key in keys]}))
        return
    table = Table("name", "begins with", "scopes", "state", "created", "expires", "last used")
    for key in keys:
        table.add_row(
            key.name,
            f"pneumo_{key.prefix}",
            "\n".join(key.scopes),
            _state(key),
            _day(key.created_at),
            _day(key.expires_at) or "never",
            _day(key.last_used_at) or "never",
        )
    Console().print(table)


@app.command()
def revoke(name: Name) -> None:
    """Make a key useless from now on; who signed in to the pages with it is signed out."""
    from audit.api_keys import revoke_key

    with open_database() as database:
        try:
            with database.write() as session:
                revoke_key(session, name, operator())
        except ValueError as exc:
            raise typer.BadParameter(str(exc)) from exc
    typer.echo(f"{name}: revoked")


def _row(key: APIKey) -> dict[str, object]:
    return {
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "state": _state(key),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
    }


def _state(key: APIKey) -> str:
    from audit.api_keys import fault_of

    return fault_of(key) or "valid"


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""
