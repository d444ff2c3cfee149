"""Matrix products and convolutions as exact as float32 is, whatever the process has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

PRECISION = "fp32_precision"  # the setting of each kind of operation; torch before 2.9 has none


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """On GPUs torch may round what it multiplies to 10 bits: far from 5e-6.

    For convolutions it does unless told not to, for matrix products where somebody asked for speed. On processors
    nothing is read nor set: torch refuses to tell settings that were made in both of its ways.
    """
    if device.type != "cuda":
        yield
        return
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
