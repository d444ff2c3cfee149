"""Users' own folders. Every step from a user's folder downwards is opened by itself, and links are not followed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from backend.disk import disk_full, is_full
from backend.files.paths import PARTIAL, parse_path
from processes.errors import OpenEOError

BLOCK = 1 << 18
ABANDONED = 86_400.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class StoredFile:
    """A user's file: its path within the user's folder, size in bytes, and when it was written."""

    path: str
    size: int
    modified: float


class Workspaces:
    """The folders of all users below `root`; a file has at most `file_bytes`, a user's files `quota` bytes together."""

    def __init__(self, root: Path, file_bytes: int, quota: int) -> None:
        self._root = root
        self._file_bytes = file_bytes
        self._quota = quota

    @property
    def quota(self) -> int:
        """How many bytes a user may have altogether."""
        return self._quota

    def of(self, user: str) -> list[StoredFile]:
        """Return all files of a user, sorted by path."""
        return sorted(self._files(user), key=lambda file: file.path)

    def used(self, user: str) -> int:
        """Return how many bytes a user's files take."""
        return sum(file.size for file in self._files(user))

    def open(self, user: str, path: str) -> tuple[IO[bytes], StoredFile]:
        """Open a file to be read.

        Raises
        ------
        OpenEOError
            FilePathInvalid, FileNotFound; FileOperationUnsupported for folders and whatever is no plain file.
        """
        names = parse_path(path)
        with self._folder(user, names[:-1], path) as folder, _told(path):
            descriptor = os.open(names[-1], _FILE, dir_fd=folder)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise OpenEOError("FileOperationUnsupported", f"'{path}' is a folder; name a file in it.")
        return os.fdopen(descriptor, "rb"), StoredFile(path, status.st_size, status.st_mtime)

    def write(self, user: str, path: str, content: IO[bytes], others: int = 0) -> StoredFile:
        """Write a file, in place of one of that path, from a stream.

        Parameters
        ----------
        user, path : str
        content : file
            Read block by block.
        others : int
            Bytes of the user's quota that are taken by other things than files.

        Raises
        ------
        OpenEOError
            FilePathInvalid, FileSizeExceeded, StorageQuotaExceeded; FileOperationUnsupported where a folder has the
            path, or a file the place of one of its folders.
        """
        names = parse_path(path)
        with self._folder(user, (), path, create=True) as root:
            _forget_abandoned(root)
            partial = f"{PARTIAL}{secrets.token_hex(8)}"
            try:
                free = self._quota - others - self.used(user)
                with _told(path):
                    self._receive(root, partial, content, max(0, free))
                with self._locked(root), self._folder(user, names[:-1], path, create=True) as folder:
                    self._place(user, root, partial, folder, names[-1], path, others)
                    status = os.stat(names[-1], dir_fd=folder, follow_symlinks=False)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(partial, dir_fd=root)
        return StoredFile(path, status.st_size, status.st_mtime)

    def delete(self, user: str, path: str) -> None:
        """Delete a file, and the folders that are empty without it; errors as for `open`."""
        names = parse_path(path)
        with self._folder(user, (), path) as root, self._locked(root):
            with self._folder(user, names[:-1], path) as folder, _told(path):
                if stat.S_ISDIR(os.stat(names[-1], dir_fd=folder, follow_symlinks=False).st_mode):
                    raise OpenEOError("FileOperationUnsupported", f"'{path}' is a folder; delete its files one by one.")
                os.unlink(names[-1], dir_fd=folder)
            self._prune(user, names[:-1])

    def delete_all(self, user: str) -> None:
        """Delete all files of a user."""
        shutil.rmtree(self._root / _name_of(user), ignore_errors=True)

    def _receive(self, root: int, partial: str, content: IO[bytes], free: int) -> None:
        """Write a stream to a file of its own, and stop as soon as it is too long."""
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=root)
        size = 0
        with os.fdopen(descriptor, "wb") as file:
            while block := content.read(BLOCK):
                size += len(block)
                if size > self._file_bytes:
                    message = f"File size is too large. Maximum file size: {self._file_bytes} bytes."
                    raise OpenEOError("FileSizeExceeded", message)
                if size > free:
                    raise self._full()
                file.write(block)

    def _place(self, user: str, root: int, partial: str, folder: int, name: str, path: str, others: int) -> None:
        """Rename a received file to its path, unless other uploads have used up the room meanwhile."""
        old = 0
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                raise OpenEOError("FileOperationUnsupported", f"'{path}' is a folder; choose another name.")
            old = status.st_size
        new = os.stat(partial, dir_fd=root, follow_symlinks=False).st_size
        if self.used(user) - old + new + others > self._quota:
            raise self._full()
        os.rename(partial, name, src_dir_fd=root, dst_dir_fd=folder)

    def _full(self) -> OpenEOError:
        message = f"Your storage quota of {self._quota} bytes would be exceeded; delete files or batch jobs first."
        return OpenEOError("StorageQuotaExceeded", message)

    @contextlib.contextmanager
    def _folder(self, user: str, names: tuple[str, ...], path: str, create: bool = False) -> Iterator[int]:
        """Open a folder of a user, one step at a time; with `create`, missing ones are made."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        current = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in (_name_of(user), *names):
                with _told(path):
                    if create:
                        with contextlib.suppress(FileExistsError):
                            os.mkdir(name, 0o700, dir_fd=current)
                    deeper = os.open(name, _FOLDER, dir_fd=current)
                os.close(current)
                current = deeper
            yield current
        finally:
            os.close(current)

    @contextlib.contextmanager
    def _locked(self, root: int) -> Iterator[None]:
        """Let one change at a time be made to a user's files: the quota holds for all of them."""
        fcntl.flock(root, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(root, fcntl.LOCK_UN)

    def _prune(self, user: str, names: tuple[str, ...]) -> None:
        """Remove folders that are empty, from the inmost outwards."""
        for depth in range(len(names), 0, -1):
            with self._folder(user, names[: depth - 1], "/".join(names)) as parent:
                try:
                    os.rmdir(names[depth - 1], dir_fd=parent)
                except OSError:  # there is more in it
                    return

    def _files(self, user: str) -> Iterator[StoredFile]:
        root = self._root / _name_of(user)
        for folder, _, names in os.walk(root, followlinks=False):
            for name in names:
                full = Path(folder) / name
                try:
                    status = full.lstat()
                except FileNotFoundError:  # deleted meanwhile
                    continue
                if stat.S_ISREG(status.st_mode) and not name.startswith(PARTIAL):
                    yield StoredFile(full.relative_to(root).as_posix(), status.st_size, status.st_mtime)


def _name_of(user: str) -> str:
    """Return the name of a user's folder: users may be called `..`."""
    return f"user-{user}"


def _forget_abandoned(root: int) -> None:
    """Remove what uploads left behind whose server was killed."""
    for name in os.listdir(root):
        if name.startswith(PARTIAL):
            with contextlib.suppress(FileNotFoundError):
                if os.stat(name, dir_fd=root, follow_symlinks=False).st_mtime < time.time() - ABANDONED:
                    os.unlink(name, dir_fd=root)


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Tell failures of the file system as what the user can do about them."""
    try:
        yield
    except FileNotFoundError:
        raise OpenEOError("FileNotFound", f"File '{path}' does not exist; GET /files lists yours.") from None
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK):
            message = f"'{path}' leads through something that is no folder, or is no plain file; choose another path."
            raise OpenEOError("FileOperationUnsupported", message) from None
        if is_full(error):
            raise disk_full() from None
        raise
