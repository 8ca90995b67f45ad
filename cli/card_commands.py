"""``pneumo models card``: the model card, from the record and what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def card(  # noqa: PLR0917 - Typer calls it by name
    model: Annotated[
        Path | None, typer.Option(help="A .safetensors file with its record; the shipped model if left out.")
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="evaluation.json of `pneumo evaluate --plots`, of patients not trained on.")
    ] = None,
    gate: Annotated[Path | None, typer.Option(help="What `pneumo bench gate --json` printed.")] = None,
    bench: Annotated[Path | None, typer.Option(help="What `pneumo bench inference --json` printed.")] = None,
    runs: Annotated[Path | None, typer.Option(help="Folder whose folders are training runs.")] = None,
    out: Annotated[Path, typer.Option(help="The Markdown file to write.")] = Path("docs/model_card.md"),
) -> None:
    """Write the model card: what the model is for, its figures and limits, and what was tried.

    Numbers come from the files given and from nowhere else; what is not given is marked as not measured.
    """
    from dicom.identity import device_uid
    from ml.card_tables import read_timings, read_values
    from ml.model_card import CardInputs, write_card
    from ml.tries import read_tries
    from ml.weights import DEFAULT_WEIGHTS, load_record

    weights = model or DEFAULT_WEIGHTS
    record = load_record(weights)
    inputs = CardInputs(
        weights=weights,
        record=record,
        device_uid=device_uid(record.identity),
        evaluation=read_values(evaluation, "model", "data", "threshold") if evaluation else None,
        gate=read_values(gate, "acceptance", "refusal") if gate else None,
        speed=read_timings(bench) if bench else (),
        tries=read_tries(runs) if runs else (),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(write_card(inputs))
    typer.echo(f"Wrote {out}")
