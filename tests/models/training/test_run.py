"""Runs: resumed after a kill as if nothing had been, the same by seed, stopped with a sentence that helps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.training.blocks import Block
from models.training.config import TrainingConfig
from models.training.errors import TrainingError
from models.training.feeding import Feeder
from models.training.log import read_metrics
from models.training.run import train
from models.training.tasks import ModalityTask

from . import made

pytest.importorskip("lightning")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """The curves of the module's run are drawn, others are not: drawing takes longer than short training."""
    monkeypatch.setattr("models.training.loop.plot", lambda folder: None)
    monkeypatch.setattr("models.training.run.plot", lambda folder: None)


SHORT = TrainingConfig(
    rate=0.01,
    rates="by_width",
    schedule="cosine",
    warmup=2,
    steps=9,
    epoch=3,
    decoded=1,
    wide_kernels=False,
    keep=1,
    log=1,
)


def task(seed=0):
    torch.manual_seed(seed)
    return ModalityTask(made.RED, decoded=1)


def fit(folder, config=SHORT, source=None, **options):
    fitted = task(config.seed)
    outcome = train(fitted, source or made.sampler(batch=2, windows=2), config, folder, progress=False, **options)
    return fitted, outcome


def curve(folder):
    return [(r["step"], r["loss"]) for r in read_metrics(folder / "metrics.csv") if "loss" in r]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run from beginning to end."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    fitted, outcome = fit(folder)
    return folder, fitted, outcome


def test_a_run_leaves_settings_log_curves_and_weights(whole):
    folder, fitted, outcome = whole
    assert json.loads((folder / "config.json").read_text())["training"]["rates"] == "by_width"
    rows = read_metrics(folder / "metrics.csv")
    assert [s for s, _ in curve(folder)] == list(range(1, 10))
    assert all(0 <= r["waited"] <= 1 for r in rows if "loss" in r)
    errors = [r["validation"] for r in rows if "validation" in r]
    assert len(errors) >= 3
    assert outcome.errors["red"] == pytest.approx(min(errors), rel=1e-4)
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    best = load_file(folder / "best.safetensors")
    assert all(torch.equal(v, best[k]) for k, v in fitted.state_dict().items())


def test_the_warm_up_leaves_wide_kernels_zero_and_trainable(whole):
    _, fitted, _ = whole
    wide = fitted.encoder.frame.block1.conv7
    assert not wide.weight.any()
    assert wide.weight.requires_grad


