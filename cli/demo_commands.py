"""``pneumo demo``: the whole road on this machine, watched from the outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def demo(
    data: Annotated[
        Path | None,
        typer.Option(exists=True, help="A DICOM, JPEG or PNG file, or a folder of them; samples otherwise."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the service up until Ctrl-C.")] = False,
    folder: Annotated[Path, typer.Option(help="Where each run makes a folder of its own.")] = Path("pneumo-demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Push radiographs through a real association, queue and model into a receiving PACS, and show what came back."""
    from rich.console import Console

    from cli.demo import Demo
    from cli.demo_report import show, summary

    console = Console(stderr=True, highlight=False)
    with Demo(folder, console) as running:
        running.start()
        radiographs = running.prepare(data)  # drawn while the service starts
        running.wait_ready()
        running.push(radiographs)
        journeys = running.wait(radiographs)
        overlays = running.write_overlays(journeys)
        if as_json:
            typer.echo(json.dumps(summary(journeys, overlays, running), indent=2))
        else:
            show(Console(highlight=False), journeys, overlays, running)
        if keep:
            console.print(
                f"The service stays up until Ctrl-C.\nPages:  {running.api_url}/\nAPI:    {running.api_url}/docs\n"
                f"key:    {running.api_key}"
            )
            running.wait_for_interrupt()
    if not all(journey.complete for journey in journeys):
        raise typer.Exit(1)
