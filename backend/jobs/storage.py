"""Where the files of results are: one seam, and a folder of this machine behind it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Protocol

from backend.disk import disk_full

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# Drafts that nobody has touched for so long are what dead runners left.
ABANDONED = 86_400.0


class ResultStorage(Protocol):
    """Files of results by job, folder (one for each attempt) and name."""

    def draft(self, job: str) -> AbstractContextManager[Path]:
        """Make an empty local folder to write files into; what is not published is gone afterwards."""
        ...

    def spool(self, size: int) -> IO[bytes]:
        """Open an empty file without a name for some `size` bytes; OpenEOError StorageFailure without room for them."""
        ...

    def publish(self, draft: Path, job: str, folder: str) -> None:
        """Make all files of a draft readable under that folder of the job, at once."""
        ...

    def locate(self, job: str, folder: str, name: str) -> Path | None:
        """Return a published file, None where there is none."""
        ...

    def remove(self, job: str, keep: str | None = None) -> None:
        """Remove all files of a job, but not those of the folder `keep`."""
        ...

    def sweep(self) -> None:
        """Remove drafts that dead runners have left."""
        ...


class LocalStorage:
    """Results in a folder: ``<root>/<job>/<folder>/<name>``; drafts beside the jobs, so that publishing is a rename."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self._root = root
        self._drafts = root / ".drafts"
        self._clock = clock

    def spool(self, size: int) -> IO[bytes]:
        """Open a file on the disk of the results, where `size` bytes must be free.

        Whatever becomes of this process, nothing is left of the file.
        """
        self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(self._drafts).free < size:
            raise disk_full()
        return tempfile.TemporaryFile(dir=self._drafts)

    @contextlib.contextmanager
    def draft(self, job: str) -> Iterator[Path]:
        """Make an empty folder."""
        self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=f"{_safe(job)}-", dir=self._drafts))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, draft: Path, job: str, folder: str) -> None:
        """Rename the draft; a folder of that name is replaced."""
        target = self._root / _safe(job) / _safe(folder)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(draft, target)

    def locate(self, job: str, folder: str, name: str) -> Path | None:
        """Return a published file."""
        path = self._root / _safe(job) / _safe(folder) / _safe(name)
        return path if path.is_file() and not path.is_symlink() else None

    def remove(self, job: str, keep: str | None = None) -> None:
        """Remove the files of a job."""
        folder = self._root / _safe(job)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name != keep:
                shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty, or gone
            folder.rmdir()

    def sweep(self) -> None:
        """Remove drafts that nobody has touched for a day."""
        for path in self._drafts.iterdir() if self._drafts.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < self._clock() - ABANDONED:
                    shutil.rmtree(path, ignore_errors=True)


def _safe(name: str) -> str:
    """Return a name that cannot lead out of a folder; ours never do."""
    if not _SAFE.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a result's file")
    return name
