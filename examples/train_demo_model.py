"""Train the model `demo` that comes with the package: an hour and a half on one CPU core.

    python examples/train_demo_model.py --site ../shared/data/flanders

writes `models/weights/demo`. Every stage is pretrained on simulated scenes (many seeds, landscapes, climates); where
there is a real site, it is then fine-tuned on a mix of simulated scenes and the site's training blocks. Scenes, blocks
and dates that are reported on were never trained on. What is done already in `--work` is not done again: the script can
be killed and started anew with the same options. `--effort 0.02` goes through everything in a few minutes.

The settings are those of short runs (see docs/training.md): weights scaled by data, rates by width, the 7 x 7
convolutions left out at first, no dropout, windows that share frames, only the middle frame decoded.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models.card import Modality, ModelCard, published_modalities
from models.folders import PACKAGED
from models.store import save_model
from models.training.blocks import BlockSource, JoinedBlocks, LoadedBlocks
from models.training.config import TrainingConfig
from models.training.folders import fill_model, fill_task, read_trained, save_modality
from models.training.fusion_start import match_bottlenecks
from models.training.initialise import initialise
from models.training.kernels import without_wide_kernels
from models.training.run import train
from models.training.sampler import BlockSampler, Sampling, Sensors
from models.training.tasks import FusionTask, ModalityTask
from processes.training import Holdout, open_site, simulated_blocks, site_blocks

SCENES, CHECKED, REPORTED = range(100, 124), range(5000, 5003), range(9000, 9004)
HELD_OUT = Holdout(share=0.25, side=32, interval=(np.datetime64("2018-07-15", "ns"), np.datetime64("2018-12-01", "ns")))
SAMPLING = Sampling(batch=32, draws=8)
PAPER = {"s1": 6.46e-4, "s2": 3.69e-3}
# Steps of stage 1 without and with the 7 x 7 convolutions and on the real site; of stage 2, and that on the real site.
STEPS = {"s2": (2500, 700, 250), "s1": (1800, 500, 200), "fusion": (600, 200)}


@dataclass(frozen=True)
class Data:
    """Blocks of all sensors: simulated to train on, to validate and to report on; of the site to train and report."""

    simulated: BlockSource
    checked: BlockSource
    reported: BlockSource
    site: BlockSource | None
    site_reported: BlockSource | None


def main() -> None:
    """Train, evaluate, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=Path, help="folder with a real site's Sentinel-1 and 2 collections")
    parser.add_argument("--output", type=Path, default=PACKAGED / "demo")
    parser.add_argument("--work", type=Path, default=Path("demo-training"), help="runs and models of the stages")
    parser.add_argument("--effort", type=float, default=1.0, help="factor on all numbers of steps")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--name", default="demo")
    options = parser.parse_args()
    begin = time.monotonic()
    parts = [_modality(m, options, begin) for m in published_modalities()]
    card = ModelCard(options.name, tuple(p.card.modalities[0] for p in parts), "s2", "frames")
    task = FusionTask(card, decoded=1)
    fill_model(task.model, parts)
    data = _data(card.modalities, "s2", options.site)
    sensors = Sensors(tuple(m.id for m in card.modalities), "s2")
    source = _sampler(data, sensors)
    steps, on_site = STEPS["fusion"]
    if not (options.work / "runs" / "fusion").exists():
        match_bottlenecks(task, source, precision=options.precision)
    _train(task, source, "fusion", steps, 0.01, options)
    if data.site:
        _train(task, _sampler(data, sensors, site=True), "fusion-site", on_site, 0.003, options)
    errors = {"simulated": _errors(task, parts, data.reported, sensors)}
    if data.site_reported:
        errors["site"] = _errors(task, parts, data.site_reported, sensors)
    print(json.dumps(errors, indent=2), f"{(time.monotonic() - begin) / 60:.0f} minutes")
    save_model(options.output, _told(card, options, errors), task.model.state_dict(), torch.float16)


