"""Databases for the stores' contract tests: SQLite in a file, and PostgreSQL where there is one.

PostgreSQL is the server at the URL in OPENEO_EMBED_TEST_POSTGRES, or one that is started from `initdb` and `pg_ctl`.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

VARIABLE = "OPENEO_EMBED_TEST_POSTGRES"


def postgres_binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, None where they are not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += [Path(path).parent for path in sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)]
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Run a PostgreSQL server on a socket in a folder of its own; yields its URL."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip(f"no PostgreSQL: neither {VARIABLE} is set nor are initdb and pg_ctl installed")
    folder = Path(tempfile.mkdtemp(prefix="openeo-pg-"))
    # It refuses to run as root.
    user = "nobody" if os.getuid() == 0 else None
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)

    def run(*command: str) -> None:
        environ = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        arguments = [str(binaries / command[0]), *command[1:]]
        subprocess.run(arguments, check=True, user=user, env=environ, cwd=folder, stdout=subprocess.DEVNULL, timeout=60)

    data, log = str(folder / "data"), str(folder / "log")
    try:
        run("initdb", "-D", data, "-U", "openeo", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run("pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "start")
        try:
            yield f"postgresql://openeo@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgres_schema(url: str) -> Iterator[str]:
    """Make an empty schema in a server for one test; yields the URL that sees nothing else."""
    name = f"openeo_test_{secrets.token_hex(6)}"
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
        with engine.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    finally:
        engine.dispose()
