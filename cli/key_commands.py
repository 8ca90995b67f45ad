"""``pneumo keys create | list | revoke``: who may ask the API."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cli.database import open_database, operator

app = typer.Typer(help="API keys.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Who or what will use the key; the audit trail shows it.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def create(name: Name, as_json: AsJSON = False) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    from audit.api_keys import create_key

    with open_database() as database:
        try:
            with database.write() as session:
                key = create_key(session, name, operator())
        except ValueError as exc:
            raise typer.BadParameter(str(exc)) from exc
    typer.echo(json.dumps({"name": name, "key": key}) if as_json else key)
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
        rows = [
            {
                "name": key.name,
                "prefix": key.prefix,
                "created_at": key.created_at.isoformat(),
                "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
            }
            for key in keys
        ]
        typer.echo(json.dumps({"keys": rows}))
        return
    table = Table("name", "begins with", "created", "revoked")
    for key in keys:
        revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ""
        table.add_row(key.name, f"pneumo_{key.prefix}", f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
    Console().print(table)


@app.command()
def revoke(name: Name) -> None:
    """Make a key useless from now on."""
    from audit.api_keys import revoke_key

    with open_database() as database:
        try:
            with database.write() as session:
                revoke_key(session, name, operator())
        except ValueError as exc:
            raise typer.BadParameter(str(exc)) from exc
    typer.echo(f"{name}: revoked")
