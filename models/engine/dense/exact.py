"""Matrix products and convolutions as exact as float32 is, whatever the process has set."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

PRECISION = "fp32_precision"  # the setting of each kind of operation; torch before 2.9 has none


class _Shared:
    """The settings are the whole process's: the first thread to come sets them, the last to go sets them back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._undo = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._undo.enter_context(_set())
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._undo.close()


_shared = _Shared()


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """On GPUs torch may round what it multiplies to 10 bits: far from 5e-6.

    For convolutions it does unless told not to, for matrix products where somebody asked for speed. On processors
    nothing is read nor set: torch refuses to tell settings that were made in both of its ways.
    """
    if device.type != "cuda":
        yield
        return
    with _shared:
        yield


@contextmanager
def _set() -> Iterator[None]:
    settings = [torch.backends.cuda.matmul, getattr(torch.backends.cudnn, "conv", None)]
    with _ieee(settings) if all(hasattr(s, PRECISION) for s in settings) else _legacy():
        yield


@contextmanager
def _ieee(settings: list[Any]) -> Iterator[None]:
    before = [getattr(s, PRECISION) for s in settings]
    try:
        for s in settings:
            setattr(s, PRECISION, "ieee")
        yield
    finally:
        for s, value in zip(settings, before, strict=True):
            setattr(s, PRECISION, value)


@contextmanager
def _legacy() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
