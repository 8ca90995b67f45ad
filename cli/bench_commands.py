"""``pneumo bench``: measure."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Table

from cli.evaluation_commands import JSON


def bench_inference(as_json: JSON = False) -> None:
    """Milliseconds per image of prediction with heat map, beside the plain network without one."""
    from ml.benchmark import measure

    rows = measure()
    if as_json:
        typer.echo(json.dumps([row.as_json() for row in rows], indent=2))
        return
    table = Table("What", "Batch", "ms", title="Milliseconds per image, median")
    for row in rows:
        table.add_row(row.what, str(row.batch), f"{row.milliseconds:.1f}")
    Console().print(table)
