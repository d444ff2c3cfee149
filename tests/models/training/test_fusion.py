"""Stage 2: frozen encoders stay bit for bit, missing sensors have no token, whatever is declared can be fused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.card import Modality, ModelCard
from models.network import TwoStageModel
from models.store import load_model, save_model
from models.training.config import TrainingConfig
from models.training.errors import TrainingError
from models.training.folders import fill_model, fill_task, read_trained, save_modality
from models.training.fusion_start import match_bottlenecks
from models.training.losses import FUSION_S1, FUSION_S2, STAGE1, loss_weights, reconstruction_loss
from models.training.run import train
from models.training.tasks import FusionTask, ModalityTask

from . import made

pytest.importorskip("lightning")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """No curves are drawn here: drawing takes longer than short training."""
    monkeypatch.setattr("models.training.loop.plot", lambda folder: None)
    monkeypatch.setattr("models.training.run.plot", lambda folder: None)


OPTIONAL = replace(made.HEAT, optional=True)
CARD = ModelCard("two", (made.RED, OPTIONAL), "red")
CONFIG = TrainingConfig(rate=1e-3, schedule="cosine", warmup=1, steps=3, epoch=3, decoded=1, wide_kernels=True, log=1)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Stage 1 of two sensors, as folders, with weights from a seed."""
    folder = tmp_path_factory.mktemp("models")
    found = []
    for sensor in (made.RED, made.HEAT):
        torch.manual_seed(len(found))
        card = ModelCard(sensor.id, (sensor,), sensor.id, stage="stage1")
        save_modality(folder / sensor.id, ModalityTask(sensor), card)
        found.append(folder / sensor.id)
    return found


@pytest.fixture
def source():
    return made.sampler((made.RED, OPTIONAL), optional=("heat",), batch=2, windows=2)


def fused(parts, **options):
    torch.manual_seed(0)
    task = FusionTask(CARD, decoded=1, **options)
    fill_model(task.model, [read_trained(p) for p in parts])
    return task


def encoders(task):
    return {k: v.clone() for k, v in task.model.encoders.state_dict().items()}


def test_frozen_encoders_stay_bit_for_bit(parts, source, tmp_path):
    """Through training, saving and loading they are the numbers of stage 1, and give stage 1's bottlenecks."""
    task = fused(parts)
    before, fusion = encoders(task), task.model.fusion.reduce.weight.clone()
    train(task, source, CONFIG, tmp_path / "run", progress=False)
    assert not torch.equal(task.model.fusion.reduce.weight, fusion)
    save_model(tmp_path / "model", CARD, task.model.state_dict(), torch.float32)
    loaded = load_model(tmp_path / "model")
    for name, value in before.items():
        assert torch.equal(loaded.encoders.state_dict()[name], value), name
    alone = ModalityTask(made.RED)
    fill_task(alone, read_trained(parts[0]))
    x, gaps = torch.rand(3, 11, 2, 15, 15), torch.full((3, 10), 5)
    with torch.no_grad():
        assert torch.equal(loaded.encoder("red")(x, gaps, "frames"), alone.eval().encoder(x, gaps, "frames"))


def test_finetuning_moves_the_encoders(parts, source, tmp_path):
    task = fused(parts, finetune=True)
    before = encoders(task)
    train(task, source, replace(CONFIG, steps=2), tmp_path / "run", progress=False)
    assert any(not torch.equal(v, before[k]) for k, v in task.model.encoders.state_dict().items())


def test_the_first_fit_brings_the_bottlenecks_nearer_and_leaves_the_encoders(parts, source):
    task = fused(parts)
    before = encoders(task)
    first = match_bottlenecks(task, source, batches=3, steps=1)
    assert match_bottlenecks(task, source, batches=3, steps=150) < 0.7 * first
    assert all(torch.equal(v, before[k]) for k, v in encoders(task).items())


def test_a_modality_that_is_not_seen_has_no_token():
    """Masked, left out, or with any number in its place: the embedding is the same."""
    torch.manual_seed(1)
    fusion = TwoStageModel(CARD).fusion.eval()
    z = {"red": torch.rand(6, 2), "heat": torch.rand(6, 1)}
    delta = torch.tensor([0, 1, 2, 3, 4, 5])
    seen = {"heat": torch.tensor([True, True, True, False, False, False])}
    with torch.no_grad():
        masked = fusion(z, delta, seen)
        torch.testing.assert_close(masked[:3], fusion(z, delta)[:3], rtol=0, atol=2e-6)
        torch.testing.assert_close(masked[3:], fusion({"red": z["red"]}, delta)[3:], rtol=0, atol=2e-6)
        noise = {**z, "heat": z["heat"] + 9}
        torch.testing.assert_close(fusion(noise, delta, seen)[3:], masked[3:], rtol=0, atol=2e-6)
        assert (masked[3:] - fusion(z, delta)[3:]).abs().max() > 1e-4


def test_optional_modalities_are_dropped_at_random_in_training_alone(parts, source):
    task = fused(parts)
    batch = source.batch(0)

    def embedding():
        with torch.no_grad():
            return task.embed(batch)[0]

    task.arrange(training=False)
    assert torch.equal(embedding(), embedding())
    task.train(False)
    task.training = True  # nothing else drops anything
    first = embedding()
    assert any(not torch.equal(embedding(), first) for _ in range(20))


def test_windows_without_an_optional_sensor_train_the_rest(parts):
    block = made.block(sensors=(made.RED, OPTIONAL))
    gone = made.Block({**block.cubes, "heat": block.cubes["heat"] * float("nan")}, block.times)
    batch = made.sampler((made.RED, OPTIONAL), optional=("heat",), blocks=[gone], batch=2).batch(0)
    task = fused(parts)
    losses = task.losses(batch)
    assert set(losses) == {"total", "red"}
    assert torch.isfinite(losses["total"])
    assert task.errors(batch)["heat"][1] == 0


def test_weights_of_another_sensor_are_refused(parts):
    other = Modality("red", ("R", "N", "B"), "sentinel2-reflectance", tokens=3, bottleneck=2)
    with pytest.raises(TrainingError, match="do not fit red"):
        fill_task(ModalityTask(other), read_trained(parts[0]))
    with pytest.raises(TrainingError, match="has no modality heat"):
        fill_task(ModalityTask(made.HEAT), read_trained(parts[0]))


def test_losses_by_bands():
    assert loss_weights(2, stage=1) is STAGE1
    assert loss_weights(2, stage=2) is FUSION_S1
    assert loss_weights(10, stage=2) is FUSION_S2


def test_loss_of_some_frames_is_that_of_all_with_the_others_right():
    """Of frames that are not decoded the loss says nothing; their weight is what the documentation says."""
    torch.manual_seed(0)
    target = torch.rand(2, 11, 3, 15, 15)
    valid = torch.rand(target.shape) < 0.9
    output = target.clone()
    output[:, 4:7] += 0.1 * torch.randn(2, 3, 3, 15, 15)
    some = slice(4, 7)
    whole = reconstruction_loss(output, target, valid, STAGE1)
    part = reconstruction_loss(output[:, some], target[:, some], valid[:, some], STAGE1, some)
    torch.testing.assert_close(part["mae"], whole["mae"])
    torch.testing.assert_close(part["center"], whole["center"])
    everything = reconstruction_loss(target + 1, target, torch.ones_like(valid), STAGE1)["mae"]
    right = torch.ones_like(valid)[:, some]
    three = reconstruction_loss((target + 1)[:, some], target[:, some], right, STAGE1, some)["mae"]
    assert three / everything == pytest.approx(0.982, abs=0.001)