def _modality(modality: Modality, options: argparse.Namespace, begin: float):
    """Stage 1 of one sensor, or what an earlier start of this script has left."""
    folder = options.work / "models" / modality.id
    if not folder.exists():
        data = _data((modality,), modality.id, options.site)
        sensors = Sensors((modality.id,), modality.id)
        source = _sampler(data, sensors)
        task = ModalityTask(modality, decoded=1)
        with without_wide_kernels(task):
            initialise(task, source.with_sampling(replace(SAMPLING, batch=256)).batch(0))
        warm, full, on_site = STEPS[modality.id]
        _train(task, source, f"{modality.id}-warm", warm, 0.03, options, wide_kernels=False)
        _train(task, source, f"{modality.id}-full", full, 0.01, options)
        if data.site:
            _train(task, _sampler(data, sensors, site=True), f"{modality.id}-site", on_site, 0.005, options)
        save_modality(folder, task, ModelCard(modality.id, (modality,), modality.id, "frames", stage="stage1"))
        print(f"stage 1 of {modality.id} after {(time.monotonic() - begin) / 60:.0f} minutes", flush=True)
    return read_trained(folder)


def _train(task, source: BlockSampler, name: str, steps: int, rate: float, options, **further) -> None:
    """One run, resumed where it was killed, skipped where it is done."""
    steps = max(round(steps * options.effort), 12)
    config = TrainingConfig(
        rate=rate,
        rates="by_width",
        schedule="cosine",
        warmup=max(steps // 20, 4),
        steps=steps,
        epoch=max(steps // 5, 6),
        precision=options.precision,
        dropout=False,
        decoded=1,
        keep=100,
        log=20,
        **further,
    )
    run = options.work / "runs" / name
    outcome = train(task, source, config, run, resume=run.exists(), progress=False)
    print(
        f"{name}: {outcome.steps} steps, {outcome.seconds:.0f} s, {outcome.waited:.1%} waiting for data, "
        f"validation {outcome.errors}",
        flush=True,
    )


def _data(modalities: Sequence[Modality], reference: str, site: Path | None) -> Data:
    simulated = [LoadedBlocks(simulated_blocks(modalities, seeds), reference) for seeds in (SCENES, CHECKED, REPORTED)]
    real = site_blocks(open_site(site, modalities), modalities, reference, HELD_OUT) if site else (None, None)
    return Data(*simulated, *real)


def _sampler(data: Data, sensors: Sensors, *, site: bool = False) -> BlockSampler:
    """Windows of simulated scenes; or half of them from the site, which then validates nothing: it is reported on."""
    blocks = data.simulated
    if site and data.site:
        blocks = JoinedBlocks([*[data.site] * 12, data.simulated])
    return BlockSampler(blocks, data.checked, sensors, SAMPLING, validation_windows=0 if site else 96)


@torch.inference_mode()
def _errors(task: FusionTask, parts, blocks: BlockSource, sensors: Sensors) -> dict:
    """Centre errors of both stages, and of always guessing the mean, on held-out blocks."""
    from models.training.loop import evaluate
    from models.training.tasks import centre

    batches = BlockSampler(blocks, blocks, sensors, SAMPLING, validation_windows=256).validation()
    fusion = evaluate(task, batches)
    found = {}
    for part in parts:
        (modality,) = part.card.modalities
        alone = ModalityTask(modality, decoded=1)
        fill_task(alone, part)
        values = torch.cat([centre(b, modality.id) for b in batches])
        guess = (values - values.nanmean(0)).abs().nanmean()
        numbers = {
            "stage1": evaluate(alone, batches)[modality.id],
            "fusion": fusion[modality.id],
            "mean": float(guess),
            "paper_stage1": PAPER[modality.id],
        }
        found[modality.id] = {k: round(v, 6) for k, v in numbers.items()}
    return found


def _told(card: ModelCard, options: argparse.Namespace, errors: dict) -> ModelCard:
    site = " and on one real site in Flanders" if options.site else ""
    return replace(
        card,
        description=(
            f"A demonstration, trained briefly on simulated scenes{site}. It shows how the service works; do not draw "
            "conclusions about other landscapes from it."
        ),
        license="Apache-2.0",
        training={
            "data": f"{len(SCENES)} simulated scenes of 48 x 48 pixels and a year{site.replace(' and on', ', and')}",
            "script": "examples/train_demo_model.py",
            "steps": {k: list(v) for k, v in STEPS.items()},
            "effort": options.effort,
            "precision": options.precision,
            "seed": 0,
        },
        metrics={"center_error_held_out": errors},
    )


if __name__ == "__main__":
    main()
