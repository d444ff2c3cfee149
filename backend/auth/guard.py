"""The two forms of the Authorization header: Basic for logging in, Bearer for everything else."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from flask import g, request

from backend.context import current
from processes.errors import OpenEOError

View = TypeVar("View", bound=Callable[..., Any])


def authenticated(view: View) -> View:
    """Let only users with a valid token reach `view`; their name is `g.user`."""

    @functools.wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        g.user = token_user()
        return view(*args, **kwargs)

    return guarded  # type: ignore[return-value]


def token_user() -> str:
    """Return the name of the user whose token the request carries."""
    return current().services.users.user_of(bearer_token())


def bearer_token() -> str:
    """Return the token of `Bearer basic//TOKEN` or of plain `Bearer TOKEN`."""
    scheme, value = _authorization("Bearer")
    if scheme != "bearer":
        raise OpenEOError(
            "AuthenticationSchemeInvalid", "Authenticate with a Bearer token from GET /credentials/basic."
        )
    method, slash, rest = value.partition("/")
    if not slash:
        return value
    provider, slash, token = rest.partition("/")
    if method != "basic" or provider or not slash:
        message = "The token must have the form basic//TOKEN; this server offers no other kind."
        raise OpenEOError("AuthenticationSchemeInvalid", message)
    return token


def basic_credentials() -> tuple[str, str]:
    """Return name and password of the request's `Basic` header."""
    scheme, value = _authorization("Basic")
    if scheme != "basic":
        raise OpenEOError("AuthenticationSchemeInvalid", "Log in with HTTP Basic authentication.")
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise OpenEOError("CredentialsInvalid", "The Basic header must hold name:password, in UTF-8 and Base64.")
    return name, password


def _authorization(wanted: str) -> tuple[str, str]:
    header = request.headers.get("Authorization", "").strip()
    if not header:
        raise OpenEOError("AuthenticationRequired", f"Send an Authorization header of the type {wanted}.")
    scheme, _, value = header.partition(" ")
    return scheme.lower(), value.strip()
