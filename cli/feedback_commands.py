"""``pneumo feedback``: how often readers found the models right, and what they know of which image."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from cli.database import open_database
from cli.feedback_report import print_figures, report_json

app = typer.Typer(help="What readers say of predictions.", no_args_is_help=True)

Model = Annotated[str | None, typer.Option(help="Name or Device UID; every model when left out.")]
Source = Annotated[str | None, typer.Option(help="Name of a source; all of them when left out.")]
_DAY = ["%Y-%m-%d"]
First = Annotated[datetime | None, typer.Option("--from", formats=_DAY, help="First day of arrival, in UTC.")]
Last = Annotated[datetime | None, typer.Option("--to", formats=_DAY, help="Last day of arrival, itself included.")]


@app.command()
def figures(
    model: Model = None,
    source: Source = None,
    first: First = None,
    last: Last = None,
    *,
    shadow: Annotated[bool, typer.Option("--shadow", help="Of models on trial instead of active ones.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as `/v1/feedback/figures` has it.")] = False,
) -> None:
    """Confusion counts, sensitivity and specificity by model version and source, from feedback."""
    from audit.feedback_figures import read_feedback_figures
    from audit.models import Role

    with open_database() as database, database.read() as session:
        rows = read_feedback_figures(
            session,
            model=model,
            source=source,
            role=Role.SHADOW if shadow else Role.ACTIVE,
            **_arrival(first, last),
        )
    if as_json:
        typer.echo(json.dumps(report_json(rows)))
    else:
        print_figures(rows)


@app.command()
def export(model: Model = None, source: Source = None, first: First = None, last: Last = None) -> None:
    """One JSON object a line for each answer to an image with feedback: what readers know, and what the model said."""
    from audit.feedback_export import read_again

    with open_database() as database, database.read() as session:
        for row in read_again(session, model=model, source=source, **_arrival(first, last)):
            typer.echo(json.dumps(asdict(row) | {"received_at": row.received_at.isoformat()}))


def _arrival(first: datetime | None, last: datetime | None) -> dict[str, datetime | None]:
    if first and last and last < first:
        raise typer.BadParameter(f"--to {last:%Y-%m-%d} lies before --from {first:%Y-%m-%d}")
    return {
        "received_from": first and first.replace(tzinfo=UTC),
        "received_before": last and last.replace(tzinfo=UTC) + timedelta(days=1),
    }
