"""A training run: a folder with settings, log, curves, checkpoints; begun, resumed, ended."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from models.training.batches import WindowSource
from models.training.config import CONFIG_FILE, TrainingConfig, check_config, save_config
from models.training.errors import TrainingError
from models.training.feeding import Feeder, Given
from models.training.kernels import without_wide_kernels
from models.training.log import Log, plot
from models.training.tasks import FusionTask, ModalityTask

# What Lightning is surprised at: frozen parts, no validation, and its own use of torch.
USUAL = (".*in eval mode.*", ".*have no `val_dataloader`.*", ".*LeafSpec.*")
FULL = ("out of memory", "can't allocate memory", "DefaultCPUAllocator")


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes
    ----------
    errors : dict
        By modality the mean absolute error at the centre of the validation windows; empty without any.
    steps : int
    seconds : float
        Of this run; not of what it resumed.
    waited : float
        Share of the time that the network waited for data.
    """

    errors: dict[str, float]
    steps: int
    seconds: float
    waited: float


def train(
    task: ModalityTask | FusionTask,
    source: WindowSource,
    config: TrainingConfig,
    folder: Path,
    *,
    about: dict[str, Any] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Outcome:
    """Fit a task; its weights are then those with the least validation error (without validation, the last).

    Parameters
    ----------
    folder : Path
        Of the run. Gets `config.json`, `metrics.csv`, `curves.png`, `last.ckpt`, `best.safetensors`.
    about : dict, optional
        What else `config.json` is to say; a resumed run must be about the same.
    resume : bool
        Go on where a run in `folder` stopped. Without, the folder must hold no run.

    Raises
    ------
    TrainingError
        The settings differ from those of the run that is resumed, there are no windows, the loss is no number, or
        memory is not enough; the message says what to change. Also where Lightning is not installed.
    """
    loop_module = _loop_module()
    validation = source.validation()
    if config.schedule == "plateau" and not validation:
        raise TrainingError(
            "The schedule 'plateau' goes by the validation error, and nothing is held out: hold out blocks and "
            "--validation-windows, or choose --schedule cosine with --steps"
        )
    checkpoint = _prepare(folder, config, about or {}, resume)
    log = Log(folder, _modalities(task))
    loop = loop_module.Loop(task, config, folder, log)
    keeper = loop_module.Keeper(folder, config.keep)
    trainer = loop_module.make_trainer(config, keeper, validates=bool(validation), progress=progress)
    loop.feeder = Feeder(source, max(config.epoch or source.steps_per_epoch, 2), lambda: trainer.global_step)
    log.begin(_steps_of(checkpoint))
    begin = time.monotonic()
    task.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with _remedies(folder), without_wide_kernels(task, not config.wide_kernels):
        trainer.fit(
            loop, loop.feeder, Given(validation) if validation else None, ckpt_path=checkpoint, weights_only=True
        )
        loop.write_row()
    seconds = time.monotonic() - begin
    errors = loop_module.evaluate(task, validation)
    if errors:
        mean = sum(errors.values()) / len(errors)
        keeper.offer(mean, task)
        named = {f"validation_{m}": e for m, e in errors.items()}
        log.write({"step": trainer.global_step, "epoch": trainer.current_epoch, "validation": mean, **named})
        task.load_state_dict(load_file(folder / loop_module.BEST))
        errors = loop_module.evaluate(task, validation)
    plot(folder)
    return Outcome(errors, trainer.global_step, seconds, loop.feeder.waited / max(seconds, 1e-9))


def _loop_module() -> Any:
    try:
        from models.training import loop
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("lightning", "pytorch_lightning", "matplotlib"):
            raise
        raise TrainingError("Training needs Lightning and Matplotlib: pip install 'openeo-embed[train]'") from error
    return loop


def _prepare(folder: Path, config: TrainingConfig, about: dict[str, Any], resume: bool) -> Path | None:
    """Make or check a run's folder; return the checkpoint to go on from."""
    begun = (folder / CONFIG_FILE).exists()
    if not resume:
        if begun:
            raise TrainingError(f"{folder} holds a run already: go on with --resume, or choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        save_config(folder, config, about)
        return None
    if not begun:
        raise TrainingError(f"There is no run to resume in {folder}")
    check_config(folder, config, about)
    checkpoint = folder / "last.ckpt"
    return checkpoint if checkpoint.exists() else None


def _steps_of(checkpoint: Path | None) -> int:
    if checkpoint is None:
        return 0
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])


def _modalities(task: ModalityTask | FusionTask) -> tuple[str, ...]:
    return tuple(task.model.encoders) if isinstance(task, FusionTask) else (task.modality.id,)


@contextmanager
def _remedies(folder: Path) -> Iterator[None]:
    """Turn running out of memory into a sentence that says what to do."""
    try:
        with warnings.catch_warnings():
            for message in USUAL:
                warnings.filterwarnings("ignore", message)
            yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not any(text in str(error) for text in FULL):
            raise
        raise TrainingError(
            "Out of memory: lower --batch or --decoded (the frames of a window that are decoded), or use --precision "
            f"bf16; then begin a new run, or --resume {folder} on a larger machine"
        ) from error
