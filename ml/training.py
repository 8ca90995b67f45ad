"""One trainer for every recipe: patient-grouped split in, best averaged weights out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import BinaryAUROC
from torchvision.transforms import v2

from core.errors import ConfigurationError
from ml.data import Radiographs
from ml.networks import Network
from ml.recipe import Recipe
from ml.stress import STRESSES

VALIDATION_BATCH = 64
FEWEST_STEPS = 4
"""Below this the schedule has no room to rise and fall."""


class FineTuning(lightning.LightningModule):
    """Class-weighted cross-entropy on MixUp batches; validation on every stress copy."""

    network: Network
    loss: nn.BCEWithLogitsLoss
    auc: Any

    def __init__(self, network: Network, recipe: Recipe, *, class_counts: Sequence[int], steps: int) -> None:
        super().__init__()
        self.network, self.recipe, self.steps = network, recipe, steps
        negatives, positives = class_counts
        self.loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(negatives / positives))
        self.mixup = v2.MixUp(num_classes=2, alpha=recipe.mixup_alpha)
        self.auc = nn.ModuleDict({name: BinaryAUROC() for name in STRESSES})

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _index: int) -> torch.Tensor:
        images, targets = self.mixup(*batch)
        smoothing = self.recipe.label_smoothing
        targets = targets[:, 1] * (1.0 - smoothing) + smoothing / 2.0
        loss = self.loss(self.network(images).squeeze(1), targets)
        self.log("train_loss", loss, prog_bar=True, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], _index: int, dataloader_idx: int = 0) -> None:
        images, labels = batch
        logits = self.network(images.float() / 255.0).squeeze(1).float()
        name = list(STRESSES)[dataloader_idx]
        self.auc[name].update(logits, labels)
        if name == "plain":
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels.float())
            self.log("val_loss", loss, on_epoch=True, add_dataloader_idx=False)

    def on_validation_epoch_end(self) -> None:
        scores = {name: metric.compute() for name, metric in self.auc.items()}
        for metric in self.auc.values():
            metric.reset()
        self.log_dict({f"val_auc_{name}": score for name, score in scores.items()})
        self.log("val_auc", scores["plain"], prog_bar=True)
        self.log("val_auc_stressed", torch.stack(list(scores.values())).mean(), prog_bar=True)

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.network.backbone.parameters() if p.requires_grad]},
            {"params": self.network.head.parameters()},
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[recipe.backbone_learning_rate, recipe.head_learning_rate],
            total_steps=self.steps,
            pct_start=max(0.1, 2 / self.steps),  # at least one step of warm-up
            cycle_momentum=False,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Progress(TQDMProgressBar):
    """One bar per epoch; a dozen bars for the stress copies would hide it."""

    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True)


def fit(
    recipe: Recipe,
    network: Network,
    train: tuple[torch.Tensor, torch.Tensor],
    validation: tuple[torch.Tensor, torch.Tensor],
    *,
    epochs: int,
    seed: int,
    out: Path,
) -> Network:
    """Train ``network`` in place and return it in evaluation mode with its best averaged weights.

    Best is the highest mean AUC over the stress copies of the validation images; ``out/metrics.csv`` gets the curves.

    Args:
        train, validation: images (N, 1, S, S) uint8 and labels (N,) int64.

    Raises:
        ConfigurationError: too few images for a schedule.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    lightning.seed_everything(seed, workers=True, verbose=False)
    network.freeze(recipe.frozen_blocks)
    network.to(memory_format=torch.channels_last)
    loader = DataLoader(
        Radiographs(*train, recipe.augmentation),
        batch_size=recipe.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=2,
        persistent_workers=True,
    )
    images, labels = validation
    stressed = [
        DataLoader(TensorDataset(stress(images), labels), batch_size=VALIDATION_BATCH) for stress in STRESSES.values()
    ]
    steps = epochs * len(loader)
    if steps < FEWEST_STEPS:
        raise ConfigurationError(
            f"{len(train[1])} training images make {steps} batches of {recipe.batch_size} in {epochs} epochs, and "
            f"training needs {FEWEST_STEPS}: give more images or epochs"
        )
    module = FineTuning(network, recipe, class_counts=torch.bincount(train[1], minlength=2).tolist(), steps=steps)
    with TemporaryDirectory() as scratch, warnings.catch_warnings():
        # In-memory loaders for validation need no workers.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # The frozen blocks stay in evaluation mode on purpose.
        warnings.filterwarnings("ignore", message=".*module\\(s\\) in eval mode.*")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning 2.6 on torch 2.13 and later
        best = ModelCheckpoint(scratch, monitor="val_auc_stressed", mode="max", save_weights_only=True)
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="auto",
            devices=1,
            precision=_precision(),
            callbacks=[EMAWeightAveraging(decay=recipe.ema_decay), best, Progress(refresh_rate=5)],
            logger=CSVLogger(out, name="", version=""),
            num_sanity_val_steps=0,
            log_every_n_steps=25,
            enable_model_summary=False,
        )
        trainer.fit(module, loader, stressed)
        checkpoint = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    prefix = "network."
    network.load_state_dict(
        {key.removeprefix(prefix): value for key, value in checkpoint["state_dict"].items() if key.startswith(prefix)}
    )
    return network.cpu().eval()


def _precision() -> Any:
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    # Without AVX512_BF16 or AMX, bf16 on a CPU is emulated and slower than float32.
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"
