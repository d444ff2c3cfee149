"""`openeo-embed model train`: stage 1 of one sensor, and the fusion of several."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.cli.options import data_option, settings_of

if TYPE_CHECKING:
    from models.card import Modality, ModelCard
    from models.training.config import TrainingConfig
    from models.training.folders import Trained
    from models.training.run import Outcome
    from models.training.sampler import BlockSampler

FIRST_SEED = 100  # of simulated scenes; `evaluate` has its own from 9000
HELD_OUT_SEED = 5000
SPAN_OF_S1 = 40


@click.group()
def train() -> None:
    """Train the stages of a model on collections, or on simulated scenes."""


def _options(*options: Callable[..., Any]) -> Callable[..., Any]:
    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


DATA_OPTIONS = _options(
    click.option("--site", "sites", multiple=True, help="Collections: a PATH, or ID=PATH,ID=PATH. May be repeated."),
    click.option("--simulated", type=click.IntRange(0), default=0, help="Simulated scenes to train on, too."),
    click.option("--block", default=64, show_default=True, type=click.IntRange(15), help="Pixels on a block's side."),
    click.option(
        "--held-out",
        default=0.2,
        show_default=True,
        type=click.FloatRange(0, 0.9),
        help="Share of blocks to validate on.",
    ),
    click.option("--held-out-dates", nargs=2, metavar="START END", help="Dates to validate on, END left out."),
    click.option("--validation-windows", default=256, show_default=True, type=click.IntRange(0)),
    click.option("--batch", default=16, show_default=True, type=click.IntRange(1), help="Windows of a step."),
    click.option("--draws", default=1, show_default=True, help="Windows from one run of frames; more costs less."),
    click.option("--span", type=int, help="Consecutive frames that 11 are drawn from. [default: 20; S1 alone: 40]"),
)
FIT_OPTIONS = _options(
    click.option("--rate", type=float, help="AdamW's learning rate. [default: 1e-4]"),
    click.option("--rates", type=click.Choice(["equal", "by_width"]), help="Whether wide layers learn slower."),
    click.option("--schedule", type=click.Choice(["plateau", "cosine"]), help="[default: plateau]"),
    click.option("--warmup", type=int, help="Steps of the warm-up. [default: 35000; fusion: 30000]"),
    click.option("--steps", type=int, help="Steps in all. [default: until the error falls no more]"),
    click.option("--epoch", type=int, help="Steps between validations. [default: once through the data]"),
    click.option("--precision", type=click.Choice(["fp32", "bf16"]), help="[default: fp32]"),
    click.option("--dropout/--no-dropout", default=None, help="Short runs do better without. [default: with]"),
    click.option("--wide-kernels/--no-wide-kernels", default=None, help="Without, 7 x 7 convolutions are left out."),
    click.option("--decoded", type=int, help="Frames of a window that are decoded, odd. [default: 11]"),
    click.option("--keep", type=int, help="Steps between checkpoints. [default: 500]"),
    click.option("--log", type=int, help="Steps between lines of the log. [default: 50]"),
    click.option("--seed", type=int, help="[default: 0]"),
    click.option(
        "--run", type=click.Path(file_okay=False, path_type=Path), help="The run's folder. [default: in DATA]"
    ),
    click.option("--resume", is_flag=True, help="Go on with the run in that folder."),
    click.option("--replace", is_flag=True, help="Replace the model of that name, if there is one."),
    click.option("--quiet", is_flag=True, help="No progress bar."),
)


@train.command()
@click.option("--modality", required=True, help="s1, s2, a model that has the sensor, or a JSON file that declares it.")
@click.option("--name", help="What the result is called. [default: the modality's id and -stage1]")
@click.option("--attention", type=click.Choice(["frames", "self"]), default="frames", show_default=True)
@click.option("--start", help="Model with weights of this sensor to begin with, or `data`: weights scaled by the data.")
@DATA_OPTIONS
@FIT_OPTIONS
@data_option
def modality(modality: str, name: str | None, attention: Any, start: str | None, data: Path, **options: Any) -> None:
    """Train stage 1 of one sensor: its encoder and decoder."""
    from models.card import ModelCard
    from models.training.folders import fill_task, save_modality
    from models.training.initialise import initialise
    from models.training.kernels import without_wide_kernels
    from models.training.sampler import Sensors

    folders = _folders(data)
    with _sentences():
        sensor = _sensor(modality, folders)
        name = _checked(name or f"{sensor.id}-stage1", folders, options["replace"])
        config = _config(options, {})
        source = _source(
            (sensor,), Sensors((sensor.id,), sensor.id), config, options, SPAN_OF_S1 if sensor.id == "s1" else 20
        )
        import torch

        torch.manual_seed(config.seed)
        from models.training.tasks import ModalityTask

        task = ModalityTask(sensor, attention, config.decoded)
        if start == "data":
            with without_wide_kernels(task, not config.wide_kernels):
                initialise(task, first_windows(source), config.seed)
        elif start:
            fill_task(task, _trained(start, folders))
        about = {**_about(options, source), "modality": sensor.id, "start": start, "attention": attention}
        run = options["run"] or settings_of(data).data / "runs" / name
        outcome = _fit(task, source, config, run, about, options)
        card = ModelCard(name, (sensor,), sensor.id, attention, stage="stage1", license="other")
        save_modality(folders[-1] / name, task, _told(card, config, about, outcome))
    _report(outcome, folders[-1] / name, run)


@train.command()
@click.option("--encoders", multiple=True, required=True, help="Trained modalities or models, one or more.")
@click.argument("more", nargs=-1, metavar="[ENCODER]...")
@click.option("--name", required=True, help="What the model is called.")
@click.option("--reference", default="s2", show_default=True, help="The modality whose pixels and dates are embedded.")
@click.option("--optional", multiple=True, help="Modality that an embedding can do without. May be repeated.")
@click.option("--size", default=7, show_default=True, type=click.IntRange(1), help="Numbers in an embedding.")
@click.option("--finetune", is_flag=True, help="Fit the encoders, too; otherwise they stay bit for bit.")
@click.option("--start", type=click.Choice(["data"]), help="Fit the embedding to the encoders' own numbers first.")
@DATA_OPTIONS
@FIT_OPTIONS
@data_option
def fusion(
    encoders: Sequence[str],
    more: Sequence[str],
    name: str,
    reference: str,
    optional: Sequence[str],
    size: int,
    finetune: bool,
    start: str | None,
    data: Path,
    **options: Any,
) -> None:
    """Train stage 2: the fusion of several sensors whose stage 1 is trained (`--encoders A B C`)."""
    import torch

    from models.store import save_model
    from models.training.config import FUSION_DEFAULTS
    from models.training.folders import fill_model
    from models.training.fusion_start import match_bottlenecks
    from models.training.sampler import Sensors
    from models.training.tasks import FusionTask

    folders = _folders(data)
    with _sentences():
        name = _checked(name, folders, options["replace"])
        parts = [_trained(e, folders) for e in (*encoders, *more)]
        card = fused_card(name, parts, reference, optional, size)
        config = _config(options, FUSION_DEFAULTS)
        ids = tuple(m.id for m in card.modalities)
        free = frozenset(m.id for m in card.modalities if m.optional)
        source = _source(card.modalities, Sensors(ids, reference, free), config, options, 20)
        torch.manual_seed(config.seed)
        task = FusionTask(card, config.decoded, finetune=finetune)
        fill_model(task.model, parts)
        about = {
            **_about(options, source),
            "encoders": {p.card.name: p.card.sha256 for p in parts},
            "finetune": finetune,
            "start": start,
        }
        run = options["run"] or settings_of(data).data / "runs" / name
        # A run that was killed before its first checkpoint begins anew, and as well as it did then.
        if start == "data" and not (options["resume"] and (run / "last.ckpt").exists()):
            match_bottlenecks(task, source, seed=config.seed, precision=config.precision)
        outcome = _fit(task, source, config, run, about, options)
        weights = {k: v.detach().cpu() for k, v in task.model.state_dict().items()}
        save_model(folders[-1] / name, _told(card, config, about, outcome), weights, torch.float32)
    _report(outcome, folders[-1] / name, run)


def fused_card(name: str, parts: Sequence[Trained], reference: str, optional: Sequence[str], size: int) -> ModelCard:
    """The card of a fusion of trained modalities, in their order."""
    from dataclasses import replace

    from models.card import CardError, ModelCard, check_card

    sensors = [m for part in parts for m in part.card.modalities]
    if unknown := set(optional) - {m.id for m in sensors}:
        raise CardError(f"--optional {', '.join(sorted(unknown))} is none of the modalities")
    if reference in optional:
        raise CardError(f"--optional {reference} is the reference: nothing can be embedded without it")
    kinds = {part.card.attention for part in parts}
    if len(kinds) > 1:
        raise CardError("the encoders attend to different things (`frames` and `self`) and cannot be fused")
    own = tuple(replace(m, optional=m.id in optional) for m in sensors)
    return check_card(ModelCard(name, own, reference, kinds.pop(), size, license="other"))


def first_windows(source: BlockSampler, windows: int = 256) -> Any:
    """A batch of many windows, to scale first weights by."""
    from dataclasses import replace

    return source.with_sampling(replace(source.sampling, batch=windows, draws=8)).batch(0)


def _folders(data: Path) -> tuple[Path, ...]:
    from models.folders import PACKAGED

    return PACKAGED, settings_of(data).data / "models"


def _sensor(text: str, folders: tuple[Path, ...]) -> Modality:
    from models.card import published_modalities
    from models.card_item import parse_modality

    known = {m.id: m for m in published_modalities()}
    if text in known:
        return known[text]
    if Path(text).is_file():
        try:
            return parse_modality(json.loads(Path(text).read_text("utf-8")))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise click.UsageError(f"--modality {text} is no JSON file: {error}") from error
    trained = _trained(text, folders).card
    if len(trained.modalities) > 1:
        raise click.UsageError(f"--modality {text} is a model of several sensors; name one whose stage 1 it is")
    return trained.modalities[0]


def _trained(name: str, folders: tuple[Path, ...]) -> Trained:
    from models.training.folders import read_trained

    return read_trained(Path(name) if Path(name).is_dir() else name, folders)


def _checked(name: str, folders: tuple[Path, ...], replace: bool) -> str:
    from models.folders import NAME, PACKAGED, list_models

    if not NAME.fullmatch(name):
        raise click.UsageError(
            f"--name {name!r} must begin with a letter or digit and hold letters, digits, . _ - alone"
        )
    if name in list_models((PACKAGED,)):
        raise click.UsageError(f"--name {name!r} is a model that comes with the package; choose another name")
    if name in list_models(folders) and not replace:
        raise click.UsageError(f"--name {name!r} is a model that is there already: --replace?")
    return name


def _config(options: dict[str, Any], defaults: dict[str, Any]) -> TrainingConfig:
    from models.training.config import TrainingConfig

    given = {f.name: options[f.name] for f in fields(TrainingConfig) if options.get(f.name) is not None}
    return TrainingConfig(**{**defaults, **given})


def _source(
    sensors: tuple[Modality, ...], wanted: Any, config: TrainingConfig, options: dict[str, Any], span: int
) -> BlockSampler:
    from models.training.blocks import BlockSource, JoinedBlocks, LoadedBlocks
    from models.training.sampler import BlockSampler, Sampling
    from processes.training import Holdout, open_site, simulated_blocks, site_blocks

    if not options["sites"] and not options["simulated"]:
        raise click.UsageError("nothing to train on: give --site, or --simulated above 0")
    training: list[BlockSource] = []
    held_out: list[BlockSource] = []
    holdout = Holdout(options["held_out"], options["block"], _interval(options["held_out_dates"]), config.seed)
    for site in options["sites"]:
        for kept, blocks in zip(
            (training, held_out),
            site_blocks(open_site(_paths(site), sensors), sensors, wanted.reference, holdout),
            strict=True,
        ):
            kept.append(blocks)
    if options["simulated"]:
        count = options["simulated"]
        training.append(
            LoadedBlocks(simulated_blocks(sensors, range(FIRST_SEED, FIRST_SEED + count)), wanted.reference)
        )
        if not held_out and options["held_out"]:
            seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + max(count // 4, 1))
            held_out.append(LoadedBlocks(simulated_blocks(sensors, seeds), wanted.reference))
    sampling = Sampling(batch=options["batch"], draws=options["draws"], span=options["span"] or span)
    return BlockSampler(
        JoinedBlocks(training),
        JoinedBlocks(held_out),
        wanted,
        sampling,
        seed=config.seed,
        validation_windows=options["validation_windows"],
    )


def _paths(site: str) -> Path | dict[str, Path]:
    if "=" not in site:
        return Path(site)
    pairs = [part.partition("=") for part in site.split(",")]
    return {id.strip(): Path(path) for id, _, path in pairs}


def _interval(dates: Sequence[str] | None) -> Any:
    import numpy as np

    if not dates:
        return None
    try:
        start, end = (np.datetime64(d, "ns") for d in dates)
    except ValueError as error:
        raise click.UsageError(f"--held-out-dates: {error}") from error
    if not start < end:
        raise click.UsageError(f"--held-out-dates: {dates[0]} is not before {dates[1]}")
    return start, end


def _about(options: dict[str, Any], source: BlockSampler) -> dict[str, Any]:
    names = ("sites", "simulated", "block", "held_out", "held_out_dates", "batch", "draws")
    return {
        "data": {n: list(v) if isinstance(v := options[n], tuple) else v for n in names}
        | {"span": source.sampling.span}
    }


def _fit(
    task: Any, source: BlockSampler, config: Any, run: Path, about: dict[str, Any], options: dict[str, Any]
) -> Outcome:
    from models.training.run import train as fit

    outcome = fit(task, source, config, run, about=about, resume=options["resume"], progress=not options["quiet"])
    return outcome


def _told(card: ModelCard, config: TrainingConfig, about: dict[str, Any], outcome: Outcome) -> ModelCard:
    from dataclasses import asdict, replace

    metrics = {"center_error_validation": {m: round(e, 6) for m, e in outcome.errors.items()}}
    training = {**about, "settings": asdict(config), "steps": outcome.steps, "minutes": round(outcome.seconds / 60, 1)}
    return replace(card, training=training, metrics=metrics)


def _report(outcome: Outcome, folder: Path, run: Path) -> None:
    errors = ", ".join(f"{m} {e:.5f}" for m, e in outcome.errors.items()) or "not validated"
    click.echo(
        f"{outcome.steps} steps in {outcome.seconds:.0f} s, {outcome.waited:.1%} of it waiting for data. "
        f"Error at the centre: {errors}. Wrote {folder}; the run is in {run}."
    )


class _sentences:
    """Turns what users can mend into a message of one line."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        from models.card import CardError
        from models.training.errors import TrainingError

        if isinstance(error, TrainingError | CardError):
            raise click.ClickException(str(error)) from error
