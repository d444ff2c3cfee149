"""A short fit of both stages on the CPU, for small models and demonstrations.

What makes it short: the frame encoders keep their data-scaled random weights at first, so that their vectors are
computed once; the bottleneck is then fitted to tell the centre pixel, the decoder to give back the centre frame, and
only then all of it together. The fusion is fitted to give back the frozen encoders' bottlenecks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.engine.windows import BATCH, frame_vectors, run_windows
from models.frames import FRAMES, PATCH
from models.network import TwoStageModel
from models.training.losses import STAGE1, reconstruction_loss
from models.training.scenes import DECODED, RUN, TrainingScene, draw, targets

MIDDLE = (slice(None), 0, slice(None), PATCH // 2, PATCH // 2)

Report = Callable[[str, int, float], None]  # (phase, step, error)


@dataclass(frozen=True)
class Effort:
    """How long each phase of stage 1 is.

    Attributes
    ----------
    windows : int
        Windows whose frame vectors are computed once.
    bottleneck, decoder, joint : int
        Steps of the three phases, on 128, 16 and 16 windows each.
    """

    windows: int = 1200
    bottleneck: int = 500
    decoder: int = 200
    joint: int = 40


def fit_modality(
    model: TwoStageModel,
    modality: str,
    scenes: Sequence[TrainingScene],
    effort: Effort,
    *,
    seed: int = 0,
    report: Report | None = None,
) -> None:
    """Stage 1: fit one modality's encoder and decoder to reconstruct windows."""
    random = np.random.default_rng(seed)
    cache = _cache(model, modality, scenes, effort.windows, random)
    _fit_bottleneck(model, modality, cache, effort.bottleneck, random, report)
    _fit_decoder(model, modality, cache, effort.decoder, random, report)
    _fit_jointly(model, modality, scenes, effort.joint, random, report)


@dataclass(frozen=True)
class _Cache:
    """Windows with their frame vectors (n, 11, 256), gaps (n, 10), and the centre frame to give back."""

    vectors: Tensor
    gaps: Tensor
    target: Tensor
    valid: Tensor

    def draw(self, n: int, random: np.random.Generator) -> _Cache:
        chosen = torch.from_numpy(random.integers(len(self.gaps), size=n))
        return _Cache(self.vectors[chosen], self.gaps[chosen], self.target[chosen], self.valid[chosen])


