"""What may be fetched from where, and how much of it: the operator's rules."""

from __future__ import annotations

import re
from dataclasses import dataclass

MIB = 2**20
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


@dataclass(frozen=True)
class FetchRules:
    """Rules of the fetch gate; the defaults suit strangers' URLs.

    Parameters
    ----------
    hosts : tuple of str
        Hosts that the operator permits whatever their address, over http too: ``name`` (ports 80 and 443) or
        ``name:port``.
    ports : tuple of int
        Ports of all other hosts, which are reached over https.
    redirects : int
        How many redirects are followed, each checked like the first URL.
    connect_seconds, idle_seconds, total_seconds : float
        Limits for a connection to open, between two packets, and for one request with its answer.
    graph_seconds : float
        Limit for all that one process fetches while a graph is built: a catalogue's documents, files' headers.
    document_bytes : int
        Largest document, as received and as decoded (metadata, GeoJSON).
    file_bytes : int
        Largest file that is read as a whole (NetCDF, GeoParquet, rasters of servers without range requests).
    """

    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = (443, 8443)
    redirects: int = 5
    connect_seconds: float = 10.0
    idle_seconds: float = 30.0
    total_seconds: float = 120.0
    graph_seconds: float = 180.0
    document_bytes: int = 16 * MIB
    file_bytes: int = 128 * MIB

    def __post_init__(self) -> None:
        """Refuse what is no host; ValueError names it."""
        for entry in self.hosts:
            if not _HOST.fullmatch(entry):
                raise ValueError(f"{entry!r} is no host; write name, name:port, address:port or [IPv6 address]:port")

    def permits(self, host: str, port: int) -> bool:
        """Whether the operator permits this host and port, whatever its address."""
        listed = {entry.lower() for entry in self.hosts}
        name = f"[{host}]" if ":" in host else host
        return f"{name}:{port}" in listed or (port in (80, 443) and name in listed)
