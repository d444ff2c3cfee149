"""Putting a finished folder in an older one's place in one step."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# What a kernel or file system answers that knows no exchange.
_NOT_SUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


def replace_folder(new: Path, place: Path) -> None:
    """Move the folder `new` to `place`, whose old content, if any, is deleted.

    On Linux both change places at once: whoever opens `place` finds the old or the new folder, never none. Elsewhere
    there is a moment without; if the second move fails the old folder is put back.

    Raises
    ------
    OSError
        `place` is a file, or may not be written.
    """
    try:
        new.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not _exchange(new, place):
            _swap(new, place)
        shutil.rmtree(new)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places; False where the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _swap(new: Path, place: Path) -> None:
    """Let two folders change places by three renames."""
    aside = new.with_name(new.name + ".old")
    place.rename(aside)
    try:
        new.rename(place)
    except OSError:
        aside.rename(place)
        raise
    aside.rename(new)
