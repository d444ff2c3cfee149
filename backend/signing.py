"""Signed links: whoever has one can read that one thing, without logging in, until it expires."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

from processes.errors import OpenEOError

KEY_BYTES = 32


class Signer:
    """Signs paths of this server and checks them.

    Parameters
    ----------
    key : bytes
        The secret.
    seconds : float
        For how long a signature holds.
    clock : callable
        The time in seconds since 1970.
    """

    def __init__(self, key: bytes, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._seconds = seconds
        self._clock = clock

    def expiry(self) -> int:
        """Return when a signature made now expires, in seconds since 1970."""
        return int(self._clock() + self._seconds)

    def sign(self, path: str, expires: int) -> str:
        """Return `path` with the query that opens it until then."""
        return f"{path}?{urlencode({'expires': expires, 'signature': self._signature(path, expires)})}"

    def check(self, path: str, query: Mapping[str, str]) -> None:
        """Check the query of a request to `path`.

        Raises
        ------
        OpenEOError
            TokenInvalid for a wrong signature, ResultLinkExpired for one that was right.
        """
        given, expires = query.get("signature", ""), query.get("expires", "")
        known = expires.isascii() and expires.isdigit() and len(expires) < 20
        if not known or not hmac.compare_digest(self._signature(path, int(expires)).encode(), given.encode()):
            message = "The signature of this link is wrong; take the link from the results of the batch job as it is."
            raise OpenEOError("TokenInvalid", message)
        if int(expires) < self._clock():
            message = "The link to the batch job result has expired. Please request the results again."
            raise OpenEOError("ResultLinkExpired", message)

    def _signature(self, path: str, expires: int) -> str:
        return hmac.new(self._key, f"{expires}\n{path}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def signing_key(path: Path) -> bytes:
    """Return the secret in a file that its owner alone can read; it is made where there is none.

    Raises
    ------
    OpenEOError
        StorageFailure where the file is not what this function has written.
    """
    if not path.exists():
        _make(path)
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if path.stat().st_mode & 0o077 or not re.fullmatch(f"[0-9a-f]{{{2 * KEY_BYTES}}}", text):
        message = (
            f"{path} must hold the key of this server and be readable to its owner alone; delete it for a new one."
        )
        raise OpenEOError("StorageFailure", message)
    return bytes.fromhex(text)


def _make(path: Path) -> None:
    """Write a new key, whole or not at all, unless another process is first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