def test_the_same_seed_gives_the_same_run(whole, tmp_path):
    folder, fitted, _ = whole
    again, _ = fit(tmp_path / "again")
    assert curve(tmp_path / "again") == curve(folder)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in fitted.state_dict().items())
    fit(tmp_path / "other", replace(SHORT, seed=1, steps=3, epoch=0))
    assert curve(tmp_path / "other")[0][1] != curve(folder)[0][1]


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.models.training.test_run import fit
fit(Path(sys.argv[1]))
"""


def test_a_killed_run_goes_on_as_if_nothing_had_been(whole, tmp_path):
    folder, fitted, _ = whole
    killed = tmp_path / "killed"
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(killed), root], cwd=root, env=environment)
    until = time.monotonic() + 240
    while not any(r["step"] >= 4 for r in read_metrics(killed / "metrics.csv")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (killed / "last.ckpt").exists()
    again, outcome = fit(killed, resume=True)
    assert outcome.steps == 9
    ours, theirs = curve(killed), curve(folder)
    assert [s for s, _ in ours] == [s for s, _ in theirs]
    np.testing.assert_allclose([v for _, v in ours], [v for _, v in theirs], rtol=1e-5)
    for name, value in fitted.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_plateau_and_early_stop(tmp_path):
    """With a rate of next to nothing the error does not fall: the rate goes down, then the run ends by itself."""
    config = replace(
        SHORT,
        schedule="plateau",
        rate=1e-12,
        warmup=2,
        steps=0,
        epoch=2,
        patience=0,
        stop_after=3,
        least_rate=1e-15,
        log=1,
    )
    _, outcome = fit(tmp_path / "run", config)
    rates = [r["rate"] for r in read_metrics(tmp_path / "run" / "metrics.csv") if "rate" in r]
    assert outcome.steps <= 40
    assert rates[0] < 1e-12
    assert min(rates[2:]) <= 0.35e-12 * 1.01


def test_dropout_changes_the_loss_and_follows_the_seed(tmp_path):
    config = replace(SHORT, steps=2, warmup=1, epoch=2)
    fit(tmp_path / "without", replace(config, dropout=False))
    for name in ("one", "two"):
        fit(tmp_path / name, config)
    assert curve(tmp_path / "one") == curve(tmp_path / "two")
    assert curve(tmp_path / "one")[0] != curve(tmp_path / "without")[0]


def test_bf16_is_near_fp32(tmp_path):
    config = replace(SHORT, steps=2, warmup=1, epoch=2)
    fit(tmp_path / "fp32", config)
    fit(tmp_path / "bf16", replace(config, precision="bf16"))
    assert curve(tmp_path / "bf16")[0][1] == pytest.approx(curve(tmp_path / "fp32")[0][1], rel=0.1)
    assert curve(tmp_path / "bf16") != curve(tmp_path / "fp32")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_batch(tmp_path):
    block = made.block()
    cube = block.cubes["red"] * np.float32(1e38)  # finite, and too large for what follows
    source = made.sampler(blocks=[Block({"red": cube}, block.times)], batch=2, windows=0)
    with pytest.raises(TrainingError, match=r"loss is (nan|inf) at step 0.*bad_batch"):
        fit(tmp_path / "run", source=source)
    kept = load_file(tmp_path / "run" / "bad_batch.safetensors")
    assert kept["frames.red"].shape == (2, 11, 2, 15, 15)
    torch.testing.assert_close(kept["frames.red"], source.batch(0).frames["red"], equal_nan=True)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 12 bytes")])
def test_out_of_memory_says_what_to_lower(tmp_path, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(ModalityTask, "losses", full)
    with pytest.raises(TrainingError, match="lower --batch or --decoded"):
        fit(tmp_path / "run")


def test_a_plateau_needs_validation(tmp_path):
    with pytest.raises(TrainingError, match="nothing is held out"):
        fit(tmp_path / "run", TrainingConfig(), made.sampler(windows=0))


def test_other_errors_stay_what_they_are(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(ModalityTask, "losses", broken)
    with pytest.raises(RuntimeError, match="something else"):
        fit(tmp_path / "run")


def test_a_run_is_not_begun_twice_nor_resumed_as_another(whole, tmp_path):
    folder, _, _ = whole
    with pytest.raises(TrainingError, match="holds a run already"):
        fit(folder)
    with pytest.raises(TrainingError, match=r"rate = 0.01, not 0.02"):
        fit(folder, replace(SHORT, rate=0.02), resume=True)
    with pytest.raises(TrainingError, match="data"):
        fit(folder, about={"data": "other"}, resume=True)
    with pytest.raises(TrainingError, match="no run to resume"):
        fit(tmp_path / "none", resume=True)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"schedule": "cosine", "steps": 5, "warmup": 5}, "steps"), ({"decoded": 4}, "decoded"), ({"rate": 0}, "rate")],
)
def test_settings_that_cannot_be(wrong, named):
    with pytest.raises(TrainingError, match=named):
        TrainingConfig(**wrong)


def test_the_feeder_begins_anywhere_and_passes_on_what_goes_wrong():
    source, position = made.sampler(batch=2, windows=0), [4]
    feeder = Feeder(source, 6, lambda: position[0])
    batches = list(feeder)
    assert len(batches) == 2
    torch.testing.assert_close(batches[0].frames["red"], source.batch(4).frames["red"], equal_nan=True)
    bad = Feeder(made.sampler(blocks=[made.block(dates=5)], windows=0), 6, lambda: 0)
    with pytest.raises(TrainingError, match="too few dates"):
        list(bad)
