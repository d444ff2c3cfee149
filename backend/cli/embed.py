"""`openeo-embed embed`: the engine of the server, without a server."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.cli.options import data_option, settings_of

if TYPE_CHECKING:
    import xarray as xr

    from models.card import ModelCard
    from processes.environment import Environment
    from processes.sources import CollectionSource

SHORT = ("s2", "s1")  # sensors with an option of their own


def _id_and_path(_: click.Context, __: click.Parameter, given: Sequence[str]) -> list[tuple[str, Path]]:
    """Sensors' ids and where their collections are, from ID=PATH."""
    cubes = []
    for text in given:
        id, _sign, path = text.partition("=")
        if not (id and path):
            raise click.BadParameter(f"{text!r} is not ID=PATH, such as landsat8=LANDSAT8.zarr")
        if not Path(path).exists():
            raise click.BadParameter(f"there is no {path}")
        cubes.append((id, Path(path)))
    return cubes


@click.command()
@click.option("--model", "name", default="demo", show_default=True, help="Name of the model.")
@click.option(
    "--cube",
    "cubes",
    multiple=True,
    callback=_id_and_path,
    metavar="ID=PATH",
    help="A sensor of the model, by its id in the card, and its collection. Once for each; optional sensors may be "
    "left out.",
)
@click.option("--s2", type=click.Path(exists=True, path_type=Path), help="The same as --cube s2=PATH.")
@click.option("--s1", type=click.Path(exists=True, path_type=Path), help="The same as --cube s1=PATH.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Zarr group to write; must not exist.")
@click.option("--bbox", nargs=4, type=float, metavar="WEST SOUTH EAST NORTH", help="Part to embed. [default: all]")
@click.option("--crs", default="EPSG:4326", show_default=True, help="CRS of --bbox.")
@click.option("--interval", nargs=2, metavar="START END", help="Dates to embed, END left out. [default: all]")
@click.option(
    "--quality", is_flag=True, help="Write valid_fraction and reconstruction_error, too; takes 3 times as long."
)
@data_option
def embed(
    name: str,
    cubes: Sequence[tuple[str, Path]],
    s2: Path | None,
    s1: Path | None,
    output: Path,
    bbox: tuple[float, float, float, float] | None,
    crs: str,
    interval: tuple[str, str] | None,
    quality: bool,
    data: Path,
) -> None:
    """Embed collections, one for each sensor of a model, into the Zarr group OUTPUT, with a progress bar.

    A collection is what `catalog add` takes. Dates and pixels are those of the model's reference sensor.
    """
    from processes.implementations.multimodal_embed import multimodal_embed

    if output.exists():
        raise click.UsageError(f"--output {output} exists; remove it or choose another name")
    paths = _paths([*cubes, *((id, path) for id, path in zip(SHORT, (s2, s1), strict=True) if path)])
    env, card = _environment(name, paths, data)
    extent = dict(zip(("west", "south", "east", "north"), bbox, strict=True)) | {"crs": crs} if bbox else None
    asked, wide, others = _loaded(env, card, extent, list(interval) if interval else None)
    surroundings = {"data": wide, "others": others}
    _write(multimodal_embed(asked, others, name, quality=quality, env=env, wide=surroundings), output)


