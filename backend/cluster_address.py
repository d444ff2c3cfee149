"""Which scheduler may be computed on: whoever reaches one can run code, so it is on this machine or speaks TLS."""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes.errors import OpenEOError

if TYPE_CHECKING:
    from backend.settings import Settings

_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})")
FILES = ("tls_ca_file", "tls_client_cert", "tls_client_key")


def check_address(settings: Settings) -> None:
    """Refuse a scheduler that strangers may reach, and certificates that are missing or for nothing.

    Raises
    ------
    OpenEOError
        SettingInvalid: names the variable, its value and what it may be.
    """
    address = settings.scheduler
    if address is not None and _parts(address) is None:
        raise _invalid(
            "scheduler", address, "it must be an address such as tls://10.0.0.5:8786 or tcp://127.0.0.1:8786"
        )
    given = [name for name in FILES if getattr(settings, name) is not None]
    if address is not None and address.startswith("tls://"):
        _check_files(settings, given)
    elif given:
        raise _invalid(given[0], getattr(settings, given[0]), "it is for a scheduler at tls://, and there is none")
    elif address is not None and not _is_loopback(address):
        reason = (
            "tcp:// is for this machine alone (127.0.0.1), because whoever reaches a scheduler can run code. Start it "
            "with TLS and name it tls://HOST:PORT, with OPENEO_EMBED_TLS_CA_FILE, _TLS_CLIENT_CERT and _TLS_CLIENT_KEY"
        )
        raise _invalid("scheduler", address, reason)


def security_of(settings: Settings) -> Any:
    """Return what Dask's client needs to speak TLS with the scheduler; None for one on this machine."""
    if settings.tls_ca_file is None:
        return None
    from distributed.security import Security

    return Security(  # type: ignore[no-untyped-call]
        tls_ca_file=settings.tls_ca_file,
        tls_client_cert=settings.tls_client_cert,
        tls_client_key=settings.tls_client_key,
        require_encryption=True,
    )


def _check_files(settings: Settings, given: list[str]) -> None:
    for name in FILES:
        value = getattr(settings, name)
        if name not in given:
            raise _invalid(name, value, "a scheduler at tls:// needs it: a file in PEM form")
        try:
            content = Path(value).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not in PEM form"
            raise _invalid(name, value, f"it cannot be read: {reason}") from None
        if "-----BEGIN " not in content:
            raise _invalid(name, value, "it must be a file in PEM form")


def _parts(address: str) -> tuple[str, str, int] | None:
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found[3]) < 65536:
        return None
    return found[1], found[2].strip("[]"), int(found[3])


def _is_loopback(address: str) -> bool:
    """Whether the host of an address is this machine, by all its addresses."""
    parts = _parts(address)
    assert parts is not None
    try:
        found = {str(info[4][0]).split("%")[0] for info in socket.getaddrinfo(parts[1], parts[2])}
    except OSError:
        return False
    return all(ipaddress.ip_address(one).is_loopback for one in found)


def _invalid(name: str, value: object, reason: str) -> OpenEOError:
    shown = "not set" if value is None else repr(value)
    return OpenEOError("SettingInvalid", f"OPENEO_EMBED_{name.upper()} is {shown}: {reason}.")
