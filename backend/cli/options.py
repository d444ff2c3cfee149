"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from backend.settings import Settings

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="OPENEO_EMBED_DATA",
    default=Path("data"),
    show_default=True,
    show_envvar=True,
    help="Folder of the users, the catalogue, the archive and the models.",
)


def settings_of(data: Path, **flags: object) -> Settings:
    """Return the settings that the command line and the environment make."""
    import os

    from backend.settings import read_settings

    return read_settings(os.environ, data=data, **flags)
