"""Users and their access tokens.

Passwords are kept as argon2id hashes, tokens as SHA-256 digests (they are 256 random bits: there is nothing to
guess). A login takes as long for a name that nobody has as for a wrong password.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from backend.auth.attempts import LoginAttempts
from backend.state import Database
from backend.state.tables import TOKENS, USERS
from processes.errors import OpenEOError

DEMO = "demo"
SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024
_NAME = re.compile(r"[A-Za-z0-9_.~-]{1,64}")
# Asked by every request that needs a login: made once.
_HOLDER = select(TOKENS.c.user).where(TOKENS.c.digest == bindparam("token"), TOKENS.c.expires > bindparam("now"))
_WRONG = "The user name or the password is wrong."


class UserStore:
    """The users of one server, in its database.

    Parameters
    ----------
    database : Database
        Where they are kept; `close` closes it.
    token_hours : float
        Lifetime of access tokens.
    login_attempts, login_minutes : int, float
        After so many failures from one address for one name, further logins are refused for so long.
    clock : callable
        The time in seconds since 1970.
    hasher : PasswordHasher
        Hashes passwords; argon2's recommended costs by default.
    """

    def __init__(
        self,
        database: Database,
        token_hours: float = 24.0,
        login_attempts: int = 10,
        login_minutes: float = 15.0,
        clock: Callable[[], float] = time.time,
        hasher: PasswordHasher | None = None,
    ) -> None:
        self._database = database
        self._lifetime = token_hours * 3600
        self._clock = clock
        self._attempts = LoginAttempts(database, login_attempts, login_minutes * 60, clock)
        self._hasher = hasher or PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_hex(16))
        # A hash takes 64 MiB: many at once would be a way to exhaust the server.
        self._hashing = threading.BoundedSemaphore(2)

    def names(self) -> list[str]:
        """Return the names of all users, sorted."""
        with self._database.reading() as connection:
            return list(connection.execute(select(USERS.c.name).order_by(USERS.c.name)).scalars())

    def add(self, name: str, password: str) -> None:
        """Create a user; OpenEOError UserInvalid where the name or the password cannot be."""
        if not _NAME.fullmatch(name):
            raise OpenEOError("UserInvalid", f"The name {name!r} must be 1 to 64 of the characters A-Z a-z 0-9 _ . ~ -")
        if name == DEMO:
            raise OpenEOError("UserInvalid", f"The name {DEMO} is kept for the demo user; choose another name.")
        if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            raise OpenEOError("UserInvalid", f"The password must have at least {SHORTEST_PASSWORD} characters.")
        self._insert(name, password)

    def set_demo(self, enabled: bool) -> None:
        """Create the demo user afresh, or remove it; only `serve` on a loopback address enables it."""
        self._forget(DEMO)
        if enabled:
            self._insert(DEMO, DEMO)

    def remove(self, name: str) -> None:
        """Remove a user and all of the user's tokens; OpenEOError UserNotFound names those there are."""
        if not self._forget(name):
            raise self._unknown(name)

    def revoke(self, name: str) -> int:
        """End all tokens of a user and return how many there were; OpenEOError UserNotFound names those there are."""
        if name not in self.names():
            raise self._unknown(name)
        with self._database.writing() as connection:
            return int(connection.execute(delete(TOKENS).where(TOKENS.c.user == name)).rowcount)

    def log_in(self, name: str, password: str, address: str) -> str:
        """Check a password and return a new access token.

        Raises
        ------
        OpenEOError
            CredentialsInvalid for a wrong name or password, TooManyLogins (429) after too many of them.
        """
        self._attempts.count(name, address)
        stored = self._hash_of(name) if _NAME.fullmatch(name) else None
        if not self._matches(stored or self._nobody, password) or stored is None:
            raise OpenEOError("CredentialsInvalid", _WRONG)
        self._attempts.forget(name, address)
        return self._new_token(name)

    def user_of(self, token: str) -> str:
        """Return the name of the user who holds `token`; OpenEOError TokenInvalid for a false or expired one."""
        with self._database.reading() as connection:
            user = connection.execute(_HOLDER, {"token": _digest(token), "now": self._clock()}).scalar()
        if user is None:
            raise OpenEOError("TokenInvalid", "The access token is wrong or has expired; authenticate again.")
        return str(user)

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    def _unknown(self, name: str) -> OpenEOError:
        known = ", ".join(self.names()) or "none"
        return OpenEOError("UserNotFound", f"There is no user {name!r}; there are: {known}.")

    def _hash_of(self, name: str) -> str | None:
        with self._database.reading() as connection:
            return connection.execute(select(USERS.c.password_hash).where(USERS.c.name == name)).scalar()

    def _insert(self, name: str, password: str) -> None:
        row = {"name": name, "password_hash": self._hasher.hash(password), "created": self._clock()}
        try:
            with self._database.writing() as connection:
                connection.execute(insert(USERS).values(row))
        except IntegrityError:
            raise OpenEOError("UserInvalid", f"There is a user {name!r} already; remove it first.") from None

    def _forget(self, name: str) -> bool:
        with self._database.writing() as connection:
            connection.execute(delete(TOKENS).where(TOKENS.c.user == name))
            return connection.execute(delete(USERS).where(USERS.c.name == name)).rowcount > 0

    def _matches(self, stored: str, password: str) -> bool:
        if len(password) > LONGEST_PASSWORD:
            return False
        with self._hashing:
            try:
                return self._hasher.verify(stored, password)
            except (VerificationError, InvalidHashError):
                return False

    def _new_token(self, name: str) -> str:
        token = secrets.token_urlsafe(32)
        now = self._clock()
        with self._database.writing() as connection:
            # Locks the user's row: a user who is being removed gets no token that would outlive the removal.
            user = update(USERS).where(USERS.c.name == name).values(name=name)
            if connection.execute(user).rowcount == 0:
                raise OpenEOError("CredentialsInvalid", _WRONG)
            connection.execute(delete(TOKENS).where(TOKENS.c.expires <= now))
            connection.execute(insert(TOKENS).values(digest=_digest(token), user=name, expires=now + self._lifetime))
        return token


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
