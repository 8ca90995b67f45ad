"""What a demo run shows at its end, as a table or as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cli.demo import Demo, Journey
from core.records import ResultKind
from core.wording import percent

_COLOURS = {"positive": "red", "negative": "green", "not_analysed": "yellow", "failed": "bold red"}


def show(console: Console, journeys: Sequence[Journey], overlays: Path, demo: Demo) -> None:
    table = Table("patient", "study", "outcome", "certainty %", "warnings", "SC", "SR", "seconds")
    for journey in journeys:
        prediction = journey.prediction
        if prediction is None:
            table.add_row(journey.pushed.patient_id, _tail(journey.pushed.study_instance_uid), "[bold red]none[/]")
            continue
        outcome, probability = prediction["outcome"], prediction["probability"]
        table.add_row(
            journey.pushed.patient_id,
            _tail(journey.pushed.study_instance_uid),
            f"[{_COLOURS[outcome]}]{outcome.replace('_', ' ')}[/]",
            "" if probability is None else percent(probability).removesuffix(" %"),
            ", ".join(prediction["reasons"] + prediction["warnings"]),
            str(journey.received[ResultKind.SECONDARY_CAPTURE]),
            str(journey.received[ResultKind.REPORT]),
            "" if journey.seconds is None else f"{journey.seconds:.1f}",
        )
    console.print(table)
    timing = _timing(journeys)
    if timing:
        console.print(f"C-STORE to report in the PACS: median {timing['median']} s, 95th percentile {timing['p95']} s")
    console.print(f"Overlays as PNG:     {overlays}", soft_wrap=True)
    console.print(f"SC and SR as DICOM:  {demo.pacs_folder}", soft_wrap=True)
    console.print(f"Log of the service:  {demo.log_path}", soft_wrap=True)


def summary(journeys: Sequence[Journey], overlays: Path, demo: Demo) -> dict[str, Any]:
    return {
        "images": [
            {
                "patient_id": journey.pushed.patient_id,
                "study_instance_uid": journey.pushed.study_instance_uid,
                "sop_instance_uid": journey.pushed.sop_instance_uid,
                "outcome": journey.prediction["outcome"] if journey.prediction else None,
                "probability": journey.prediction["probability"] if journey.prediction else None,
                "warnings": journey.prediction["warnings"] if journey.prediction else [],
                "reasons": journey.prediction["reasons"] if journey.prediction else [],
                "secondary_captures": journey.received[ResultKind.SECONDARY_CAPTURE],
                "reports": journey.received[ResultKind.REPORT],
                "seconds": journey.seconds,
            }
            for journey in journeys
        ],
        "seconds": _timing(journeys),
        "overlays": str(overlays),
        "pacs": str(demo.pacs_folder),
        "log": str(demo.log_path),
    }


def _timing(journeys: Sequence[Journey]) -> dict[str, float]:
    seconds = sorted(journey.seconds for journey in journeys if journey.seconds is not None)
    if not seconds:
        return {}
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return {"median": round(statistics.median(seconds), 2), "p95": round(p95, 2)}


def _tail(uid: str) -> str:
    return f"...{uid[-8:]}"
