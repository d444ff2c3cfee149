"""The training loop, on Lightning. Only imported where something is trained."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from safetensors.torch import save_file
from torch import Tensor, nn

from models.training.batches import WindowBatch
from models.training.config import TrainingConfig
from models.training.errors import TrainingError
from models.training.feeding import Feeder
from models.training.log import Log, plot
from models.training.tasks import FusionTask, ModalityTask

MONITOR = "validation"
LAST, BEST, BAD_BATCH = "last.ckpt", "best.safetensors", "bad_batch.safetensors"


class Loop(L.LightningModule):
    """A task in Lightning's hands.

    Whatever is random in a step follows from the seed and the step's number alone: a run that was killed goes on as
    if nothing had been.
    """

    def __init__(self, task: ModalityTask | FusionTask, config: TrainingConfig, folder: Path, log: Log) -> None:
        super().__init__()
        self.task, self.config, self.folder, self.rows = task, config, folder, log
        self.feeder: Feeder | None = None
        self._sums: dict[str, list[Tensor]] = {}
        self._recent: list[dict[str, float]] = []
        self._clock = (time.monotonic(), 0.0)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, then either schedule; see `TrainingConfig`."""
        config = self.config
        groups = [{"params": [p], "lr": _rate(p, config)} for p in self.task.trained()]
        optimiser = torch.optim.AdamW(groups, config.rate, weight_decay=config.weight_decay)
        if config.schedule == "cosine":
            schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _cosine(config))
            return [optimiser], [{"scheduler": schedule, "interval": "step"}]
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=config.factor, patience=config.patience, min_lr=config.least_rate, eps=0.0
        )
        schedules = [{"scheduler": plateau, "interval": "epoch", "monitor": MONITOR}]
        if config.warmup:
            warmup = torch.optim.lr_scheduler.LinearLR(optimiser, 0.001, total_iters=config.warmup)
            schedules.append({"scheduler": warmup, "interval": "step"})
        return [optimiser], schedules

    def on_train_batch_start(self, batch: WindowBatch, batch_idx: int) -> None:
        """Set the mode, which Lightning sets for frozen parts, too, and seed what the step draws."""
        self.task.arrange(self.config.dropout)
        torch.manual_seed(self.config.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        """Return the loss of a batch; `TrainingError` where it is no number."""
        losses = self.task.losses(batch)
        total = losses["total"]
        if not torch.isfinite(total):
            raise self._bad(batch, float(total.detach()))
        row = {"loss": float(total.detach())}
        if "center" in losses:
            row["center"] = float(losses["center"].detach())
        self._recent.append(row)
        self.log("loss", row["loss"], prog_bar=True, logger=False, batch_size=len(batch))
        return total

    def on_train_batch_end(self, outputs: Any, batch: WindowBatch, batch_idx: int) -> None:
        """Write a row of the log now and then."""
        if self.global_step % self.config.log == 0:
            self.write_row()

    def write_row(self) -> None:
        """Write the mean of the steps since the last row."""
        if not self._recent:
            return
        assert self.feeder is not None  # for the type checker: there are steps
        (before, waited), now = self._clock, time.monotonic()
        self._clock = (now, self.feeder.waited)
        mean = {k: sum(r[k] for r in self._recent) / len(self._recent) for k in self._recent[0]}
        share = (self.feeder.waited - waited) / max(now - before, 1e-9)
        # Of `by_width` the rate before it is divided: the schedule, not one layer's share.
        scale = self.optimizers().param_groups[0]["lr"] / _rate(next(iter(self.task.trained())), self.config)  # type: ignore[union-attr]
        rate = scale * self.config.rate
        self.rows.write({"step": self.global_step, "epoch": self.current_epoch, **mean, "rate": rate, "waited": share})
        self._recent = []

    def validation_step(self, batch: WindowBatch, batch_idx: int) -> None:
        """Add up the errors of a validation batch."""
        for m, sums in self.task.errors(batch).items():
            self._sums.setdefault(m, []).append(torch.stack([s.double().cpu() for s in sums]))

    def on_validation_epoch_end(self) -> None:
        """Write the errors' means to the log."""
        errors = means(self._sums)
        self._sums = {}
        value = sum(errors.values()) / len(errors)
        self.log(MONITOR, value, prog_bar=True, logger=False)
        named = {f"{MONITOR}_{m}": e for m, e in errors.items()}
        self.rows.write({"step": self.global_step, "epoch": self.current_epoch, MONITOR: value, **named})

    def _bad(self, batch: WindowBatch, loss: float) -> TrainingError:
        save_file(batch.to("cpu").tensors(), self.folder / BAD_BATCH)
        return TrainingError(
            f"The loss is {loss} at step {self.global_step}; the batch is saved in {self.folder / BAD_BATCH}. Either "
            "the rate is too high: begin a new run with a lower --rate; or the cubes hold values that are not what the "
            "modality's preprocessing expects: mend them, then --resume goes on from the last checkpoint"
        )


class Keeper(Callback):
    """Keeps the last checkpoint and the weights with the least validation error, each replaced in one step."""

    def __init__(self, folder: Path, every: int) -> None:
        self.folder, self.every, self.best = folder, every, math.inf

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what a run knew."""
        self.best = state_dict["best"]

    def on_train_batch_end(self, trainer: L.Trainer, loop: L.LightningModule, *_: Any) -> None:
        """Keep a checkpoint: inside an epoch, where Lightning's own state is plain, and early in each."""
        epoch = int(trainer.num_training_batches)
        within = trainer.global_step % epoch
        if within and (trainer.global_step % self.every == 0 or within == 1):
            part = self.folder / f".{LAST}"
            trainer.save_checkpoint(part, weights_only=False)  # the optimiser, too
            part.replace(self.folder / LAST)

    def on_validation_end(self, trainer: L.Trainer, loop: L.LightningModule) -> None:
        """Keep the weights where they are better than before; draw the curves."""
        assert isinstance(loop, Loop)  # for the type checker
        self.offer(float(trainer.callback_metrics[MONITOR]), loop.task)
        plot(self.folder)

    def offer(self, error: float, task: nn.Module) -> None:
        """Keep a task's weights if their error is the least so far."""
        if error < self.best:
            self.best = error
            part = self.folder / f".{BEST}"
            save_file({k: v.detach().cpu().contiguous() for k, v in task.state_dict().items()}, part)
            part.replace(self.folder / BEST)


def make_trainer(config: TrainingConfig, keeper: Keeper, *, validates: bool, progress: bool) -> L.Trainer:
    """Set Lightning up for a run, without its advertisements."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    callbacks: list[Callback] = [keeper]
    if config.schedule == "plateau" and validates:
        callbacks.append(EarlyStopping(MONITOR, patience=config.stop_after))
    return L.Trainer(
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if config.precision == "bf16" else "32-true",
        max_steps=config.steps or -1,
        max_epochs=-1,
        gradient_clip_val=config.clip,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=os.fspath(keeper.folder),
    )


def means(sums: dict[str, list[Tensor]]) -> dict[str, float]:
    """Mean errors by modality from sums and numbers."""
    totals = {m: torch.stack(parts).sum(0) for m, parts in sums.items()}
    return {m: float(t[0] / t[1].clamp(min=1)) for m, t in totals.items()}


def evaluate(task: ModalityTask | FusionTask, batches: Sequence[WindowBatch]) -> dict[str, float]:
    """Mean absolute error at the centre's valid values by modality, in preprocessed units."""
    task.arrange(training=False)
    device = next(task.parameters()).device
    sums: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        for batch in batches:
            for m, pair in task.errors(batch.to(device)).items():
                sums.setdefault(m, []).append(torch.stack([p.double().cpu() for p in pair]))
    return means(sums)


def _rate(parameter: nn.Parameter, config: TrainingConfig) -> float:
    if config.rates == "equal":
        return config.rate
    return config.rate / (parameter[0].numel() if parameter.ndim > 1 else 10)


def _cosine(config: TrainingConfig) -> Any:
    def scale(step: int) -> float:
        if step < config.warmup:
            return 0.001 + 0.999 * step / config.warmup
        done = min((step - config.warmup) / (config.steps - config.warmup), 1.0)
        return 0.5 * (1 + math.cos(math.pi * done))

    return scale
