"""netCDF-4 files of strangers, read variable by variable.

Read with h5py from the opened file itself. HDF5 files can name further files as the place of their data, on our disks
even: such variables are refused, each time that one is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from processes.fetch.errors import FetchError, WrongFormat
from processes.fetch.files import Files
from processes.fetch.urls import shown

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST_VARIABLES = 2000
_LARGEST_CHUNK = 256 * 2**20


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable: its dimensions' names, shape, stored type, attributes and stored chunks."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any]
    chunks: tuple[int, ...]


class NetcdfFile:
    """An open file; its variables are those of the root group."""

    def __init__(self, file: h5py.File, url: str) -> None:
        self._file, self._url = file, url

    def variables(self) -> dict[str, Variable]:
        """Return all variables with values, by name."""
        names = list(self._file)
        if len(names) > _MOST_VARIABLES:
            raise WrongFormat(f"{shown(self._url)} has {len(names)} variables")
        found = {}
        for name in names:
            if isinstance(self._file.get(name, getlink=True), h5py.HardLink):
                item = self._file[name]
                if isinstance(item, h5py.Dataset) and not _is_bare_dimension(item):
                    found[name] = self._described(name, item)
        return found

    def read(self, name: str, key: tuple[slice, ...] = ()) -> NDArray[Any]:
        """Return stored values at slices, all of them by default; text as str."""
        dataset = self._checked(self._file[name], name)
        if h5py.check_string_dtype(dataset.dtype):
            return np.asarray(dataset.asstr()[key or ...], dtype=str)
        return np.asarray(dataset[key or ...])

    def _described(self, name: str, dataset: Any) -> Variable:
        self._checked(dataset, name)
        dims = tuple(_dimension(dataset, axis, name) for axis in range(dataset.ndim))
        attributes = {key: _plain(value) for key, value in dataset.attrs.items() if not key.startswith("_Net")}
        return Variable(name, dims, dataset.shape, dataset.dtype, attributes, dataset.chunks or dataset.shape)

    def _checked(self, dataset: Any, name: str) -> Any:
        """Return a variable whose values lie in this file alone, in chunks that are not beyond reason."""
        if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
            raise WrongFormat(f"the variable {name!r} of {shown(self._url)} lies in other files, which are not read")
        size = int(np.prod(dataset.chunks or (), dtype=float)) * dataset.dtype.itemsize
        if dataset.chunks and size > _LARGEST_CHUNK:
            raise WrongFormat(f"the variable {name!r} of {shown(self._url)} is stored in chunks of {size} bytes")
        return dataset


@contextmanager
def open_netcdf(files: Files, url: str) -> Iterator[NetcdfFile]:
    """Open a netCDF-4 file.

    Parameters
    ----------
    files : Files
        The gate, or a user's files.
    url : str
        The file's name there.

    Yields
    ------
    NetcdfFile

    Raises
    ------
    FetchError
        UrlRefused, FetchFailed; WrongFormat for other formats, netCDF-3 too, and for damaged files.
    """
    with files.open(url) as remote:
        if remote.read(len(_SIGNATURE)) != _SIGNATURE:
            raise WrongFormat(f"{shown(url)} is no netCDF-4 file")
        watched = _Watched(remote)
        try:
            with h5py.File(watched, "r") as file:
                yield NetcdfFile(file, url)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            if watched.failure is not None:
                raise watched.failure from error
            raise WrongFormat(f"{shown(url)} is damaged or no netCDF-4 file: {type(error).__name__}") from error


class _Watched:
    """A file that remembers the gate's failures: HDF5 does not pass Python's exceptions on unchanged."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.failure: FetchError | None = None

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the position."""
        return int(self._file.tell())

    def read(self, size: int = -1) -> bytes:
        """Return bytes."""
        return bytes(self._file.read(size))

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        try:
            return int(self._file.readinto(buffer))
        except FetchError as error:
            self.failure = error
            raise OSError("the file cannot be fetched") from error


def _is_bare_dimension(dataset: Any) -> bool:
    """Whether a dataset only stands for the length of a dimension."""
    name = dataset.attrs.get("NAME", b"")
    return bytes(name if isinstance(name, bytes) else str(name).encode()).startswith(b"This is a netCDF dimension but")


def _dimension(dataset: Any, axis: int, name: str) -> str:
    """Return the name of a dimension: that of its scale, or the variable's own for a coordinate."""
    scales = dataset.dims[axis]
    if len(scales):
        return str(scales[0].name).rpartition("/")[2]
    return name if dataset.ndim == 1 else f"{name}_{axis}"


def _plain(value: Any) -> Any:
    """Return an attribute as text, number or list."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return _plain(value.item()) if value.size == 1 else [_plain(one) for one in value.ravel().tolist()]
    return value.item() if isinstance(value, np.generic) else value
