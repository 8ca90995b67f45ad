"""``pneumo train``: from labelled radiographs to a weights file with its record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from cli.evaluation_commands import figures_table

# Said here too, since importing the recipes loads torch.
Freeze = Literal["all", "partial", "none"]
Loss = Literal["bce", "cross_entropy", "focal"]
Precision = Literal["auto", "32", "bf16", "16"]
HoldOut = Literal["patients", "series"]


CHANCE = 0.5
"""AUC of a coin"""


def train(  # noqa: PLR0917 - Typer calls it by name
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, e.g. mobilenet_v2.")],
    data: Annotated[
        Path,
        typer.Option(help="Folder with NORMAL/ and PNEUMONIA/, a pneumoniamnist .npz, or RSNA's DICOM files and csv."),
    ],
    init: Annotated[
        str | None,
        typer.Option(
            help="Starting weights: a .safetensors or .pth file; torchvision's if left out; or 'none' for a random "
            "start, in which nothing is frozen unless --freeze says so."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for weights, record, curves and checkpoints.")] = Path("runs"),
    epochs: Annotated[int | None, typer.Option(min=1, help="The recipe's number if left out.")] = None,
    stage1_epochs: Annotated[int | None, typer.Option(min=1, help="Of a recipe with two stages.")] = None,
    stage2_epochs: Annotated[int | None, typer.Option(min=1, help="Of a recipe with two stages.")] = None,
    freeze: Annotated[Freeze | None, typer.Option(help="Blocks that keep their starting weights.")] = None,
    loss: Annotated[Loss | None, typer.Option(help="Instead of the recipe's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=NUMBER of the recipe to try another value of; repeatable.")
    ] = None,
    precision: Annotated[Precision, typer.Option(help="Of the computation; auto takes the fastest here.")] = "auto",
    seed: Annotated[int, typer.Option(help="Decides split, order, augmentation and head.")] = 0,
    hold_out: Annotated[
        HoldOut, typer.Option(help="Validate on random patients, or on another series of acquisitions.")
    ] = "patients",
    limit: Annotated[int | None, typer.Option(min=1, help="Use so many images only, to try things out.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run in --out stopped.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard events as well.")] = False,
) -> None:
    """Train a recipe and write weights with their record.

    An interrupted run goes on with the same command and --resume, and ends as if it had not been interrupted.
    """
    from ml.recipe import load_recipe, overridden
    from ml.release import train_and_release
    from ml.training import Run

    release = train_and_release(
        overridden(
            load_recipe(recipe),
            epochs=epochs,
            stage_epochs=(stage1_epochs, stage2_epochs),
            freeze=freeze or ("none" if init == "none" else None),
            loss=loss,
            settings=settings or (),
        ),
        data=data,
        init=init,
        run=Run(out, seed, precision, resume, tensorboard),
        by=hold_out,
        limit=limit,
    )
    console = Console()
    console.print(figures_table(release.evaluation, f"Validation patients, {release.evaluation.n} images"))
    if not release.evaluation.ci["auc"][0] > CHANCE:
        console.print("Validation cannot tell this model from chance. Do not use it: train longer.", style="red")
    console.print(f"Wrote {release.weights}, its record and run.json after {release.run['minutes']} minutes.")
