"""`openeo-embed catalog`: which collections there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli.options import data_option, settings_of

if TYPE_CHECKING:
    from processes.sources import FileCatalog


@click.group()
def catalog() -> None:
    """Add, list, check and remove collections."""


@catalog.command()
@click.argument("path")
@click.option("--id", "identifier", help="Id of the collection; by default the one that it has itself.")
@data_option
def add(path: str, identifier: str | None, data: Path) -> None:
    """Add the collection, or the folder of collections, at PATH."""
    for added in _catalog(data).add(path, identifier):
        click.echo(f"Added the collection {added}.")


@catalog.command(name="list")
@data_option
def list_collections(data: Path) -> None:
    """List the collections: id, kind and path."""
    entries = _catalog(data).list()
    if not entries:
        click.echo("There are no collections; `openeo-embed sample-data` writes some.", err=True)
    for entry in entries:
        click.echo(f"{entry.id}\t{entry.kind}\t{entry.path}")


@catalog.command()
@click.argument("identifier", metavar="ID")
@data_option
def check(identifier: str, data: Path) -> None:
    """Read a small part of each band of the collection ID and tell what is wrong with it."""
    faults = _catalog(data).check(identifier)
    for fault in faults:
        click.echo(f"{identifier}: {fault}", err=True)
    if faults:
        raise click.exceptions.Exit(1)
    click.echo(f"{identifier} is fine.")


@catalog.command()
@click.argument("identifier", metavar="ID")
@data_option
def remove(identifier: str, data: Path) -> None:
    """Take the collection ID out of the catalogue; its files stay."""
    _catalog(data).remove(identifier)
    click.echo(f"Removed the collection {identifier}; its files stay.")


def _catalog(data: Path) -> FileCatalog:
    from processes.sources import FileCatalog

    return FileCatalog(settings_of(data).data / "catalog.json")
