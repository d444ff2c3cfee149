"""The command line, `openeo-embed`. A subcommand's module is imported when it is asked for: `--help` stays fast."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

# Name -> what it does. The module of the same name (dashes as underscores) holds the command under that name.
COMMANDS = {
    "serve": "Run the openEO server.",
    "sample-data": "Write the simulated sample archive and list its collections in the catalogue.",
    "user": "Add, list and remove users.",
    "catalog": "Add, list, check and remove collections.",
    "model": "List, show, import, export, train and evaluate models.",
    "embed": "Embed image cubes without a server.",
    "bench": "Compare the engines on this machine: speed, error, memory.",
    "demo": "Set up everything and run the main job once, end to end.",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        attribute = cmd_name.replace("-", "_")
        module = importlib.import_module(f"backend.cli.{attribute}")
        return getattr(module, attribute)  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="openeo-embed")
def group() -> None:
    """An openEO back-end that embeds Sentinel-1/2 time series."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every failure is one line and an exit status: 2 for wrong usage, 1 for the rest."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    try:
        status: Any = group.main(arguments, prog_name="openeo-embed", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Abort:
        return _fail("stopped", 130)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python must not complain while it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("OPENEO_EMBED_TRACEBACK"):
            raise
        return _fail(_sentence(error), 1)


def _sentence(error: Exception) -> str:
    """Return an error as one line; ours say all that is needed, others also their kind."""
    from processes.errors import OpenEOError

    text = " ".join(str(error).split())
    if isinstance(error, OpenEOError):
        return text
    return f"{type(error).__name__}: {text} (OPENEO_EMBED_TRACEBACK=1 shows where)"


def _fail(message: str, status: int) -> int:
    click.echo(f"Error: {message}", err=True)
    return status
