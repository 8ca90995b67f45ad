"""What people and plots read while a run goes on and after it: a bar, ``metrics.csv`` and ``training.log``."""

from __future__ import annotations

import csv
import logging
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

COLUMNS = (
    "epoch", "step", "train_loss", "val_loss", "val_accuracy", "val_auc", "val_auc_stressed", "lr_backbone", "lr_head",
    "seconds",
)  # fmt: skip
LOG_BYTES, LOG_FILES = 1_000_000, 3


class Progress(TQDMProgressBar):
    """One bar per epoch with loss and validation figures; bars for the validation copies would hide it."""

    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True)

    def get_metrics(self, *args: Any) -> dict[str, Any]:
        return {name: value for name, value in super().get_metrics(*args).items() if name != "v_num"}


class EpochTable(Callback):
    """One row of ``metrics.csv`` and one line of ``training.log`` for each epoch.

    A resumed run goes on in the same table: rows of the epochs that are done again are dropped.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / "metrics.csv"
        self._log = logging.getLogger("pneumo.training")
        self._log.setLevel(logging.INFO)
        self._log.propagate = False
        self._handler = RotatingFileHandler(out / "training.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES)
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._log.addHandler(self._handler)
        self._started = time.monotonic()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        kept = [row for row in read_table(self._path) if int(row["epoch"]) <= trainer.current_epoch]
        with self._path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)
        verb = "resumed" if trainer.current_epoch else "started"
        self._log.info("%s recipe=%s epoch=%d", verb, pl_module.recipe.name, trainer.current_epoch + 1)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 - Lightning's hook
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 - Lightning's hook
        backbone, head = (group["lr"] for group in trainer.optimizers[0].param_groups)
        known = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "train_loss": known.get("train_loss_epoch"),
            **{name: known.get(name) for name in COLUMNS if name.startswith("val_")},
            "lr_backbone": backbone,
            "lr_head": head,
            "seconds": time.monotonic() - self._started,
        }
        row = {name: round(value, 8) if isinstance(value, float) else value for name, value in row.items()}
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        self._log.info("epoch " + " ".join(f"{name}={value}" for name, value in row.items()))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002 - likewise
        self._log.error("stopped by %s after epoch %d", type(exception).__name__, trainer.current_epoch)
        self._close()  # Lightning calls no teardown then

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002 - likewise
        self._close()

    def _close(self) -> None:
        self._log.removeHandler(self._handler)
        self._handler.close()


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a ``metrics.csv``; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def seconds_of_epochs(out: Path) -> float:
    """Of a run and of its members, interrupted or not."""
    tables = [read_table(path) for path in out.rglob("metrics.csv")]
    return sum(float(row["seconds"]) for rows in tables for row in rows)
