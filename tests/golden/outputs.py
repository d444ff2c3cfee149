"""What the code makes of the seeded weights and inputs."""

from __future__ import annotations

import numpy as np
import torch

from models import embed_cube
from models.preprocessing import nearest_earlier_on_tie
from tests.golden.seeded import seeded_cube, seeded_model, seeded_windows, with_attention


def compute_outputs() -> dict[str, np.ndarray]:
    """Return patches in all attention modes with samples of the decoders', and a cube under both frame rules."""
    model = seeded_model()
    outputs = {}
    for axis in ("frames", "self", "batch"):
        outputs.update({f"{axis}_{name}": v for name, v in _patches(model, axis).items()})
    cube = seeded_cube()
    pair = nearest_earlier_on_tie(cube["time"], cube["s1_time"])
    for attention in ("frames", "self"):
        own = with_attention(model, attention)
        outputs[f"{attention}_cube"] = embed_cube(
            own,
            {"s2": cube["s2"][..., 5:21], "s1": cube["s1"][:, pair][..., 5:21]},
            {"s2": cube["time"], "s1": cube["s1_time"][pair]},
            frames="cube",
        )
    times = {"s2": cube["time"], "s1": cube["s1_time"]}
    outputs["local_cube"] = embed_cube(model, {"s2": cube["s2"], "s1": cube["s1"]}, times, frames="local")
    return outputs


def _patches(model, axis: str) -> dict[str, np.ndarray]:
    windows = {name: torch.from_numpy(v) for name, v in seeded_windows().items()}
    gaps = {m: windows[f"gaps_{m}"] for m in ("s1", "s2")}
    z = model.encode({m: windows[m] for m in gaps}, gaps, axis)
    embedding = model.fusion(z, windows["delta"])
    decoded = model.decode(embedding, gaps)
    samples = {f"recon_{m}": d[:, ::5, :, ::7, ::7] for m, d in decoded.items()}  # kilobytes, not megabytes
    outputs = {"embedding": embedding, **{f"z_{m}": v for m, v in z.items()}, **samples}
    return {name: v.numpy() for name, v in outputs.items()}
