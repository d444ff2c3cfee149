"""Connections to the very address that was checked, with limits of time that a slow server cannot stretch."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from functools import lru_cache, partial
from socket import socket
from typing import Any

from urllib3 import PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from processes.fetch._address import Address, require_public, resolve
from processes.fetch.rules import FetchRules

# How many hosts keep connections open, and how many each.
_HOSTS, _CONNECTIONS = 16, 8


@lru_cache(maxsize=8)
def pool(rules: FetchRules) -> PoolManager:
    """Return this process's connections under these rules; no proxy of the environment's is asked."""
    patience = Timeout(connect=rules.connect_seconds, read=rules.idle_seconds)
    manager = PoolManager(num_pools=_HOSTS, maxsize=_CONNECTIONS, block=False, retries=False, timeout=patience)
    manager.pool_classes_by_scheme = {
        "http": partial(_HttpPool, rules=rules),  # type: ignore[dict-item]
        "https": partial(_HttpsPool, rules=rules, ssl_context=_tls()),  # type: ignore[dict-item]
    }
    return manager


class _Patience:
    """The end of a request's time, and the longest silence within it."""

    def __init__(self, total: float, idle: float) -> None:
        self.end = time.monotonic() + total
        self.idle = idle

    def left(self) -> float:
        """Return how long the next packet may take; TimeoutError when the time is over."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        return min(left, self.idle)


class _Socket(socket):
    """A socket whose every wait counts against the request's time, however small the packets."""

    patience: _Patience | None = None

    def recv_into(self, *args: Any, **named: Any) -> int:
        """Wait no longer than the request's time allows."""
        if self.patience is not None:
            self.settimeout(self.patience.left())
        return super().recv_into(*args, **named)


class _TlsSocket(ssl.SSLSocket):
    """As `_Socket`, over TLS."""

    patience: _Patience | None = None

    def recv_into(self, *args: Any, **named: Any) -> int:
        """Wait no longer than the request's time allows."""
        if self.patience is not None:
            self.settimeout(self.patience.left())
        return super().recv_into(*args, **named)


class _Checked:
    """What both kinds of connection do: connect to an address that was checked, and limit each request's time."""

    rules: FetchRules

    def _new_conn(self) -> socket:
        """Resolve, check and connect in one step: a name that changes its address in between gains nothing."""
        host, port = str(self._dns_host).strip("[]"), int(self.port)  # type: ignore[attr-defined]
        addresses = resolve(host, port)
        if not self.rules.permits(host.rstrip(".").lower(), port):
            require_public(host, addresses)
        return _connect(self, addresses, port, self.rules)

    def request(self, *args: Any, **named: Any) -> None:
        """Send a request; its time begins now."""
        sock = self.sock  # type: ignore[attr-defined]
        if sock is None:
            self.connect()  # type: ignore[attr-defined]
            sock = self.sock  # type: ignore[attr-defined]
        sock.patience = _Patience(self.rules.total_seconds, self.rules.idle_seconds)
        super().request(*args, **named)  # type: ignore[misc]


class _Http(_Checked, HTTPConnection):
    def __init__(self, *args: Any, rules: FetchRules, **named: Any) -> None:
        super().__init__(*args, **named)
        self.rules = rules


class _Https(_Checked, HTTPSConnection):
    def __init__(self, *args: Any, rules: FetchRules, **named: Any) -> None:
        super().__init__(*args, **named)
        self.rules = rules


class _HttpPool(HTTPConnectionPool):
    ConnectionCls: Callable[..., Any] = _Http  # type: ignore[assignment]


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls: Callable[..., Any] = _Https  # type: ignore[assignment]


def _tls() -> ssl.SSLContext:
    """Return the settings of TLS: certificates and names are verified against the system's authorities."""
    context = ssl.create_default_context()
    context.sslsocket_class = _TlsSocket
    return context


def _connect(asker: Any, addresses: list[tuple[int, Address]], port: int, rules: FetchRules) -> socket:
    """Return a connection to the first address that answers, within the time for all of them."""
    patience = _Patience(rules.connect_seconds, rules.connect_seconds)
    failure: OSError = OSError("no address")
    for family, address in addresses:
        sock = _Socket(family)
        try:
            sock.settimeout(patience.left())
            sock.connect((str(address), port))
            sock.settimeout(rules.idle_seconds)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise NewConnectionError(asker, f"cannot connect: {failure}") from failure
