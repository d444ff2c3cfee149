"""`openeo-embed model`: which models there are, and how one more is brought in."""

from __future__ import annotations

from pathlib import Path

import click

from backend.cli.options import data_option, settings_of


@click.group()
def model() -> None:
    """Import, list and show models."""


@model.command(name="import")
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="What the model is called from now on.")
@click.option(
    "--attention",
    type=click.Choice(["self", "frames"]),
    default="self",
    show_default=True,
    help="What the encoders attend to. Published weights were trained for `self`.",
)
@data_option
def import_model(checkpoint: Path, name: str, attention: str, data: Path) -> None:
    """Turn CHECKPOINT, a file of the published format, into safetensors and a card in DATA/models/NAME."""
    import torch

    from models.published import CheckpointError, read_published
    from models.store import WeightsError, save_model

    folder = _models_folder(data) / _checked(name)
    try:
        card, weights = read_published(checkpoint, name, "frames" if attention == "frames" else "self")
        saved = save_model(folder, card, weights, torch.float32)
    except (CheckpointError, WeightsError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Imported the model {name} to {folder} (sha256 {saved.sha256}).")


@model.command(name="list")
@data_option
def list_names(data: Path) -> None:
    """List the models: name, sensors and what they are."""
    from models.card import read_card
    from models.folders import PACKAGED, list_models

    for name, folder in sorted(list_models((PACKAGED, _models_folder(data))).items()):
        card = read_card(folder)
        click.echo(f"{name}\t{' + '.join(m.id for m in card.modalities)}\t{card.description}")


@model.command()
@click.argument("name")
@data_option
def show(name: str, data: Path) -> None:
    """Print the card of the model NAME."""
    from models.card import card_to_json, read_card
    from models.folders import PACKAGED, ModelNotFound, find_model

    try:
        folder = find_model(name, (PACKAGED, _models_folder(data)))
    except ModelNotFound as error:
        raise click.ClickException(str(error)) from error
    click.echo(card_to_json(read_card(folder)), nl=False)


def _models_folder(data: Path) -> Path:
    return settings_of(data).data / "models"


def _checked(name: str) -> str:
    from models.folders import NAME, PACKAGED, list_models

    if not NAME.fullmatch(name):
        raise click.UsageError(
            f"--name {name!r} must begin with a letter or digit and hold letters, digits, . _ - alone"
        )
    if name in list_models((PACKAGED,)):
        raise click.UsageError(f"--name {name!r} is a model that comes with the package; choose another name")
    return name
