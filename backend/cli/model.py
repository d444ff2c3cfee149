"""`openeo-embed model`: which models there are, and how one more is brought in or taken elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from backend.cli.evaluate import evaluate
from backend.cli.options import data_option, settings_of
from backend.cli.train import train

if TYPE_CHECKING:
    from models.card import Modality


@click.group()
def model() -> None:
    """List, show, import, export, train and evaluate models."""


model.add_command(evaluate)
model.add_command(train)


@model.command(name="import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="What the model is called from now on. An exported model has a name already.")
@click.option(
    "--attention",
    type=click.Choice(["self", "frames"]),
    help="Of a checkpoint: what the encoders attend to. Published weights were trained for `self`, the default.",
)
@click.option(
    "--modality",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of a checkpoint of stage 1: JSON file that declares its sensor. Not needed for the published sensors.",
)
@click.option("--replace", is_flag=True, help="Replace the model of that name, if there is one.")
@data_option
def import_model(
    source: Path,
    name: str | None,
    attention: Literal["self", "frames"] | None,
    modality: Path | None,
    replace: bool,
    data: Path,
) -> None:
    """Bring in SOURCE: a checkpoint of the published format, or a folder or ZIP file that `export` wrote.

    Checkpoints may be of the fused model or of one sensor's stage 1; they become safetensors and a card.
    """
    from models.card import CardError
    from models.exchange import ExchangeError, import_exported
    from models.folders import PACKAGED, list_models
    from models.published import CheckpointError
    from models.store import WeightsError

    folder = _models_folder(data)
    if name is not None:
        _check_name(name)
    packaged = list(list_models((PACKAGED,)))
    taken = [*packaged, *([] if replace else list_models((folder,)))]
    if name in taken:
        reason = "comes with the package; choose another name" if name in packaged else "is there already: --replace?"
        raise click.UsageError(f"--name {name!r} is a model that {reason}")
    try:
        if _is_exported(source):
            _refuse_options_of_checkpoints(attention, modality)
            card = import_exported(source, folder, name, taken)
        elif name is None:
            raise click.UsageError("A checkpoint has no name: give it one with --name")
        else:
            card = _import_checkpoint(source, folder / name, attention or "self", modality)
    except (CardError, CheckpointError, ExchangeError, WeightsError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Imported the model {card.name} to {folder / card.name} (sha256 {card.sha256}).")


@model.command()
@click.argument("name")
@click.argument("output", type=click.Path(path_type=Path))
@data_option
def export(name: str, output: Path, data: Path) -> None:
    """Write the model NAME to OUTPUT, which `import` takes back: a ZIP file if it ends in .zip, else a folder."""
    from models.card import CardError
    from models.exchange import ExchangeError, export_model
    from models.store import WeightsError

    try:
        export_model(_folder_of(name, data), output)
    except (CardError, ExchangeError, WeightsError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Wrote the model {name} to {output}.")


@model.command(name="list")
@data_option
def list_names(data: Path) -> None:
    """List the models: name, sensors and what they are."""
    from models.card import CardError, read_card
    from models.folders import PACKAGED, list_models

    for name, folder in sorted(list_models((PACKAGED, _models_folder(data))).items()):
        try:
            card = read_card(folder)
        except CardError as error:
            click.echo(f"{name}\t-\tcannot be used: {error}")
            continue
        sensors = " + ".join(m.id for m in card.modalities)
        click.echo(f"{name}\t{sensors}{'' if card.stage == 'fusion' else ' (stage 1)'}\t{card.description}")


@model.command()
@click.argument("name")
@data_option
def show(name: str, data: Path) -> None:
    """Print the card of the model NAME, a STAC Item with the extension MLM."""
    from models.card import CARD_FILE

    click.echo((_folder_of(name, data) / CARD_FILE).read_text("utf-8"), nl=False)


def _import_checkpoint(source: Path, folder: Path, attention: Literal["self", "frames"], modality: Path | None) -> Any:
    import torch

    from models.published import read_published
    from models.store import save_model

    declared = _declared(modality) if modality else None
    card, weights = read_published(source, folder.name, attention, declared)
    return save_model(folder, card, weights, torch.float32)


def _declared(file: Path) -> Modality:
    import json

    from models.card import CardError
    from models.card_item import parse_modality

    try:
        return parse_modality(json.loads(file.read_text("utf-8")))
    except CardError:
        raise
    except (ValueError, OSError, RecursionError) as error:
        raise click.UsageError(f"--modality {file} is no JSON file: {error}") from error


def _is_exported(source: Path) -> bool:
    """Whether it is a folder, or a ZIP file called so: torch's own checkpoints are ZIP files of other names."""
    return source.is_dir() or source.suffix.lower() == ".zip"


def _refuse_options_of_checkpoints(attention: str | None, modality: Path | None) -> None:
    if attention is not None or modality is not None:
        raise click.UsageError("--attention and --modality are for checkpoints: an exported model has a card")


def _folder_of(name: str, data: Path) -> Path:
    from models.folders import PACKAGED, ModelNotFound, find_model

    try:
        return find_model(name, (PACKAGED, _models_folder(data)))
    except ModelNotFound as error:
        raise click.ClickException(str(error)) from error


def _models_folder(data: Path) -> Path:
    return settings_of(data).data / "models"


def _check_name(name: str) -> None:
    from models.folders import NAME

    if not NAME.fullmatch(name):
        raise click.UsageError(
            f"--name {name!r} must begin with a letter or digit and hold letters, digits, . _ - alone"
        )
