"""One trainer for every recipe: training and validation images in, best weights out."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC
from torchvision.transforms import v2

from core.errors import ConfigurationError
from ml.epoch_data import EpochOrder, Radiographs, seed_of
from ml.losses import WeightedLoss
from ml.networks import Network, pneumonia_logit
from ml.recipe import Recipe
from ml.schedules import learning_rate_factor, stage_at
from ml.stress import one_stress_each
from ml.training_log import EpochTable, Progress

VALIDATION_BATCH = 64
FEWEST_STEPS = 4
"""Below this a schedule has no room to rise and fall."""
PLATEAU_PATIENCE = 2
"""Epochs without a lower validation loss after which the rates fall."""

Precision = Literal["auto", "32", "bf16", "16"]
Labelled = tuple[torch.Tensor, torch.Tensor]
"""Images (N, 1, S, S) uint8 and their classes (N,) int64."""


@dataclass(frozen=True, slots=True)
class Run:
    """Where and how a recipe is run, as opposed to what it is."""

    out: Path
    seed: int = 0
    precision: Precision = "auto"
    resume: bool = False
    """Go on from ``checkpoint``."""
    tensorboard: bool = False

    @property
    def checkpoint(self) -> Path:
        """Of the last finished epoch, with all that a resumed run needs."""
        return self.out / "checkpoints" / "last.ckpt"


class FineTuning(lightning.LightningModule):
    """Stages, mixing, loss and figures of a recipe."""

    def __init__(
        self, network: Network, recipe: Recipe, *, class_counts: list[int], steps_per_epoch: int, seed: int
    ) -> None:
        super().__init__()
        self.network, self.recipe = network, recipe
        self.loss = WeightedLoss(recipe.loss, class_counts, recipe.label_smoothing)
        self.validation_loss = WeightedLoss(recipe.loss, class_counts, 0.0)
        self._classes, self._steps_per_epoch, self.seed = len(class_counts), steps_per_epoch, seed
        mixes = [(v2.MixUp, recipe.mixup_alpha), (v2.CutMix, recipe.cutmix_alpha)]
        wanted = [mix(num_classes=self._classes, alpha=alpha) for mix, alpha in mixes if alpha]
        self._mix = v2.RandomChoice(wanted) if wanted else None
        self.accuracy = BinaryAccuracy()
        self.auc = BinaryAUROC()
        self.auc_stressed = BinaryAUROC()

    def on_train_epoch_start(self) -> None:
        self.network.freeze(stage_at(self.recipe, self.current_epoch).frozen_blocks)

    def on_train_batch_start(self, _batch: Any, _index: int) -> None:
        # Dropout and mixing of a step are the same whether or not the run was interrupted before it.
        torch.manual_seed(seed_of(self.seed, self.global_step))

    def training_step(self, batch: Labelled, _index: int) -> torch.Tensor:
        images, classes = batch
        targets = functional.one_hot(classes, self._classes).float()
        if self._mix is not None:
            images, targets = self._mix(images, classes)
        loss = self.loss(self.network(images), targets)
        self.log("train_loss", loss, prog_bar=True, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Labelled, _index: int, dataloader_idx: int) -> None:
        """Images as they are from the first loader, each with one stress from the second."""
        images, classes = batch
        logits = self.network(images.float() / 255.0).float()
        score, truth = pneumonia_logit(logits), (classes > 0).long()
        if dataloader_idx == 1:
            self.auc_stressed.update(score, truth)
            return
        self.auc.update(score, truth)
        self.accuracy.update(torch.sigmoid(score), truth)
        targets = functional.one_hot(classes, self._classes).float()
        loss = self.validation_loss(logits, targets)
        self.log("val_loss", loss, prog_bar=True, add_dataloader_idx=False, batch_size=len(images))

    def on_validation_epoch_end(self) -> None:
        for name, metric in (("accuracy", self.accuracy), ("auc", self.auc), ("auc_stressed", self.auc_stressed)):
            self.log(f"val_{name}", metric.compute(), prog_bar=name != "accuracy")
            metric.reset()

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        stage = recipe.stages[0]
        peaks = [stage.backbone_learning_rate, stage.head_learning_rate]
        optimizer_class = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
        optimizer = optimizer_class(
            [
                {"params": self.network.backbone.parameters(), "lr": peaks[0]},
                {"params": self.network.head.parameters(), "lr": peaks[1]},
            ],
            weight_decay=recipe.weight_decay,
        )
        if recipe.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=PLATEAU_PATIENCE)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, [lambda step: self._factor(step, 0), lambda step: self._factor(step, 1)]
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int, group: int) -> float:
        """Of the first stage's rate, which the optimizer starts from."""
        rates = [
            (stage.backbone_learning_rate, stage.head_learning_rate)[group]
            for stage in (self.recipe.stages[0], stage_at(self.recipe, step // self._steps_per_epoch))
        ]
        return rates[1] / rates[0] * learning_rate_factor(self.recipe, step, self._steps_per_epoch, rates[1])


def fit(
    recipe: Recipe,
    network: Network,
    train: Labelled,
    validation: Labelled,
    *,
    run: Run,
    draw_weights: torch.Tensor | None = None,
) -> Network:
    """Train ``network`` in place and return it in evaluation mode with the weights that ``recipe.keep`` judged best.

    ``run.out`` gets the curves (``metrics.csv``), the log and, after each epoch, a checkpoint to resume from.

    Raises:
        ConfigurationError: too few images for a schedule, or nothing to resume.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    lightning.seed_everything(run.seed, workers=True, verbose=False)
    network.train().to(memory_format=torch.channels_last)  # Lightning leaves the mode as it finds it
    loader = DataLoader(
        Radiographs(*train, recipe.augmentation, run.seed, recipe.borrowing),
        batch_size=recipe.batch_size,
        sampler=EpochOrder(len(train[1]), run.seed, lambda: _epochs_done(trainer), draw_weights),
        drop_last=True,
        num_workers=2,
        persistent_workers=True,
    )
    images, classes = validation
    validations = [
        DataLoader(TensorDataset(copy, classes), batch_size=VALIDATION_BATCH)
        for copy in (images, one_stress_each(images))
    ]
    if recipe.epochs * len(loader) < FEWEST_STEPS:
        raise ConfigurationError(
            f"{len(train[1])} training images make {len(loader)} batches of {recipe.batch_size} in each of "
            f"{recipe.epochs} epochs, and training needs {FEWEST_STEPS}: give more images or epochs"
        )
    counts = torch.bincount(train[1], minlength=max(2, len(recipe.outputs))).tolist()
    module = FineTuning(network, recipe, class_counts=counts, steps_per_epoch=len(loader), seed=run.seed)
    last = run.checkpoint
    if run.resume and not last.is_file():
        raise ConfigurationError(f"there is nothing to resume: {last} is missing")
    best = ModelCheckpoint(
        last.parent,
        filename="best",
        monitor=recipe.keep,
        mode=_mode(recipe),
        save_last=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    with warnings.catch_warnings():
        # In-memory loaders for validation need no workers.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        if any(stage.frozen_blocks for stage in recipe.stages):  # they stay in evaluation mode
            warnings.filterwarnings("ignore", message=".*module\\(s\\) in eval mode.*")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        # That of the run which is resumed.
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning 2.6 on torch 2.13 and later
        trainer = lightning.Trainer(
            max_epochs=recipe.epochs,
            accelerator="auto",
            devices=1,
            precision=_precision(run.precision),
            gradient_clip_val=recipe.gradient_clip or None,
            callbacks=[*_averaging(recipe), best, *_stopping(recipe), EpochTable(run.out), Progress(refresh_rate=5)],
            logger=_tensorboard(run),
            num_sanity_val_steps=0,
            log_every_n_steps=25,
            enable_model_summary=False,
        )
        trainer.fit(module, loader, validations, ckpt_path=last if run.resume else None, weights_only=True)
    kept = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "network."
    network.load_state_dict({key.removeprefix(prefix): v for key, v in kept.items() if key.startswith(prefix)})
    return network.cpu().eval()


def _epochs_done(trainer: Any) -> int:
    """Not ``current_epoch``: Lightning asks for a resumed epoch's order before it has counted up to that epoch."""
    return trainer.fit_loop.epoch_progress.current.processed


def _mode(recipe: Recipe) -> str:
    return "min" if recipe.keep == "val_loss" else "max"


def _averaging(recipe: Recipe) -> list[Callback]:
    return [EMAWeightAveraging(decay=recipe.ema_decay)] if recipe.ema_decay else []


def _stopping(recipe: Recipe) -> list[Callback]:
    if not recipe.early_stopping:
        return []
    return [EarlyStopping(recipe.keep, patience=recipe.early_stopping, mode=_mode(recipe), check_finite=True)]


def _tensorboard(run: Run) -> TensorBoardLogger | Literal[False]:
    return TensorBoardLogger(run.out, name="tensorboard", version="") if run.tensorboard else False


def _precision(wanted: Precision) -> Any:
    """Lightning's word for it. ``auto`` is the fastest that the machine computes itself."""
    if wanted != "auto":
        return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[wanted]
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    # Without AVX512_BF16 or AMX, bf16 on a CPU is emulated and slower than float32.
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
