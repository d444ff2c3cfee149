"""What can go wrong on the way to a URL. Messages never tell what addresses names have in the operator's network.

FetchError
    UrlRefused        the rules forbid it; nothing was sent there
    FetchFailed       the server could not be reached, or did not give what was asked for
        WrongFormat   the file is of another format, or damaged
    TooLarge          more bytes than the rules allow
"""

from __future__ import annotations


class FetchError(Exception):
    """A URL that could not be fetched; the message continues a sentence and ends without a full stop."""


class UrlRefused(FetchError):
    """The rules of the back-end forbid this URL."""


class FetchFailed(FetchError):
    """No useful answer came; `status` is the HTTP status where there was one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[FetchFailed], tuple[str, int | None]]:
        """Survive the way back from a Dask worker."""
        return (type(self), (str(self), self.status))


class WrongFormat(FetchFailed):
    """The file is of another format than it should be, or damaged."""


class TooLarge(FetchError):
    """The answer is larger than allowed."""
