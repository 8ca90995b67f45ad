"""``pneumo routes test``: where the results of a file would go, and why."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from core.errors import ConfigurationError
from core.records import Outcome
from core.settings import Settings, load_settings

if TYPE_CHECKING:
    from worker.routing import Routing

app = typer.Typer(help="Which results go where.", no_args_is_help=True)


@app.callback()
def _routes() -> None:
    """A group of one command so far, which Typer would otherwise call without its name."""


@app.command("test")
def explain(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="DICOM.")],
    source: Annotated[str, typer.Option(help="Configured name of the source that sends it.")] = "",
    outcome: Annotated[
        Outcome | None, typer.Option(help="As if the model said so; the file is analysed if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What the configured routes would do with the results of a file. Nothing is sent."""
    from dicom.reading import read_source
    from worker.routing import check_routes, route_results

    settings = load_settings()
    check_routes(settings)
    known = [each.name for each in settings.sources]
    if source and source not in known:
        raise ConfigurationError(f"there is no source {source!r}, configured: {', '.join(known) or 'none'}")
    image = read_source(BytesIO(file.read_bytes()))
    found = outcome or _analysed(file, settings)
    routing = route_results(settings, source=source, outcome=found, image=image)
    if as_json:
        typer.echo(json.dumps(_document(file, found, routing), indent=2))
    else:
        _print(found, routing)


def _analysed(file: Path, settings: Settings) -> Outcome:
    from ml.classifier import Classifier
    from ml.weights import DEFAULT_WEIGHTS
    from worker.pipeline import analyse

    classifier = Classifier.load(settings.worker.weights or DEFAULT_WEIGHTS, use_tta=settings.worker.use_tta)
    (analysed,) = analyse([BytesIO(file.read_bytes())], classifier, settings.intended_use)
    return analysed.analysis.outcome


def _document(file: Path, outcome: Outcome, routing: Routing) -> dict[str, Any]:
    return {
        "path": str(file),
        "outcome": outcome,
        "routes": [
            {"route": decision.route.name, "matched": decision.matched, "because": decision.because}
            for decision in routing.decisions
        ],
        "destinations": [
            {"destination": destination.name, "type": destination.type, "objects": list(destination.objects)}
            for destination in routing.destinations
        ],
    }


def _print(outcome: Outcome, routing: Routing) -> None:
    console = Console()
    console.print(f"Outcome: {outcome.replace('_', ' ')}")
    if routing.decisions:
        routes = Table("route", "matched", "because")
        for decision in routing.decisions:
            routes.add_row(decision.route.name, "yes" if decision.matched else "no", decision.because)
        console.print(routes)
    else:
        console.print("No routes are configured: every destination gets every result of its kinds.")
    if not routing.destinations:
        console.print("Nothing would be sent: the results are made, kept and audited, and nobody sees them.")
        return
    destinations = Table("destination", "type", "would get")
    for destination in routing.destinations:
        destinations.add_row(destination.name, destination.type, ", ".join(destination.objects))
    console.print(destinations)
