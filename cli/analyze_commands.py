"""``pneumo analyze``: the worker's road on files, without a service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from core.errors import FailedForGood
from core.logs import configure_logs
from core.records import Analysis, Finding, Outcome, ResultKind
from core.settings import load_settings
from core.wording import percent

if TYPE_CHECKING:
    from worker.pipeline import Analysed

_WRAPPED_SUFFIXES = {".jpg", ".jpeg", ".png"}
_OUTPUT_NAMES = {ResultKind.SECONDARY_CAPTURE: "sc", ResultKind.REPORT: "sr"}


def analyze(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="DICOM, JPEG or PNG.")],
    out: Annotated[Path | None, typer.Option(help="Folder for overlay PNG, SC and SR of each file.")] = None,
    use_tta: Annotated[
        bool, typer.Option("--use-tta", help="Judge each image in several views, as worker.use_tta does.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge radiographs on this machine, without any service running. Exits with 0 whatever the outcomes are."""
    from ml.classifier import Classifier
    from ml.weights import DEFAULT_WEIGHTS

    settings = load_settings()
    configure_logs(settings.log_format)
    classifier = Classifier.load(settings.worker.weights or DEFAULT_WEIGHTS, use_tta=use_tta or settings.worker.use_tta)
    model = f"{classifier.identity.name} {classifier.identity.version}"
    stems = _unique_stems(files)
    rows = []
    progress = Console(stderr=True)
    for path, analysed in track(
        _analyse(files, classifier, settings.intended_use, settings.worker.batch_size),
        total=len(files), console=progress, transient=True, description="Analysing", disable=not progress.is_terminal,
    ):  # fmt: skip
        outputs = _write(analysed, out, stems[path]) if out else {}
        rows.append(_row(path, analysed.analysis, model, classifier.identity.label, outputs))
    if as_json:
        typer.echo(json.dumps({"files": rows}, indent=2))
    else:
        _print(rows, out)


def _analyse(files: Sequence[Path], classifier: Any, intended_use: str, size: int) -> Iterator[tuple[Path, Analysed]]:
    from worker.pipeline import Analysed, analyse

    for start in range(0, len(files), size):
        batch = files[start : start + size]
        opened = [_open(path) for path in batch]
        analysed = analyse([file for file in opened if isinstance(file, BytesIO)], classifier, intended_use)
        for path, file in zip(batch, opened, strict=True):
            if isinstance(file, BytesIO):
                yield path, next(analysed)
            else:
                yield path, Analysed(Analysis(Outcome.FAILED, reasons=(file,)), (), None, {})


def _open(path: Path) -> BytesIO | Finding:
    """The file as DICOM, or why it cannot be read as an image."""
    if path.suffix.lower() not in _WRAPPED_SUFFIXES:
        return BytesIO(path.read_bytes())
    from dicom.envelope import write
    from dicom.wrapping import Wrapping, image_file_to_dx

    try:
        return BytesIO(write(image_file_to_dx(path, Wrapping(patient_id="", taken=datetime.now().astimezone()))))
    except FailedForGood as exc:
        return Finding(exc.code, exc.detail)


def _unique_stems(files: Sequence[Path]) -> dict[Path, str]:
    stems: dict[Path, str] = {}
    for path in files:
        stem, number = path.stem, 2
        while stem in stems.values():
            stem, number = f"{path.stem}-{number}", number + 1
        stems[path] = stem
    return stems


def _write(analysed: Analysed, folder: Path, stem: str) -> dict[str, str]:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    outputs = {}
    if analysed.picture is not None:
        overlay = folder / f"{stem}-overlay.png"
        Image.fromarray(analysed.picture).save(overlay)
        outputs["overlay"] = str(overlay)
    for result in analysed.results:
        path = folder / f"{stem}-{_OUTPUT_NAMES[result.kind]}.dcm"
        path.write_bytes(result.content)
        outputs[result.kind.value] = str(path)
    return outputs


def _row(path: Path, analysis: Analysis, model: str, label: str, outputs: dict[str, str]) -> dict[str, Any]:
    prediction = analysis.prediction
    return {
        "path": str(path),
        "outcome": analysis.outcome.value,
        "label": label,
        "probability": prediction.probability if prediction else None,
        "threshold": prediction.threshold if prediction else None,
        "warnings": [finding.code for finding in analysis.warnings],
        "reasons": [finding.code for finding in analysis.reasons],
        "model": model,
        "outputs": outputs,
    }


def _print(rows: list[dict[str, Any]], out: Path | None) -> None:
    console = Console(soft_wrap=False)
    table = Table("file", "outcome", "probability", "threshold", "warnings or reasons")
    for row in rows:
        probability, threshold = row["probability"], row["threshold"]
        table.add_row(
            Path(row["path"]).name,
            row["outcome"].replace("_", " "),
            "" if probability is None else percent(probability),
            "" if threshold is None else percent(threshold),
            ", ".join(row["reasons"] + row["warnings"]),
        )
    console.print(table)
    console.print(f"Overlays, SC and SR lie in {out}." if out else "Give --out DIR to keep overlay PNG, SC and SR.")
