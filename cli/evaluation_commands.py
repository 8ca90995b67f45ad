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
    from ml.evaluation import Evaluation

JSON = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder with NORMAL/ and PNEUMONIA/ inside: JPEG or PNG of any size.")],
    model: Annotated[
        Path | None, typer.Option(help="A .safetensors file with its record; the shipped model if left out.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Hold a model against class folders, with 95 % bootstrap intervals."""
    from ml.classifier import Classifier
    from ml.evaluation import evaluate_samples
    from ml.readers import read_samples
    from ml.weights import DEFAULT_WEIGHTS

    samples = read_samples(data)
    classifier = Classifier.load(model or DEFAULT_WEIGHTS)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Evaluating", total=len(samples))
        evaluation = evaluate_samples(classifier, samples, lambda done: progress.advance(task, done))
    if as_json:
        typer.echo(json.dumps(evaluation.as_json(), indent=2))
        return
    identity = classifier.identity
    Console().print(figures_table(evaluation, f"{identity.name} {identity.version}, {evaluation.n} images"))


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
