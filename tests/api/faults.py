"""Faults that tests bring about: a disk without room, a locked database, a connection that breaks."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MIB = 2**20


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: float) -> Iterator[None]:
    """Make a folder a file system of its own, of that size; skips, saying so, where mounting is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    line = ["mount", "-t", "tmpfs", "-o", f"size={int(mebibytes * 1024)}k,mode=700", "tmpfs", str(folder)]
    done = subprocess.run(line, capture_output=True, text=True) if os.getuid() == 0 else None
    if done is None or done.returncode != 0:
        pytest.skip(f"a file system of {mebibytes} MiB cannot be mounted here: {done.stderr if done else 'not root'}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no room on the file system of a folder for the length of the block."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * MIB):
            pass
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 512):
            pass
    assert os.statvfs(folder).f_bavail == 0
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep everybody else from writing to an SQLite database for the length of the block."""
    keeper = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        keeper.execute("BEGIN EXCLUSIVE")
        yield
        keeper.execute("ROLLBACK")
    finally:
        keeper.close()


class Proxy:
    """Stands between a client and a server; `cut` breaks all connections, `freeze` keeps them and says nothing.

    Parameters
    ----------
    connect : callable
        Opens a connection to the server.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = False
        threading.Thread(target=self._accept, daemon=True).start()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Break all connections, and every new one, for the length of the block."""
        self._refusing = True
        self._break()
        try:
            yield
        finally:
            self._refusing = False

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let nothing through for the length of the block; what waited breaks then."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._break()
            self._flowing.set()

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
        self._break()

    def _break(self) -> None:
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._refusing:
                    client.close()
                    continue
                try:
                    server = self._connect()
                except OSError:
                    client.close()
                    continue
                self._open |= {client, server}
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                sink.sendall(data)
        for one in (source, sink):
            self._open.discard(one)
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
