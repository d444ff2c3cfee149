"""Rasters of strangers: opened by a driver that their first bytes name, from one file alone."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from processes.fetch.errors import FetchError, WrongFormat
from processes.fetch.files import Files
from processes.fetch.urls import shown

# How files of the permitted formats begin, and GDAL's name of the driver. VRT and others that name further files or
# URLs are not among them, and GDAL tries no driver but the one that is named.
SIGNATURES: Mapping[bytes, str] = {
    b"II*\x00": "GTiff",
    b"MM\x00*": "GTiff",
    b"II+\x00": "GTiff",
    b"MM\x00+": "GTiff",
    b"\x00\x00\x00\x0cjP  ": "JP2OpenJPEG",
    b"\xffO\xffQ": "JP2OpenJPEG",
}
# No listing of folders, no side files, no configuration from beside the file.
_ENVIRONMENT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_TIFF_INTERNAL_MASK": "YES",
    "GDAL_NUM_THREADS": "1",
}
_LARGEST_BLOCK = 256 * 2**20
_LARGEST_SIDE, _MOST_BANDS = 2**24, 2000


@contextmanager
def open_raster(files: Files, url: str) -> Iterator[Any]:
    """Open a GeoTIFF (COG) or JPEG 2000; of a URL, what is read is fetched by range requests.

    Parameters
    ----------
    files : Files
        The gate, or a user's files.
    url : str
        The file's name there.

    Yields
    ------
    rasterio.DatasetReader

    Raises
    ------
    FetchError
        UrlRefused, FetchFailed; WrongFormat where the file is of another format, damaged, or of blocks beyond reason.
    """
    with files.open(url) as file, opened(file, url) as dataset:
        yield dataset


@contextmanager
def opened(file: Any, url: str) -> Iterator[Any]:
    """Open a raster in a seekable file; `url` is how messages call it."""
    driver = _driver(file)
    if driver is None:
        raise WrongFormat(f"{shown(url)} is neither a GeoTIFF nor a JPEG 2000 file")
    bridge = _Bridge(file)
    with ExitStack() as stack:
        try:
            stack.enter_context(rasterio.Env(**_ENVIRONMENT))
            dataset = stack.enter_context(rasterio.open(bridge.name, driver=driver, opener=bridge.open))
            _require_reasonable(dataset, url)
        except (RasterioError, SystemError, ValueError) as error:
            raise _told(error, bridge, url) from error
        try:
            yield dataset
        except (RasterioError, SystemError) as error:
            raise _told(error, bridge, url) from error


def _told(error: Exception, bridge: _Bridge, url: str) -> FetchError:
    """Return why a raster cannot be read: the gate's reason where there is one."""
    if bridge.failure is not None:
        return bridge.failure
    return WrongFormat(f"{shown(url)} is damaged or cannot be read: {type(error).__name__}")


def _driver(file: Any) -> str | None:
    file.seek(0)
    head = file.read(12)
    return next((driver for start, driver in SIGNATURES.items() if head.startswith(start)), None)


class _Bridge:
    """Gives GDAL one file under a name of its own, and nothing else whatever it asks for.

    GDAL cannot pass on Python's exceptions: a failure is kept here, and GDAL sees the end of the file.
    """

    def __init__(self, file: Any) -> None:
        self.name = f"gate-{uuid.uuid4().hex}"
        self.failure: FetchError | None = None
        self._file = file

    def open(self, path: str, mode: str = "rb", **_: Any) -> io.RawIOBase:
        """Return the file under its name."""
        if self.name not in path or mode not in ("r", "rb"):
            raise FileNotFoundError(path)
        return _View(self)

    def read(self, at: int, size: int) -> bytes:
        """Return bytes; none after a failure."""
        if self.failure is not None:
            return b""
        try:
            wanted = max(min(size, self.size - at), 0)  # a damaged file may have anything asked for
            self._file.seek(at)
            return bytes(self._file.read(wanted))
        except FetchError as error:
            self.failure = error
            return b""

    @property
    def size(self) -> int:
        """Return the size of the file."""
        return int(self._file.seek(0, io.SEEK_END))


class _View(io.RawIOBase):
    """One of GDAL's handles: a position of its own in the one file."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._bridge.size}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._bridge.size - self._at if size is None or size < 0 else size
        data = self._bridge.read(self._at, wanted)
        self._at += len(data)
        return data


def _require_reasonable(dataset: Any, url: str) -> None:
    """Refuse what would take more memory than its pixels are worth: a small file can hold a huge block."""
    sides = max(dataset.width, dataset.height)
    if sides > _LARGEST_SIDE or dataset.count > _MOST_BANDS:
        raise WrongFormat(f"{shown(url)} is too large: {dataset.width} x {dataset.height} x {dataset.count}")
    for (rows, columns), kind in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        itemsize = 16 if "complex" in kind else 8
        bands = dataset.count if str(dataset.interleaving).lower().endswith("pixel") else 1
        if rows * columns * itemsize * bands > _LARGEST_BLOCK:
            raise WrongFormat(f"{shown(url)} is stored in blocks of {rows} x {columns} pixels, which is too much")
