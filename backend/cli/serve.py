"""`openeo-embed serve`: the server with all its processes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.cli.options import data_option, settings_of

if TYPE_CHECKING:
    from backend.settings import Settings


@click.command()
@click.option("--host", help="Address to listen on. [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one. [default: 8080]")
@data_option
@click.option("--demo-user/--no-demo-user", default=None, help="Let the user demo (password demo) in; loopback only.")
@click.option("--public-url", help="URL under which clients reach the server.")
@click.option("--scheduler", help="Dask scheduler to compute on. [default: one of its own]")
@click.option("--workers", type=int, help="Dask worker processes. [default: one per core, at most 8]")
@click.option("--threads", type=int, help="Threads of each Dask worker. [default: 1]")
@click.option("--model", help="Model that multimodal_embed uses unless told otherwise. [default: demo]")
@click.option("--log-format", type=click.Choice(["human", "json"]), help="Form of the log. [default: human]")
def serve(data: Path, **flags: Any) -> None:
    """Run the openEO server until Ctrl-C.

    Every option, and several more, can be set by a variable OPENEO_EMBED_<OPTION>; the documentation lists them.
    """
    import os

    from backend.logs import configure_logging
    from backend.settings import unknown_settings
    from backend.supervise.serving import serve_forever

    settings = settings_of(data, **flags)
    configure_logging("serve", settings.log_format, settings.log_level)
    for name in unknown_settings(os.environ):
        logging.getLogger("backend").warning("the environment has %s, which is no setting; it has no effect", name)
    serve_forever(settings, lambda url: _tell(settings, url))


def _tell(settings: Settings, url: str) -> None:
    if settings.log_format == "json":
        logging.getLogger("backend").info("openEO API at %s", url)
        return
    login = "user demo, password demo" if settings.demo_user else "add users with `openeo-embed user add NAME`"
    click.echo(f"openEO API at {url} ({login}); Ctrl-C stops it")