def _cache(
    model: TwoStageModel, modality: str, scenes: Sequence[TrainingScene], windows: int, random: np.random.Generator
) -> _Cache:
    parts = []
    with torch.no_grad():
        for scene in scenes:
            drawn = draw(scene.windows, max(windows // (RUN * len(scenes)), 1), random)
            vectors = frame_vectors(model, modality, scene.patches[modality], drawn, BATCH)
            parts.append(
                (vectors, torch.from_numpy(drawn.gaps[modality]), *targets(scene.patches[modality], drawn, modality))
            )
    return _Cache(*map(torch.cat, zip(*parts, strict=True)))


def _fit_bottleneck(
    model: TwoStageModel, modality: str, cache: _Cache, steps: int, random: np.random.Generator, report: Report | None
) -> None:
    """Fit all behind the frame encoder so that a linear readout of the bottleneck tells the centre pixel."""
    encoder = model.encoder(modality)
    readout = nn.Linear(encoder.bottleneck.out_features, cache.target.shape[2])
    parameters = [p for name, p in encoder.named_parameters() if not name.startswith("frame.")]
    for step, optimiser in _steps([*parameters, *readout.parameters()], steps, rate=0.1):
        part = cache.draw(128, random)
        z = encoder.encode_vectors(part.vectors, part.gaps, model.card.attention)
        error = (readout(z) - part.target[MIDDLE]).abs()[part.valid[MIDDLE]].mean()
        _descend(error, [*parameters, *readout.parameters()], optimiser)
        if report:
            report(f"{modality} bottleneck", step, error.item())


def _fit_decoder(
    model: TwoStageModel, modality: str, cache: _Cache, steps: int, random: np.random.Generator, report: Report | None
) -> None:
    """Fit the decoder to give back the centre frame from the bottleneck as it is."""
    encoder, decoder = model.encoder(modality), model.decoders[modality]
    parameters = list(decoder.parameters())
    for step, optimiser in _steps(parameters, steps, rate=0.03):
        part = cache.draw(16, random)
        with torch.no_grad():
            z = encoder.encode_vectors(part.vectors, part.gaps, model.card.attention)
        loss = _centred_loss(decoder(z, part.gaps, encoder.context, DECODED), part.target, part.valid)
        _descend(loss["total"], parameters, optimiser)
        if report:
            report(f"{modality} decoder", step, loss["center"].item())


def _fit_jointly(
    model: TwoStageModel,
    modality: str,
    scenes: Sequence[TrainingScene],
    steps: int,
    random: np.random.Generator,
    report: Report | None,
) -> None:
    """Fit encoder and decoder together, the frame encoder now included, on fresh windows."""
    encoder, decoder = model.encoder(modality), model.decoders[modality]
    parameters = [*encoder.parameters(), *decoder.parameters()]
    for step, optimiser in _steps(parameters, steps, rate=0.01):
        scene = scenes[int(random.integers(len(scenes)))]
        windows = draw(scene.windows, 8, random)
        gaps = torch.from_numpy(windows.gaps[modality])
        vectors = frame_vectors(model, modality, scene.patches[modality], windows, BATCH)
        z = encoder.encode_vectors(vectors, gaps, model.card.attention)
        target, valid = targets(scene.patches[modality], windows, modality)
        loss = _centred_loss(decoder(z, gaps, encoder.context, DECODED), target, valid)
        _descend(loss["total"], parameters, optimiser)
        if report:
            report(f"{modality} joint", step, loss["center"].item())


def fit_fusion(
    model: TwoStageModel,
    scenes: Sequence[TrainingScene],
    windows: int,
    steps: int,
    *,
    rate: float = 0.1,
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
            report("fusion", step, loss.item())


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
            part = draw(scene.windows, max(windows // (RUN * len(scenes)), 1), random)
            values = run_windows(model, scene.cubes, part)
            embedding = torch.from_numpy(values["embedding"])
            for m in rows:
                target, valid = targets(scene.patches[m], part, m)
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
    # Adam moves all weights of a neuron by about its rate, and together: what that adds to its output grows with their
    # number. So the rate is divided by it (as in Yang et al. 2022), or the wide layers would run ahead of the others.
    rates = [rate / (p[0].numel() if p.ndim > 1 else 10) for p in parameters]
    optimiser = torch.optim.AdamW([{"params": [p], "lr": r} for p, r in zip(parameters, rates, strict=True)])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps + 1, pct_start=0.1)
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


def _centred_loss(output: Tensor, target: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """The loss of stage 1 on the decoded frames, the others counting as invalid."""
    padding = (0, 0, 0, 0, 0, 0, DECODED.start, FRAMES - DECODED.stop)
    return reconstruction_loss(F.pad(output, padding), F.pad(target, padding), F.pad(valid, padding), STAGE1)


def _bottlenecks(
    model: TwoStageModel, scenes: Sequence[TrainingScene], windows: int, random: np.random.Generator
) -> tuple[dict[str, Tensor], Tensor]:
    parts = []
    for scene in scenes:
        drawn = draw(scene.windows, max(windows // (RUN * len(scenes)), 1), random)
        parts.append((run_windows(model, scene.cubes, drawn), drawn.delta))
    z = {m: torch.cat([torch.from_numpy(values[m]) for values, _ in parts]) for m in model.encoders}
    return z, torch.from_numpy(np.concatenate([delta for _, delta in parts]))
