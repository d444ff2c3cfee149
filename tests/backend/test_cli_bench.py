"""`openeo-embed bench`: what its table says, of engines that take no time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import models
from backend.cli.bench import bench
from models import benchmark, embed


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Which engines were measured, by whether they round."""
    measured: list[bool] = []

    def measure(
        embedder: SimpleNamespace, cubes: object, times: object, expected: object, rounded: bool
    ) -> benchmark.Result:
        measured.append(rounded)
        return benchmark.Result(rate=100.0, error=1e-6, memory=5_000_000, work=4e9, traffic=3e9 * embedder.compiled)

    fakes = {
        "ceilings": lambda device, dtype: {"matrix": 4e10 if dtype == torch.bfloat16 else 8e9, "copy": 6e9},
        "machine": lambda device: f"a {device.type}",
        "alone_work": lambda network: 1e9,
        "make_case": lambda case, network, size: ({}, {}),
        "windows_of": lambda *_: None,
        "sample": lambda *_: None,
        "measure_alone": lambda *_, decode: (10.0 - 5 * decode, np.zeros(1)),
        "reference": lambda *_: SimpleNamespace(error_of=lambda values: 2e-6),
        "measure": measure,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(benchmark, name, fake)
    monkeypatch.setattr(embed, "Embedder", lambda *_, compiled=True: SimpleNamespace(compiled=compiled))
    monkeypatch.setattr(models, "load_model", lambda folder, device: SimpleNamespace(device=torch.device(device)))
    return measured


@pytest.mark.parametrize(("device", "columns"), [("cpu", 8), ("cuda", 9)])
def test_shares_of_ceilings(engines: list[bool], tmp_path: Path, device: str, columns: int) -> None:
    arguments = ["--bf16", "--device", device, "--data", str(tmp_path), "--output", str(tmp_path / "out.md")]
    done = CliRunner().invoke(bench, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = [line.split("|")[1:-1] for line in done.output.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {columns}
    assert ("of copy ceiling" in done.output) == (device == "cuda")
    cells = {(row[0].strip(), row[1].strip()): [c.strip() for c in row[7:]] for row in rows}
    assert cells["one date, clear", "dense, compiled"] == ["50%", "50%"][: columns - 7]
    assert cells["one date, clear", "dense, plain torch"] == ["50%", ""][: columns - 7]  # its traffic is not counted
    assert cells["one date, clear", "dense, bf16"] == ["10%", "50%"][: columns - 7]  # of bf16's own ceiling
    assert cells["5 of 15 dates, 50 % cloud in 80 m blobs", "dense, compiled"] == [""] * (columns - 7)
    assert engines == [False, False, True] * len(benchmark.CASES)
    assert f"--size {128 if device == 'cuda' else 40} " in done.output
    assert "8 GFLOP/s, 40 GFLOP/s in bf16 in matrix products, 6.0 GB/s in copies" in done.output
    assert (tmp_path / "out.md").read_text().startswith("# What an embedding costs")
