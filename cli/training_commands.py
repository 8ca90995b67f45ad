"""``pneumo train``: from labelled radiographs to a weights file with its record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.evaluation_commands import figures_table


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
    console.print(figures_table(evaluation, f"Validation patients, {evaluation.n} images"))
    console.print(f"Wrote {weights} and its record.")
