"""Compile every launch of the GPU path ahead of time, no GPU at hand: run as a program, it prints what each takes.

What is launched, with which types and sizes, is recorded from the engine itself on a small frame.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ARCHITECTURES = (80, 90)
TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.int64: "*i64", torch.uint8: "*u8"}


def launches(rounded: bool, architecture: int):
    """Kernel, arguments, constants and warps of every launch that differs from the others."""
    from models.engine.dense.gpu import context, frames, products
    from models.engine.dense.gpu.launch import ON_GPU, SMALLER
    from models.engine.dense.gpu.weights import Buffers
    from tests.models.engine.scenes import two_sensors

    encoder = two_sensors().encoder("s2")
    found = {}

    def record(kernel, _, *args, warps=4, **constants):
        found[kernel.fn.__name__, str(constants)] = (kernel, args, constants, warps)

    frames.launch = context.launch = products.launch = record
    place, pool = torch.zeros(1, dtype=torch.int64), torch.zeros(2, 256)
    frames_of_a_window = torch.zeros(1, 11, dtype=torch.int64)
    blocks = ON_GPU if rounded or architecture >= 90 else SMALLER
    with torch.inference_mode():
        for units in (True, False):
            setting = products.Setting(Buffers(), rounded, units, blocks)
            engine = frames.TritonFrames(encoder.frame, setting)
            for keep in (False, True):
                maps = engine.load(torch.zeros(15, 15, 10), torch.zeros(15, 15, dtype=torch.bool), keep)
            engine.shared(maps, place, place, place, pool)
            engine.owned(maps, place, place, place, torch.zeros(1, 10), pool)
            temporal = context.TritonContext(encoder, "frames", setting)
            temporal.encode(pool, frames_of_a_window, frames_of_a_window)
    return list(found.values())


def compiled(kernel, args, constants, warps: int, architecture: int):
    """The kernel as it is compiled on first use: pointers known to be whole multiples of 16 bytes."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = list(inspect.signature(kernel.fn).parameters)
    signature = dict(zip(names, map(_type, args), strict=False))
    signature |= dict.fromkeys(constants, "constexpr")
    aligned = {(i,): [["tt.divisibility", 16]] for i, a in enumerate(args) if isinstance(a, torch.Tensor)}
    source = ASTSource(kernel, {n: signature[n] for n in names}, constants, aligned)
    options = {"num_warps": warps, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


def _type(value) -> str:
    return TYPES[value.dtype] if isinstance(value, torch.Tensor) else "i32" if isinstance(value, int) else "fp32"


def resources(done) -> dict[str, int]:
    """Registers and bytes of stack (what is spilled) of a thread, bytes of shared memory and warps of a program."""
    import triton.backends.nvidia as nvidia

    lister = Path(nvidia.__file__).parent / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(done.asm["cubin"])
        file.flush()
        command = [lister, "--dump-resource-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack = (int(re.search(rf"{name}:(\d+)", said)[1]) for name in ("REG", "STACK"))
    return {"registers": registers, "stack": stack, "shared": done.metadata.shared, "warps": done.metadata.num_warps}


def main(wanted: list[str]) -> None:
    """Print a JSON list for every ``precision:architecture`` that is wanted."""
    out = []
    for precision, architecture in (w.split(":") for w in wanted):
        for kernel, args, constants, warps in launches(precision == "bf16", int(architecture)):
            found = resources(compiled(kernel, args, constants, warps, int(architecture)))
            sizes = {k: v for k, v in constants.items() if k in ("N", "KEEP", "S", "FILLED", "P", "C", "ADD")}
            kind = {"kernel": kernel.fn.__name__, "precision": precision, "sm": int(architecture)}
            out.append({**kind, **sizes, **found})
    sys.stdout.write(json.dumps(out))


if __name__ == "__main__":
    main(sys.argv[1:] or [f"{p}:{a}" for p in ("float32", "bf16") for a in ARCHITECTURES])
