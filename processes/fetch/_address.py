"""Names to addresses, and which addresses strangers' URLs may lead to."""

from __future__ import annotations

import ipaddress
import socket

from processes.fetch.errors import FetchFailed, UrlRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Not for strangers although their numbers look public: protocol assignments (a provider's metadata among them), relays,
# local translation, and a provider's host services.
_CLOSED = tuple(
    ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "64:ff9b:1::/48")
)
# IPv6 addresses in whose last 32 bits stands the IPv4 address that they are translated to.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolve(host: str, port: int) -> list[tuple[int, Address]]:
    """Return (family, address) of all addresses of a host, as the operating system finds them."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchFailed(f"the host {host[:100]!r} is not known") from error
    pairs = [(int(family), ipaddress.ip_address(str(place[0]))) for family, _, _, _, place in found]
    return list(dict.fromkeys(pairs))


def require_public(host: str, addresses: list[tuple[int, Address]]) -> None:
    """Raise `UrlRefused` unless all addresses of a host are public ones."""
    if not addresses or not all(is_public(address) for _, address in addresses):
        raise UrlRefused(f"the host {host[:100]!r} has no public address, and the operator has not listed it")


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet: not private, loopback, link-local, multicast and so on."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None or address.teredo is not None or address.is_site_local:
            return False
        inner = _ipv4_within(address)
        if inner is not None:
            return is_public(inner)
    if address.is_multicast or address.is_reserved or any(address in network for network in _CLOSED):
        return False
    return address.is_global


def _ipv4_within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a mapped, 6to4 or NAT64 address leads to."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
