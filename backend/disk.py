"""A full disk, told as one: libraries that write files hide it behind errors of their own."""

from __future__ import annotations

import contextlib
import errno
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from processes.errors import OpenEOError

# EFBIG: the operating system lets this process write no larger file.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# No room for so many bytes where something was being written: that was the reason, whatever the library said.
LEAST_FREE = 1 << 20


def disk_full() -> OpenEOError:
    """Return what users are told."""
    return OpenEOError("StorageFailure", "The server's disk is full; its operator must make room.")


def is_full(error: BaseException | None) -> bool:
    """Whether an exception, or one behind it, says that there is no room."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Tell whatever fails in the block as a full disk where `folder` has no room any more.

    Raises
    ------
    OpenEOError
        StorageFailure.
    """
    try:
        yield
    except OpenEOError:
        raise
    except Exception as error:
        if is_full(error) or _no_room(folder):
            raise disk_full() from error
        raise


def _no_room(folder: Path) -> bool:
    """Try it out: a quota leaves no room on a file system that has some."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(bytes(LEAST_FREE))
        return shutil.disk_usage(folder).free < LEAST_FREE or _at_its_limit(folder)
    except OSError as error:
        return is_full(error)


def _at_its_limit(folder: Path) -> bool:
    """Whether a file in the folder is as large as this process may write one."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit == resource.RLIM_INFINITY:
        return False
    return any(path.stat().st_size + LEAST_FREE > limit for path in folder.iterdir() if path.is_file())
