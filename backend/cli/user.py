"""`openeo-embed user`: who may log in."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.cli.options import data_option, settings_of

if TYPE_CHECKING:
    from backend.auth import UserStore


@click.group()
def user() -> None:
    """Add, list and remove users, and end their access tokens."""


@user.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@data_option
def add(name: str, password_stdin: bool, data: Path) -> None:
    """Add the user NAME; asks for the password unless --password-stdin is given."""
    if not password_stdin and not sys.stdin.isatty():
        raise click.UsageError("standard input is no terminal to ask for the password; pass --password-stdin.")
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else _ask()
    with _users(data) as users:
        users.add(name, password)
    click.echo(f"Added the user {name}.")


@user.command(name="list")
@data_option
def list_users(data: Path) -> None:
    """List the users' names."""
    with _users(data) as users:
        names = users.names()
    for name in names:
        click.echo(name)


@user.command()
@click.argument("name")
@data_option
def revoke(name: str, data: Path) -> None:
    """End all access tokens of the user NAME, who must log in again."""
    with _users(data) as users:
        count = users.revoke(name)
    click.echo(f"Ended {count} access token{'' if count == 1 else 's'} of the user {name}.")


@user.command()
@click.argument("name")
@data_option
def remove(name: str, data: Path) -> None:
    """Remove the user NAME with all of the user's batch jobs, results, files and stored processes."""
    from backend.removal import remove_user

    remove_user(settings_of(data), name)
    click.echo(f"Removed the user {name}.")


def _users(data: Path) -> contextlib.closing[UserStore]:
    """Open the users for the length of a block."""
    from backend.auth.opening import open_users

    return contextlib.closing(open_users(settings_of(data)))


def _ask() -> str:
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
