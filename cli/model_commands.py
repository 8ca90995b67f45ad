"""``pneumo train``, ``pneumo evaluate`` and ``pneumo bench inference``."""

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


def train(  # noqa: PLR0917 - Typer calls it by name
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, e.g. mobilenet_v2.")],
    data: Annotated[Path, typer.Option(help="Folder with NORMAL/ and PNEUMONIA/ inside.")],
    init: Annotated[
        str | None,
        typer.Option(help="Starting weights: a .safetensors or .pth file, or 'none'; torchvision's if left out."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for weights, record and metrics.csv.")] = Path("runs"),
    epochs: Annotated[int | None, typer.Option(min=1, help="The recipe's number if left out.")] = None,
    seed: Annotated[int, typer.Option(help="Decides split, order, augmentation and head.")] = 0,
) -> None:
    """Train a recipe on class folders and write weights with their record."""
    from ml.recipe import load_recipe
    from ml.release import train_and_release

    weights, evaluation = train_and_release(
        load_recipe(recipe), data=data, init=init, out=out, epochs=epochs, seed=seed
    )
    console = Console()
    console.print(_table(evaluation, f"Validation patients, {evaluation.n} images"))
    console.print(f"Wrote {weights} and its record.")


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder with NORMAL/ and PNEUMONIA/ inside: JPEG or PNG of any size.")],
    model: Annotated[
        Path | None, typer.Option(help="A .safetensors file with its record; the shipped model if left out.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Hold a model against class folders, with 95 % bootstrap intervals."""
    from ml.classifier import Classifier
    from ml.data import read_class_folders
    from ml.evaluation import evaluate_samples
    from ml.weights import DEFAULT_WEIGHTS

    samples = read_class_folders(data)
    classifier = Classifier.load(model or DEFAULT_WEIGHTS)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Evaluating", total=len(samples))
        evaluation = evaluate_samples(classifier, samples, lambda done: progress.advance(task, done))
    if as_json:
        typer.echo(json.dumps(evaluation.as_json(), indent=2))
        return
    identity = classifier.identity
    Console().print(_table(evaluation, f"{identity.name} {identity.version}, {evaluation.n} images"))


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


def _table(evaluation: Evaluation, title: str) -> Table:
    table = Table("Figure", "Value", "95 % interval", title=title)
    for name, (low, high) in evaluation.ci.items():
        table.add_row(name, f"{getattr(evaluation, name):.4f}", f"{low:.4f} to {high:.4f}")
    (tn, fp), (fn, tp) = evaluation.confusion
    table.add_section()
    table.add_row("threshold", f"{evaluation.threshold:.4f}", "")
    table.add_row("normal images", f"{tn} negative, {fp} positive", "")
    table.add_row("pneumonia images", f"{tp} positive, {fn} negative", "")
    return table
