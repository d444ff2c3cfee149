"""A beginning for the fusion: it gives back the encoders' bottlenecks before it gives back images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.training.batches import WindowSource
from models.training.tasks import FusionTask, encode

BATCH = 256


def match_bottlenecks(
    task: FusionTask,
    source: WindowSource,
    *,
    batches: int = 24,
    steps: int = 3000,
    rate: float = 0.1,
    seed: int = 0,
    precision: str = "fp32",
) -> float:
    """Fit fusion and heads to the bottlenecks of some training batches, which are computed once; return the last loss.

    Cheap, because nothing is decoded: a tenth of a second per hundred steps, against seconds with decoders.
    """
    z, delta, present = _bottlenecks(task, source, batches, precision)
    model = task.model
    # A number that hardly varies says nothing: it must not outweigh the others.
    spread = {m: v.std(0).clamp(min=0.1 * float(v.std(0).max())) for m, v in z.items()}
    parameters = [*model.fusion.parameters(), *model.heads.parameters()]
    rates = [rate / (p[0].numel() if p.ndim > 1 else 10) for p in parameters]
    optimiser = torch.optim.AdamW([{"params": [p], "lr": r} for p, r in zip(parameters, rates, strict=True)])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps + 1, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    last = 0.0
    task.train(False)
    for _ in range(steps):
        rows = torch.randint(len(delta), (BATCH,), generator=generator).to(delta.device)
        seen = {m: present[m][rows] for m in task.optional}
        embedding = model.fusion({m: v[rows] for m, v in z.items()}, delta[rows], seen or None)
        losses = []
        for m, v in z.items():
            own = rows if m not in seen else rows[seen[m]]
            out = model.heads[m](embedding if m not in seen else embedding[seen[m]])
            if len(own):
                losses.append(F.smooth_l1_loss(out / spread[m], v[own] / spread[m]))
        loss = torch.stack(losses).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        last = float(loss.detach())
    return last


@torch.no_grad()
def _bottlenecks(
    task: FusionTask, source: WindowSource, batches: int, precision: str
) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
    task.train(False)
    model, rows = task.model, []
    for step in range(batches):
        batch = source.batch(step).to(model.device)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
            z = {
                m: encode(model.encoder(m), batch.filled(m)[0], batch, m, model.card.attention).float()
                for m in model.encoders
            }
        rows.append((z, batch.delta.flatten(), {m: p.flatten() for m, p in batch.present.items()}))
    ids = list(model.encoders)
    joined = {m: torch.cat([z[m] for z, _, _ in rows]) for m in ids}
    present = {m: torch.cat([p[m] for _, _, p in rows]) for m in ids}
    return joined, torch.cat([d for _, d, _ in rows]), present
