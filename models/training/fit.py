"""A short fit of both stages on the CPU, for small models and demonstrations.

Three economies make it short. Windows are drawn as runs along a pixel's series, so that they share frame vectors.
Only the centre frame is decoded: the loss gives its neighbours a tenth and the others less. The fusion is fitted to
give back the frozen encoders' bottlenecks, which are computed once, instead of whole windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.embed import list_windows
from models.engine.patches import Patches, make_patches
from models.engine.windows import BATCH, frame_vectors, run_windows
from models.frames import FRAMES, WindowList
from models.network import TwoStageModel
from models.training.losses import STAGE1, reconstruction_loss

DECODED = slice(FRAMES // 2, FRAMES // 2 + 1)
RUN = 2  # windows drawn together from one pixel's series

Report = Callable[[str, int, float], None]  # (stage, step, centre error or loss)


@dataclass(frozen=True)
class TrainingScene:
    """A scene ready to draw windows from.

    Attributes
    ----------
    cubes : mapping of modality to (channels, t, y, x) float32
        Preprocessed, NaN = missing.
    patches : mapping of modality to Patches
    windows : WindowList
        By the frame rule `local`.
    """

    cubes: Mapping[str, NDArray[np.float32]]
    patches: Mapping[str, Patches]
    windows: WindowList


def make_scene(
    model: TwoStageModel, cubes: Mapping[str, NDArray[np.float32]], times: Mapping[str, NDArray[np.datetime64]]
) -> TrainingScene:
    """Prepare one scene of preprocessed cubes (channels, t, y, x) and their times."""
    ordered = {m.id: cubes[m.id] for m in model.card.modalities}
    wanted = np.ones(len(times[model.card.reference]), bool)
    windows = list_windows(model, ordered, times, "local", wanted)
    return TrainingScene(ordered, {m: make_patches(c, model.device) for m, c in ordered.items()}, windows)


def initialise(model: TwoStageModel, scenes: Sequence[TrainingScene], runs: int = 12, seed: int = 0) -> None:
    """Draw weights, then scale them by data: every layer's outputs get mean 0 and deviation 1 (Kraehenbuehl 2016).

    With torch's defaults the differences between windows shrink from layer to layer against what they have in common,
    and a short fit learns the mean alone. The last layer gets the mean and deviation of the values to reconstruct.
    """
    random = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "table" not in name and "types" not in name:
            parameter.data.normal_(0, (2 / parameter[0].numel()) ** 0.5, generator=generator)
        elif name.endswith("bias"):
            parameter.data.zero_()
    scene = scenes[0]
    windows = _draw(scene.windows, runs, random)
    for m in model.encoders:
        encoder, decoder = model.encoder(m), model.decoders[m]
        target, valid = _targets(scene.patches[m], windows, m)
        last = _moments(torch.where(valid, target, torch.nan).flatten(0, 1), 1)
        hooks = [
            layer.register_forward_hook(_standardise(last if name == "frame.refine2" else None))
            for part in (encoder, decoder)
            for name, layer in part.named_modules()
            if isinstance(layer, _LAYERS) and "attention" not in name and "layers" not in name
        ]
        gaps = torch.from_numpy(windows.gaps[m])
        with torch.no_grad():
            vectors = frame_vectors(model, m, scene.patches[m], windows, batch=10**6)
            decoder(encoder.encode_vectors(vectors, gaps, model.card.attention), gaps, encoder.context, DECODED)
        for hook in hooks:
            hook.remove()


_LAYERS = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)


def _standardise(wanted: tuple[Tensor, Tensor] | None) -> Callable[..., Tensor]:
    """A forward hook that scales a layer so that its outputs have the `wanted` mean and deviation."""

    def hook(layer: torch.nn.Module, _: object, out: Tensor) -> Tensor:
        channel = 1 if out.ndim == 4 else out.ndim - 1
        mean, deviation = _moments(out, channel)
        to_mean, to_deviation = wanted or (torch.zeros_like(mean), torch.ones_like(deviation))
        scale = to_deviation / deviation.clamp(min=1e-4)
        weight, bias = layer.weight, layer.bias
        assert isinstance(weight, Tensor)  # for the type checker
        assert isinstance(bias, Tensor)
        outputs = 1 if isinstance(layer, torch.nn.ConvTranspose2d) else 0
        weight.data *= scale.view([-1 if d == outputs else 1 for d in range(weight.ndim)])
        bias.data = (bias.data - mean) * scale + to_mean
        shape = [-1 if d == channel else 1 for d in range(out.ndim)]
        return (out - mean.view(shape)) * scale.view(shape) + to_mean.view(shape)

    return hook


def _moments(values: Tensor, channel: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the values of each channel, NaN left out."""
    flat = values.movedim(channel, 0).flatten(1)
    mean = flat.nanmean(1)
    return mean, (flat - mean[:, None]).square().nanmean(1).sqrt()


