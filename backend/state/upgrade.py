"""Bringing a database up to date: which revision it has, and the migrations that it lacks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from processes.errors import OpenEOError

# The last migration; a test compares it with the folder of migrations, so that opening need not read that folder.
HEAD = "0003"
LOCK = 0x0E05  # any number that all servers agree on


def upgrade(engine: Engine) -> None:
    """Run the migrations that the database lacks; OpenEOError StorageFailure where it is from a newer server."""
    if revision(engine) == HEAD:
        return
    from alembic import command
    from alembic.util.exc import CommandError

    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # Of the session, not of a transaction: migrations have their own.
            connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": LOCK})
            connection.commit()
        try:
            command.upgrade(configuration(connection), HEAD)
            connection.commit()
        except CommandError as error:
            message = f"The database is of another version than this server: {error}. Use the server that wrote it."
            raise OpenEOError("StorageFailure", message) from None
        finally:
            if engine.dialect.name == "postgresql":
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": LOCK})
                connection.commit()


def revision(engine: Engine) -> str | None:
    """Return the database's revision, None for one that no migration has touched."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return None if found is None else str(found)


def configuration(connection: Connection | None = None) -> Any:
    """Return alembic's configuration: our migrations, on that connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "backend.state:migrations")
    config.attributes["connection"] = connection
    return config
