"""How exact the GPU path is on this GPU, at a tile's size, and what takes how long: run as a program.

``python -m tests.models.engine.time_kernels [--detail] float32:units bf16:units:rows=64,stages=4 float32:cublas ...``
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import torch

from models.engine.dense.exact import exact_products
from models.engine.dense.gpu import choose
from models.engine.dense.gpu.context import TritonContext
from models.engine.dense.gpu.frames import TritonFrames
from models.engine.dense.gpu.launch import blocks_of
from models.engine.dense.gpu.products import Setting
from models.engine.dense.gpu.weights import Buffers
from models.engine.dense.torch_frames import TorchFrames
from models.frames import EDGE, FRAMES
from models.network.frame_encoder import FRAME_VECTOR
from tests.models.engine.scenes import two_sensors

SIDE = 128  # of a tile, in pixels
OWNED = 4096  # patches with missing values


def say(text: str) -> None:
    """Print a line at once: a later one may never come."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def setting_of(text: str, device: torch.device) -> Setting:
    """From ``precision:units`` or ``precision:cublas``, with blocks that differ from the usual ones."""
    precision, way, *fields = text.split(":")
    rounded = precision == "bf16"
    changed = dict(f.split("=") for f in ",".join(fields).split(",") if f)
    blocks = replace(blocks_of(device, rounded), **{k: int(v) for k, v in changed.items()})
    return Setting(Buffers(), rounded, way == "units", blocks)


def milliseconds(work: Callable[[], object], times: int = 5) -> float:
    """The least of several times on the device, after a first one."""
    found = []
    for _ in range(times + 1):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        found.append(begin.elapsed_time(end))
    return min(found[1:])


class Tile:
    """A frame of random values as large as a tile, and all its patches."""

    def __init__(self, device: torch.device, side: int = SIDE) -> None:
        random, around = torch.Generator().manual_seed(1), side + 2 * EDGE
        self.missing = (torch.rand(around, around, generator=random) < 0.2).to(device)
        self.clear = torch.zeros_like(self.missing)
        self.values = torch.rand(around, around, 10, generator=random).to(device)
        self.places = torch.cartesian_prod(torch.arange(side), torch.arange(side)).T.contiguous().to(device)
        self.slot = torch.randperm(side**2, generator=random).to(device)
        self.fill = torch.rand(side**2, 10, generator=random).to(device)
        self.pool = torch.zeros(side**2, FRAME_VECTOR, device=device)
        self.index = torch.randint(0, side**2, (side**2, FRAMES), generator=random).to(device)
        self.days = (5 * torch.arange(FRAMES)).expand(side**2, -1).contiguous().to(device)

    def vectors(self, frames, clouded: bool) -> torch.Tensor:
        """Vectors of all patches, or of some with values missing, by slot."""
        few = slice(0, OWNED if clouded else None)
        (row, column), slot = self.places[:, few], self.slot[few]
        self.pool.fill_(torch.nan)  # what is not written is seen
        maps = self.load(frames, clouded)
        if clouded:
            frames.owned(maps, row, column, slot, self.fill[few], self.pool)
        else:
            frames.shared(maps, row, column, slot, self.pool)
        return self.pool[slot].clone()

    def load(self, frames, clouded: bool):
        """A frame's maps."""
        missing = self.missing if clouded else self.clear
        return frames.load(self.values.masked_fill(missing[..., None], 0), missing, clouded)


def check(tile: Tile, frames: TritonFrames, encoder) -> None:
    """Print how far vectors are off plain torch's, and whether they are the same each time."""
    for clouded in (False, True):
        first, again = (tile.vectors(frames, clouded) for _ in range(2))
        expected = tile.vectors(TorchFrames(encoder), clouded)
        same = "the same each time" if torch.equal(first, again) else "NOT THE SAME EACH TIME"
        say(f"  {'clouded' if clouded else 'clear'}: off plain torch {choose._off(first, expected):.1e}, {same}")


def time(tile: Tile, frames: TritonFrames, context: TritonContext, detail: bool) -> None:
    """Print what takes how long."""
    row, column = tile.places
    maps = tile.load(frames, False)
    steps = {
        "maps": lambda: tile.load(frames, False),
        "patches": lambda: frames.shared(maps, row, column, tile.slot, tile.pool),
        "windows": lambda: context.encode(tile.pool, tile.index, tile.days),
    }
    took = {name: milliseconds(step) for name, step in steps.items()}
    series = 2 * ((took["maps"] + took["patches"]) * 45 / 35 + took["windows"]) / SIDE**2
    say("  " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in took.items()))
    say(f"  at most {1e3 / series:,.0f} embeddings per second of a series of 45 dates, two sensors")
    if detail:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as found:
            for step in steps.values():
                step()
            torch.cuda.synchronize()
        say(found.key_averages().table(sort_by="cuda_time_total", row_limit=30, max_name_column_width=40))


def main(arguments: list[str]) -> None:
    """Print a few lines for every setting."""
    device, model = torch.device("cuda"), two_sensors().to("cuda")
    encoder, tile = model.encoder("s2"), Tile(device)
    say(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}")
    for text in [a for a in arguments if a != "--detail"] or ["float32:units", "float32:cublas", "bf16:units"]:
        setting = setting_of(text, device)
        frames, context = TritonFrames(encoder.frame, setting), TritonContext(encoder, "frames", setting)
        say(f"{text} {setting.blocks}")
        for name, (off, most) in choose.compare(model, "s2", (frames, context), setting.rounded).items():
            say(f"  {name}: off float64 {off:.1e}, allowed {most:.1e}{'' if off <= most else ': REFUSED'}")
        with torch.inference_mode(), exact_products(device):
            check(tile, frames, encoder.frame)
            time(tile, frames, context, "--detail" in arguments)
        del frames, context, setting


if __name__ == "__main__":
    main(sys.argv[1:])
