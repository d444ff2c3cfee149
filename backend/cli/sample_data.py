"""`openeo-embed sample-data`: the simulated archive."""

from __future__ import annotations

import time
from pathlib import Path

import click

from backend.cli.options import data_option, settings_of


@click.command()
@data_option
def sample_data(data: Path) -> None:
    """Write the simulated sample archive to DATA/archive and list its collections in DATA/catalog.json."""
    from processes.sources import FileCatalog

    folder = settings_of(data).data
    began = time.monotonic()
    _write(folder / "archive")
    for identifier in FileCatalog(folder / "catalog.json").add(folder / "archive"):
        click.echo(f"Added the collection {identifier}.")
    click.echo(f"The archive at {folder / 'archive'} took {time.monotonic() - began:.0f} s.")


def _write(folder: Path) -> None:
    """Write the archive below a progress bar."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from processes.simulation import write_sample_archive

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("Simulating", total=1.0)
        write_sample_archive(
            folder, progress=lambda what, share: progress.update(bar, description=what, completed=share)
        )
