"""The machine: its name, what it reaches at best, seconds and memory of what runs on it."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch


def machine(device: torch.device) -> str:
    """Name the machine."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    return f"{processor()}, {threads}, torch {torch.__version__}"


def processor() -> str:
    """Name the processor."""
    names = [s.split(":")[1].strip() for s in _lines("/proc/cpuinfo") if s.startswith("model name")]
    return names[0] if names else platform.machine()


def ceilings(device: torch.device, dtype: torch.dtype = torch.float32) -> Mapping[str, float]:
    """What this device reaches: matrix products (operations per second) and copies (bytes per second)."""
    n = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    block = torch.empty((1 << 30) if device.type == "cuda" else (1 << 27), dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    product = min(seconds_of(lambda: a @ b, device) for _ in range(5))
    copy = min(seconds_of(lambda: other.copy_(block), device) for _ in range(5))
    return {"matrix": 2 * n**3 / product, "copy": 2 * block.numel() / copy}


def seconds_of(run: Callable[[], Any], device: torch.device) -> float:
    """Seconds that a call takes, until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


class Peak:
    """Watches memory while it is entered: the one entry of the list holds the bytes above the beginning, at most."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.found = [0]

    def __enter__(self) -> list[int]:
        self._over = threading.Event()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            self._before = _resident()
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
        return self.found

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.found[0] = torch.cuda.max_memory_allocated(self.device) - self._before
        else:
            self._over.set()
            self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.found[0] = max(self.found[0], _resident() - self._before)


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    pages = next((line.split()[1] for line in _lines("/proc/self/statm")), None)
    return int(pages) * os.sysconf("SC_PAGE_SIZE") if pages else 0


def _lines(path: str) -> Iterator[str]:
    if Path(path).exists():
        yield from Path(path).read_text(errors="replace").splitlines()
