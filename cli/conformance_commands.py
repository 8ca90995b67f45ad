"""``pneumo conformance``: the DICOM Conformance Statement of this version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def conformance(
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of printing.")] = None,
) -> None:
    """Print the DICOM Conformance Statement: services, settings, statuses and every attribute of the results.

    Written from the tables of the code, with objects built from synthetic samples: it needs no services.
    """
    from cli.conformance.statement import statement

    if out is None:
        typer.echo(statement(), nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(statement(), encoding="utf-8")
    typer.echo(f"Wrote {out}")
