"""``pneumo evaluate``: hold a model against labelled radiographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

if TYPE_CHECKING:
    from ml.comparison import Comparison
    from ml.evaluation import Evaluation
    from ml.learning_curves import Panel

JSON = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def evaluate(  # noqa: PLR0917 - Typer calls it by name
    data: Annotated[
        Path,
        typer.Option(help="Folder with NORMAL/ and PNEUMONIA/, a pneumoniamnist .npz, or RSNA's DICOM files and csv."),
    ],
    model: Annotated[
        Path | None, typer.Option(help="A .safetensors file with its record; the shipped model if left out.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="Another .safetensors file to compare with.")] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for charts, error list, evaluation.json and report.html.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Training run whose curves the report shows; the model's folder if left out.")
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Judge by the patients of this data that the model's training held out.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Hold a model against labelled radiographs, with 95 % bootstrap intervals.

    Data that is split already is judged by its test part. A report holds radiographs and file names.
    """
    from ml.classifier import Classifier
    from ml.comparison import compare
    from ml.evaluation import evaluate as figures_of
    from ml.holdout import held_out_samples
    from ml.readers import read_samples
    from ml.scoring import score
    from ml.weights import DEFAULT_WEIGHTS, load_record

    if run is not None and plots is None:
        raise typer.BadParameter("--run is drawn into the report of --plots: give both")
    model = model or DEFAULT_WEIGHTS
    training = _training(run, model) if plots else ()
    samples = read_samples(data)
    samples = [sample for sample in samples if sample.part == "test"] or samples
    if held_out:
        samples = held_out_samples(samples, load_record(model).provenance)
    classifiers = [Classifier.load(path) for path in (model, against) if path is not None]
    if plots:
        plots.mkdir(parents=True, exist_ok=True)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Evaluating", total=len(samples))
        scores = score(samples, classifiers, lambda done: progress.advance(task, done))
    records = [classifier.record for classifier in classifiers]
    evaluations = [
        figures_of(found.labels, found.probabilities, record.threshold, found.patients)
        for found, record in zip(scores, records, strict=True)
    ]
    comparison = compare(scores[0], evaluations[0], scores[1], evaluations[1], records[1].identity) if against else None
    if plots:
        from ml.evaluation_report import make_report, write_report

        report = make_report(
            records[0],
            scores[0],
            evaluations[0],
            data=data.resolve().name + (", held-out patients" if held_out else ""),
            comparison=comparison,
            training=training,
        )
        write_report(report, scores[0], plots)
    _print(evaluations[0], comparison, records[0].identity.name, records[0].identity.version, as_json=as_json)
    if plots and not as_json:
        Console().print(f"Wrote {plots / 'report.html'} and what is behind it.")


def _training(run: Path | None, model: Path) -> tuple[Panel, ...]:
    from ml.learning_curves import learning_curves, tables

    if run is None and not tables(model.parent):
        return ()
    return learning_curves(run or model.parent)


def _print(evaluation: Evaluation, comparison: Comparison | None, name: str, version: str, *, as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        against = {"comparison": asdict(comparison)} if comparison else {}
        typer.echo(json.dumps(evaluation.as_json() | against, indent=2))
        return
    console = Console()
    console.print(figures_table(evaluation, f"{name} {version}, {evaluation.n} images"))
    if comparison:
        console.print(comparison_table(comparison, f"{name} {version}"))


def figures_table(evaluation: Evaluation, title: str) -> Table:
    table = Table("Figure", "Value", "95 % interval", title=title)
    for name, (low, high) in evaluation.ci.items():
        table.add_row(name, f"{getattr(evaluation, name):.4f}", f"{low:.4f} to {high:.4f}")
    (tn, fp), (fn, tp) = evaluation.confusion
    table.add_section()
    table.add_row("threshold", f"{evaluation.threshold:.4f}", "")
    table.add_row("normal images", f"{tn} negative, {fp} positive", "")
    table.add_row("pneumonia images", f"{tp} positive, {fn} negative", "")
    return table


def comparison_table(comparison: Comparison, this: str) -> Table:
    table = Table("Figure", "Difference", "95 % interval", title=f"{this} less {comparison.other}")
    for name, (low, high) in comparison.ci.items():
        table.add_row(name, f"{comparison.differences[name]:+.4f}", f"{low:+.4f} to {high:+.4f}")
    table.add_section()
    low, high = comparison.delong.ci
    table.add_row(
        "auc (DeLong)",
        f"{comparison.delong.difference:+.4f}",
        f"{low:+.4f} to {high:+.4f}, p {comparison.delong.p:.3g}",
    )
    for test in comparison.mcnemar:
        table.add_row(f"right alone, {test.images}", f"{test.only_this} : {test.only_other}", f"McNemar p {test.p:.3g}")
    return table