def _paths(given: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    twice = sorted({id for id, _ in given if sum(id == other for other, _ in given) > 1})
    if twice:
        raise click.UsageError(f"--cube names a sensor twice: {', '.join(twice)}")
    return dict(given)


def _environment(model: str, paths: Mapping[str, Path], data: Path) -> tuple[Environment, ModelCard]:
    """The collections as a catalogue, in the order of the model's sensors, and the model's card."""
    from models.folders import PACKAGED, ModelNotFound
    from processes.environment import Environment
    from udf import ModelShelf

    models = ModelShelf((PACKAGED, settings_of(data).data / "models"))
    try:
        card = models.get(model).card
    except ModelNotFound as error:
        raise click.ClickException(str(error)) from error
    _check_sensors(card, paths)
    sources = {m.id: _with_bands(paths[m.id], m.bands) for m in card.modalities if m.id in paths}
    return Environment(catalog=_Chosen(sources), models=models), card


def _check_sensors(card: ModelCard, given: Mapping[str, Path]) -> None:
    """Refuse sensors that the model has not, and the lack of one that it cannot do without."""
    sensors = "; ".join(f"{m.id}{' (optional)' if m.optional else ''}: {m}" for m in card.modalities)
    if unknown := sorted(set(given) - {m.id for m in card.modalities}):
        raise click.UsageError(f"the model {card.name} has no sensor {', '.join(unknown)}. It has {sensors}")
    lacking = [m.id for m in card.modalities if m.id not in given and not (m.optional and m.id != card.reference)]
    if lacking:
        options = ", ".join(f"--cube {id}=PATH" for id in lacking)
        raise click.UsageError(f"the model {card.name} needs {options}. Its sensors are {sensors}")
    for left_out in (m for m in card.modalities if m.id not in given):
        for other in card.modalities[card.modalities.index(left_out) + 1 :]:
            # Cubes are told apart by their bands alone: this one would be taken for the sensor that is left out.
            if other.id in set(given) - {card.reference} and set(left_out.bands) <= set(other.bands):
                raise click.UsageError(
                    f"{other.id} has all bands of {left_out.id}: give --cube {left_out.id}=PATH, too"
                )


def _loaded(
    env: Environment, card: ModelCard, extent: dict[str, Any] | None, dates: list[Any] | None
) -> tuple[xr.DataArray, xr.DataArray, list[xr.DataArray]]:
    """The reference sensor's cube as asked for and with its surroundings, and the other sensors' as wide as that."""
    from processes.environment import Halo
    from processes.implementations.multimodal_embed import halo

    around = halo({"model": card.name}, env)
    own = env.with_halo(around)
    asked, wide = (_load(card.reference, card, extent, dates, e) for e in (env, own))
    # A sensor with few acquisitions may have none on the dates asked for: what counts is what lies round them.
    near, beside = _widened(dates, around.days), env.with_halo(Halo(around.pixels, 0))
    others = [_load(id, card, extent, near, beside) for id in env.catalog.ids() if id != card.reference]
    return asked, wide, others


def _load(id: str, card: ModelCard, extent: Any, dates: list[Any] | None, env: Environment) -> xr.DataArray:
    from processes.errors import OpenEOError
    from processes.implementations.load_collection import load_collection
    from processes.implementations.multimodal_embed import CLASSES
    from processes.sources import bands_of

    bands = [*card.modality(id).bands]
    if id == card.reference and CLASSES in bands_of(env.catalog.get(id)):
        bands.append(CLASSES)
    try:
        return load_collection(id, extent, dates, bands, env=env)
    except OpenEOError as error:
        raise click.ClickException(f"{id}: {error}") from error


def _widened(dates: list[Any] | None, days: float) -> list[Any] | None:
    import numpy as np

    from processes.sources import parse_interval

    ends = parse_interval(dates, "interval", "embed")
    reach = np.timedelta64(round(days * 24), "h")
    return [e if e is None else e + step for e, step in zip(ends, (-reach, reach), strict=True)] if ends else None


def _with_bands(path: Path, bands: Sequence[str]) -> CollectionSource:
    """The collection at a path that has the bands a sensor needs."""
    from processes.sources import first_with, open_source

    source = first_with(open_source(path), bands)
    if source is None:
        raise click.ClickException(f"no collection at {path} has all of the bands {', '.join(bands)}")
    return source


class _Chosen:
    """The collections named on the command line, as a catalogue of the sensors' ids."""

    def __init__(self, sources: dict[str, CollectionSource]) -> None:
        self._sources = sources

    def ids(self) -> list[str]:
        """The sensors."""
        return list(self._sources)

    def get(self, id: str) -> CollectionSource:
        """The collection of that sensor."""
        return self._sources[id]


def _write(cube: xr.DataArray, output: Path) -> None:
    from dask.diagnostics import ProgressBar

    temporary = output.with_name(f".{output.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with ProgressBar():
            # Texts of one length are a type that other programs do not read from Zarr.
            plain = cube.assign_coords(bands=cube["bands"].astype(object))
            plain.to_dataset(name="embedding").to_zarr(temporary, consolidated=False)
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    click.echo(f"Wrote {output}: {dict(cube.sizes)}")
