"""`openeo-embed embed`: the engine of the server, without a server."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli.options import data_option, settings_of

if TYPE_CHECKING:
    import xarray as xr

    from processes.environment import Environment
    from processes.sources import CollectionSource


@click.command()
@click.option("--model", "name", default="demo", show_default=True, help="Name of the model.")
@click.option("--s2", type=click.Path(exists=True, path_type=Path), required=True, help="Sentinel-2 collection.")
@click.option("--s1", type=click.Path(exists=True, path_type=Path), required=True, help="Sentinel-1 collection.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Zarr group to write; must not exist.")
@click.option("--bbox", nargs=4, type=float, metavar="WEST SOUTH EAST NORTH", help="Part to embed. [default: all]")
@click.option("--crs", default="EPSG:4326", show_default=True, help="CRS of --bbox.")
@click.option("--interval", nargs=2, metavar="START END", help="Dates to embed, END left out. [default: all]")
@data_option
def embed(
    name: str,
    s2: Path,
    s1: Path,
    output: Path,
    bbox: tuple[float, float, float, float] | None,
    crs: str,
    interval: tuple[str, str] | None,
    data: Path,
) -> None:
    """Embed a Sentinel-2 and a Sentinel-1 collection into the Zarr group OUTPUT, with a progress bar."""
    from models.card import read_card  # noqa: F401  (fails early where the package is incomplete)
    from processes.implementations.load_collection import load_collection
    from processes.implementations.multimodal_embed import halo, multimodal_embed

    if output.exists():
        raise click.UsageError(f"--output {output} exists; remove it or choose another name")
    env = _environment(name, s2, s1, data)
    extent = dict(zip(("west", "south", "east", "north"), bbox, strict=True)) | {"crs": crs} if bbox else None
    dates = list(interval) if interval else None
    wide_env = env.with_halo(halo({"model": name}, env))
    asked, wide = ([load_collection(id, extent, dates, env=own) for id in env.catalog.ids()] for own in (env, wide_env))
    surroundings = {"data": wide[0], "others": wide[1:]}
    _write(multimodal_embed(asked[0], asked[1:], name, env=env, wide=surroundings), output)


def _environment(model: str, s2: Path, s1: Path, data: Path) -> Environment:
    from models.folders import PACKAGED, ModelNotFound
    from processes.environment import Environment
    from udf import ModelShelf

    models = ModelShelf((PACKAGED, settings_of(data).data / "models"))
    try:
        card = models.get(model).card
    except ModelNotFound as error:
        raise click.ClickException(str(error)) from error
    paths = {"s2": s2, "s1": s1}
    return Environment(
        catalog=_Chosen({m: _with_bands(paths[m], card.modality(m).bands) for m in paths}), models=models
    )


def _with_bands(path: Path, bands: Sequence[str]) -> CollectionSource:
    """The collection at a path that has the bands a sensor needs."""
    from processes.sources import first_with, open_source

    source = first_with(open_source(path), bands)
    if source is None:
        raise click.ClickException(f"no collection at {path} has all of the bands {', '.join(bands)}")
    return source


class _Chosen:
    """The collections named on the command line, as a catalogue."""

    def __init__(self, sources: dict[str, CollectionSource]) -> None:
        self._sources = sources

    def ids(self) -> list[str]:
        """The sensors, Sentinel-2 first."""
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
            cube.to_dataset(name="embedding").to_zarr(temporary, consolidated=False)
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    click.echo(f"Wrote {output}: {dict(cube.sizes)}")