def fit_modality(
    model: TwoStageModel,
    modality: str,
    scenes: Sequence[TrainingScene],
    steps: int,
    *,
    runs: int = 8,
    rate: float = 1e-3,
    seed: int = 0,
    bf16: bool = False,
    report: Report | None = None,
) -> None:
    """Stage 1: fit one modality's encoder and decoder to reconstruct windows, `steps` times `runs` x 2 of them.

    With `bf16` the matrix products are computed in bfloat16, twice as fast on CPUs that know it.
    """
    encoder, decoder = model.encoder(modality), model.decoders[modality]
    parameters = [*encoder.parameters(), *decoder.parameters()]
    random = np.random.default_rng(seed)
    for step, optimiser in _steps(parameters, steps, rate):
        scene = scenes[int(random.integers(len(scenes)))]
        windows = _draw(scene.windows, runs, random)
        gaps = torch.from_numpy(windows.gaps[modality])
        # Entered anew for each step: autocast keeps the cast weights until it is left, and would never see the update.
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            vectors = frame_vectors(model, modality, scene.patches[modality], windows, BATCH)
            z = encoder.encode_vectors(vectors, gaps, model.card.attention)
            output = decoder(z, gaps, encoder.context, DECODED)
        target, valid = _targets(scene.patches[modality], windows, modality)
        loss = _centred_loss(output.float(), target, valid)
        _descend(loss["total"], parameters, optimiser)
        if report:
            report(f"stage 1 {modality}", step, loss["center"].item())


def fit_fusion(
    model: TwoStageModel,
    scenes: Sequence[TrainingScene],
    windows: int,
    steps: int,
    *,
    rate: float = 2e-3,
    seed: int = 0,
    report: Report | None = None,
) -> None:
    """Stage 2: fit fusion and heads to give back the frozen encoders' bottlenecks of `windows` drawn windows."""
    random = np.random.default_rng(seed)
    z, delta = _bottlenecks(model, scenes, windows, random)
    # A number that hardly varies says nothing: it must not outweigh the others.
    spread = {m: v.std(0).clamp(min=0.1 * float(v.std(0).max())) for m, v in z.items()}
    parameters = [*model.fusion.parameters(), *model.heads.parameters()]
    for step, optimiser in _steps(parameters, steps, rate):
        chosen = torch.from_numpy(random.integers(len(delta), size=256))
        embedding = model.fusion({m: v[chosen] for m, v in z.items()}, delta[chosen])
        losses = [F.smooth_l1_loss(model.heads[m](embedding) / spread[m], v[chosen] / spread[m]) for m, v in z.items()]
        loss = torch.stack(losses).mean()
        _descend(loss, parameters, optimiser)
        if report:
            report("stage 2", step, loss.item())


