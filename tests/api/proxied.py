"""A server whose state is in PostgreSQL behind a proxy, both of which can be taken away from it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil

from tests.api.faults import Proxy
from tests.backend.databases import postgres_binaries, postgres_server
from tests.backend.server import Server, serving

# Longer than the outages.
LONG = "30"
OUTAGE = 2.5


@dataclass
class Proxied:
    """A server on PostgreSQL behind a proxy."""

    server: Server
    proxy: Proxy
    socket: Path

    def restart(self) -> None:
        """Kill PostgreSQL as a crash would, and have it recover."""
        data = self.socket / "data"
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, 20)
        time.sleep(OUTAGE)
        binaries = postgres_binaries()
        assert binaries is not None
        options = f"-k {self.socket} -c listen_addresses='' -c fsync=off"
        line = [str(binaries / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(self.socket / "log"), "-w", "start"]
        user = self.socket.stat().st_uid
        subprocess.run(line, check=True, user=user, cwd=self.socket, stdout=subprocess.DEVNULL, timeout=60)


@contextlib.contextmanager
def proxied_postgres(folder: Path) -> Iterator[Proxied]:
    """Run PostgreSQL, a proxy before it, and a server on a data folder with one runner; skips without PostgreSQL."""
    with postgres_server() as url:
        place = Path(parse_qs(urlsplit(url).query)["host"][0])
        proxy = Proxy(lambda: _to_socket(place / ".s.PGSQL.5432"))
        address = f"postgresql://openeo@127.0.0.1:{proxy.port}/postgres"
        settings = {"OPENEO_EMBED_RUNNERS": "1", "OPENEO_EMBED_JOB_LEASE": LONG, "OPENEO_EMBED_DATABASE": address}
        with serving(folder, "--demo-user", **settings) as server:
            yield Proxied(server, proxy, place)
        proxy.close()


def _to_socket(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection
