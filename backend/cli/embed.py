"""`openeo-embed embed`: the engine of the server, without a server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli.options import data_option, settings_of

if TYPE_CHECKING:
    import xarray as xr

    from processes.environment import Environment


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
    env = _environment(s2, s1, data)
    extent = dict(zip(("west", "south", "east", "north"), bbox, strict=True)) | {"crs": crs} if bbox else None
    wide_env = env.with_halo(halo({"model": name}, env))
    cubes = {
        which: [load_collection(id, extent, list(interval) if interval else None, env=own) for id in env.catalog.ids()]
        for which, own in (("asked", env), ("wide", wide_env))
    }
    wide = {"data": cubes["wide"][0], "others": cubes["wide"][1:]}
    _write(multimodal_embed(cubes["asked"][0], cubes["asked"][1:], name, env=env, wide=wide), output)


def _environment(s2: Path, s1: Path, data: Path) -> Environment:
    from models.folders import PACKAGED
    from processes.environment import Environment
    from udf import ModelShelf

    models = ModelShelf((PACKAGED, settings_of(data).data / "models"))
    return Environment(catalog=_TwoCollections(s2, s1), models=models)


class _TwoCollections:
    """The collections named on the command line, as a catalogue."""

    def __init__(self, *paths: Path) -> None:
        from processes.sources import open_source

        self._sources = {str(path): open_source(path)[0] for path in paths}

    def ids(self) -> list[str]:
        """The paths, in the order given."""
        return list(self._sources)

    def get(self, id: str):
        """The collection at that path."""
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
