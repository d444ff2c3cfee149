"""Train the model `demo` that comes with the package: briefly, on a CPU, on simulated scenes alone.

    python examples/train_demo_model.py

writes `models/weights/demo`. Its card says what it saw and how well it gives back windows of scenes it never saw.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from models.card import ModelCard, published_modalities
from models.folders import PACKAGED
from models.network import TwoStageModel
from models.preprocessing import mask_clouds, preprocess
from models.store import save_model
from models.training.fit import Effort, center_errors, fit_fusion, fit_modality
from models.training.initialise import initialise
from models.training.scenes import TrainingScene, make_scene
from processes.simulation import Climate, LandscapeShares, SceneSpec, simulate_scene

EFFORT = Effort()
BANDS = published_modalities()[1].bands


def simulated(model: TwoStageModel, seed: int) -> TrainingScene:
    """Simulate one landscape in one climate for a year, and preprocess it as the service does."""
    random = np.random.default_rng(seed)
    spec = SceneSpec(
        seed=seed,
        height=48,
        width=48,
        bands=BANDS,
        latitude=float(random.uniform(38, 56)),
        climate=Climate(mean_temperature=float(random.uniform(6, 15)), cloudiness=float(random.uniform(0.1, 0.4))),
        landscape=LandscapeShares(forest=float(random.uniform(0.1, 0.4)), field_hectares=(0.6, 3.0)),
    )
    scene = simulate_scene(spec)
    s2 = mask_clouds(np.moveaxis(scene.s2, 1, 0), scene.scl)
    s1 = np.moveaxis(scene.s1, 1, 0)
    cubes = {
        "s2": preprocess(s2, "sentinel2-reflectance", "local"),
        "s1": preprocess(s1, "sentinel1-power", "local"),
    }
    return make_scene(model, cubes, {"s2": scene.s2_time, "s1": scene.s1_time})


class Report:
    """Prints the mean of every fifty steps."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def __call__(self, stage: str, step: int, value: float) -> None:
        """Take note of one step."""
        self.values = [*self.values[-49:], value] if step else [value]
        if step % 50 == 49:
            print(f"{stage:12} step {step + 1:6} {sum(self.values) / len(self.values):.5f}", flush=True)


def main() -> None:
    """Train, evaluate, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=12, help="simulated scenes to train on")
    parser.add_argument("--output", type=Path, default=PACKAGED / "demo")
    options = parser.parse_args()
    begin = time.monotonic()
    model = TwoStageModel(ModelCard("demo", published_modalities(), "s2", "frames")).eval().requires_grad_(False)
    scenes = [simulated(model, seed) for seed in range(100, 100 + options.scenes)]
    held_out = [simulated(model, seed) for seed in range(900, 904)]
    print(f"{sum(len(s.windows) for s in scenes)} windows in {len(scenes)} scenes, {time.monotonic() - begin:.0f} s")
    initialise(model, scenes)
    for modality in model.encoders:
        fit_modality(model, modality, scenes, EFFORT, report=Report())
    fit_fusion(model, scenes, windows=1200, steps=3000, report=Report())
    errors = center_errors(model, held_out, windows=240)
    minutes = (time.monotonic() - begin) / 60
    print(errors, f"{minutes:.0f} minutes")
    save_model(options.output, _card(model.card, options, errors, minutes), model.state_dict(), torch.float16)


def _card(card: ModelCard, options: argparse.Namespace, errors: dict, minutes: float) -> ModelCard:
    return replace(
        card,
        description=(
            "A demonstration, trained for minutes on a CPU on simulated scenes alone. It shows how the service works; "
            "do not draw conclusions about real landscapes from it."
        ),
        license="Apache-2.0",
        training={
            "data": f"{options.scenes} simulated scenes of 48 x 48 pixels and one year, many landscapes and climates",
            "stage1": asdict(EFFORT),
            "minutes_on_two_cpu_cores": round(minutes),
            "center_error_on_held_out_simulated_scenes": {
                m: {k: round(v, 5) for k, v in e.items()} for m, e in errors.items()
            },
            "seed": 0,
            "script": "examples/train_demo_model.py",
        },
    )


if __name__ == "__main__":
    main()