def center_errors(
    model: TwoStageModel, scenes: Sequence[TrainingScene], windows: int, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Mean absolute error at the valid values of the centre pixel, after stage 1 and after the fusion.

    Returns
    -------
    dict
        By modality: ``stage1`` and ``fusion``, in preprocessed units, and ``mean``, the error of a constant guess.
    """
    random = np.random.default_rng(seed)
    rows: dict[str, list[tuple[Tensor, ...]]] = {m: [] for m in model.encoders}
    with torch.inference_mode():
        for scene in scenes:
            part = _draw(scene.windows, max(windows // (RUN * len(scenes)), 1), random)
            values = run_windows(model, scene.cubes, part)
            embedding = torch.from_numpy(values["embedding"])
            for m in rows:
                target, valid = _targets(scene.patches[m], part, m)
                gaps, context = torch.from_numpy(part.gaps[m]), model.encoder(m).context
                both = [torch.from_numpy(values[m]), model.heads[m](embedding)]
                decoded = [model.decoders[m](z, gaps, context, DECODED)[:, 0, :, 7, 7] for z in both]
                rows[m].append((target[:, 0, :, 7, 7], valid[:, 0, :, 7, 7], *decoded))
    return {m: _errors(*map(torch.cat, zip(*r, strict=True))) for m, r in rows.items()}


def _errors(target: Tensor, valid: Tensor, stage1: Tensor, fusion: Tensor) -> dict[str, float]:
    n = valid.sum(0).clamp(min=1)
    guess = torch.where(valid, target, 0).sum(0) / n

    def error(output: Tensor) -> float:
        return float((output - target).abs()[valid].mean())

    return {"stage1": error(stage1), "fusion": error(fusion), "mean": error(guess.expand_as(target))}


def _steps(
    parameters: Sequence[torch.nn.Parameter], steps: int, rate: float
) -> Iterator[tuple[int, torch.optim.Optimizer]]:
    """Yield the steps of one warm-up and decay of the learning rate."""
    for p in parameters:
        p.requires_grad_(True)
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=1.5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1, pct_start=0.15)
    for step in range(steps):
        yield step, optimiser
        schedule.step()
    for p in parameters:
        p.requires_grad_(False)


def _descend(loss: Tensor, parameters: Sequence[torch.nn.Parameter], optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()


def _draw(windows: WindowList, runs: int, random: np.random.Generator) -> WindowList:
    """Draw `runs` runs of consecutive windows of one pixel each (fewer where its series ends)."""
    chosen = np.zeros(len(windows), bool)
    for start in random.integers(len(windows), size=runs):
        run = np.arange(start, min(start + RUN, len(windows)))
        same = (windows.row[run] == windows.row[start]) & (windows.column[run] == windows.column[start])
        chosen[run[same]] = True
    return windows.take(np.flatnonzero(chosen))


def _targets(patches: Patches, windows: WindowList, modality: str) -> tuple[Tensor, Tensor]:
    """The decoded frame's values and where they are valid, (n, 1, channels, 15, 15)."""
    frames = torch.from_numpy(windows.frames[modality][:, DECODED])
    index = (frames, torch.from_numpy(windows.row)[:, None], torch.from_numpy(windows.column)[:, None])
    return patches.values[index], ~patches.missing[index]


def _centred_loss(output: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """The loss of stage 1 on the decoded frames, the others counting as invalid."""
    padding = (0, 0, 0, 0, 0, 0, DECODED.start, FRAMES - DECODED.stop)
    return reconstruction_loss(F.pad(output, padding), F.pad(target, padding), F.pad(valid, padding), STAGE1)


def _bottlenecks(
    model: TwoStageModel, scenes: Sequence[TrainingScene], windows: int, random: np.random.Generator
) -> tuple[dict[str, Tensor], Tensor]:
    parts = []
    for scene in scenes:
        drawn = _draw(scene.windows, max(windows // (RUN * len(scenes)), 1), random)
        parts.append((run_windows(model, scene.cubes, drawn), drawn.delta))
    z = {m: torch.cat([torch.from_numpy(values[m]) for values, _ in parts]) for m in model.encoders}
    return z, torch.from_numpy(np.concatenate([delta for _, delta in parts]))
