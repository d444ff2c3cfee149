"""The GPUs that this process may use, found without loading torch into it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"
SECONDS = 60
_COUNT = "import torch; print(torch.cuda.device_count())"


def find_gpus(environ: Mapping[str, str]) -> list[str]:
    """Return what `CUDA_VISIBLE_DEVICES` calls each GPU that torch can use; none where there is no driver."""
    named = environ.get(VISIBLE)
    if named is not None and named.strip() in ("", "-1"):
        return []
    if named is None and shutil.which("nvidia-smi") is None:
        return []
    # In a process of its own: torch is large, and one that has looked at a GPU keeps memory there.
    asked = subprocess.run([sys.executable, "-c", _COUNT], capture_output=True, text=True, timeout=SECONDS)
    count = int(asked.stdout) if asked.returncode == 0 else 0
    names = [str(i) for i in range(count)] if named is None else [name.strip() for name in named.split(",")]
    return names[:count]
