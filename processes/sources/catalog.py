"""The catalog of a back-end: a JSON file that lists the sources an operator added."""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from processes.errors import OpenEOError
from processes.sources import _worldcereal, _zarr
from processes.sources._source import GridSource
from processes.sources.base import CollectionSource

# Characters, and no part between slashes that is empty or that clients resolve away: ids stand in URLs.
_ID = re.compile(r"(?!(?:.*/)?\.{0,2}(?:/|$))[A-Za-z0-9_\-.~/]+")
LONGEST_ID = 200


@dataclass(frozen=True)
class Kind:
    """A kind of source: how it is opened, and when its files last changed (ns)."""

    open: Callable[[Path, str | None], GridSource]
    changed: Callable[[Path], int]


KINDS = {
    "zarr": Kind(_zarr.open_zarr, _zarr.changed),
    **{
        _worldcereal.kind(product): Kind(partial(_worldcereal.open_patch, product), _worldcereal.changed)
        for product in _worldcereal.SENSORS
    },
}


@dataclass(frozen=True)
class CatalogEntry:
    """One collection of the catalog: where it lies, what kind it is, its id."""

    path: str
    kind: str
    id: str


def open_source(path: str | Path, id: str | None = None) -> list[CollectionSource]:
    """Open what lies at `path`: a Zarr group, a folder of Zarr groups, or a WorldCereal patch.

    Parameters
    ----------
    path : str or Path
    id : str, optional
        The id of the collection, or, when `path` holds several, what their own ids are prefixed with.

    Raises
    ------
    OpenEOError
        FileNotFound, FileContentInvalid, or FeatureUnsupported for URLs.
    """
    return [source for _, source in _opened(path, id)]


class FileCatalog:
    """Collections listed in the JSON file at `path`, which need not exist yet; see `Catalog`.

    Several processes may share the file: it is replaced in one step, and read again when it has changed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._lock = threading.Lock()
        self._open: dict[CatalogEntry, tuple[int, GridSource]] = {}

    def ids(self) -> _Strings:
        """Return the ids of all collections, in the order in which they were added."""
        return [entry.id for entry in self.list()]

    def get(self, collection_id: str, /) -> CollectionSource:
        """Return a collection, opened once and again when its files change.

        Raises
        ------
        OpenEOError
            CollectionNotFound; StorageFailure when its files cannot be read any more.
        """
        entry = self._entry(collection_id)
        try:
            return self._source(entry)
        except (OSError, OpenEOError) as error:
            message = (
                f"Collection '{collection_id}' is listed, but its files cannot be read now. The operator of this "
                "back-end learns more from `catalog check`."
            )
            raise OpenEOError("StorageFailure", message) from error

    def check(self, collection_id: str) -> _Strings:
        """Read metadata and a small block of each band; return what is wrong, one sentence each."""
        entry = self._entry(collection_id)
        try:
            source = self._source(entry)
        except (OSError, OpenEOError) as error:
            return [f"{entry.path} cannot be opened: {error}"]
        return source.check()

    def add(self, path: str | Path, id: str | None = None) -> _Strings:
        """Add the collections at `path` (see `open_source`) and return their ids.

        Adding the same path under the same id again changes nothing. `OpenEOError` when an id is taken by another
        path or has characters that ids may not have.
        """
        found = [entry for entry, _ in _opened(path, id)]
        for entry in found:
            if not _ID.fullmatch(entry.id) or len(entry.id) > LONGEST_ID:
                message = (
                    f"'{entry.id[:LONGEST_ID]}' is no collection id: it may have letters a to z, digits and _ - . ~ / "
                    f"only, no empty part, . or .. between slashes, and {LONGEST_ID} characters at most."
                )
                raise OpenEOError("FilePathInvalid", message)
        with self._exclusive():
            entries = {entry.id: entry for entry in self.list()}
            for entry in found:
                _refuse_taken(entry, entries.get(entry.id))
                entries[entry.id] = entry
            self._write(list(entries.values()))
        return [entry.id for entry in found]

    def remove(self, collection_id: str) -> None:
        """Take a collection out of the catalog; its files stay. `OpenEOError` CollectionNotFound."""
        with self._exclusive():
            gone = self._entry(collection_id)
            self._write([entry for entry in self.list() if entry != gone])

    def list(self) -> _Entries:
        """Return the entries of all collections; `OpenEOError` StorageFailure when the file is damaged."""
        try:
            listed = json.loads(self.path.read_text(encoding="utf-8"))["sources"]
            return [CatalogEntry(item["path"], item["kind"], item["id"]) for item in listed]
        except FileNotFoundError:
            return []
        except (KeyError, TypeError, ValueError) as error:
            message = f"The catalog {self.path.name} is damaged; the operator must mend or remove it."
            raise OpenEOError("StorageFailure", message) from error

    def _entry(self, collection_id: str) -> CatalogEntry:
        entries = self.list()
        for entry in entries:
            if entry.id == collection_id:
                return entry
        known = ", ".join(sorted(entry.id for entry in entries)) or "none"
        message = f"Collection '{collection_id}' does not exist; known collections: {known}."
        raise OpenEOError("CollectionNotFound", message)

    def _source(self, entry: CatalogEntry) -> GridSource:
        kind = KINDS.get(entry.kind)
        if kind is None:
            raise OpenEOError("FileContentInvalid", f"Sources of kind '{entry.kind}' are not known.")
        with self._lock:
            state = kind.changed(Path(entry.path))
            cached = self._open.get(entry)
            if cached is None or cached[0] != state:
                cached = (state, kind.open(Path(entry.path), entry.id))
                self._open[entry] = cached
            return cached[1]

    def _write(self, entries: Sequence[CatalogEntry]) -> None:
        text = json.dumps({"sources": [asdict(entry) for entry in entries]}, indent=2)
        # One name is enough: whoever writes holds the lock.
        draft = self.path.with_suffix(".draft")
        try:
            draft.write_text(text + "\n", encoding="utf-8")
            os.replace(draft, self.path)
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the catalog for a change: other processes' changes wait."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path.with_suffix(".lock"), "w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


# The methods' own types: inside the class, `list` is a method.
_Strings = list[str]
_Entries = list[CatalogEntry]


def _opened(path: str | Path, id: str | None) -> list[tuple[CatalogEntry, GridSource]]:
    place = Path(_location(path))
    if not place.exists():
        raise OpenEOError("FileNotFound", f"There is nothing at {place}.")
    groups = [place] if _zarr.is_zarr(place) else sorted(p for p in place.glob("*.zarr") if _zarr.is_zarr(p))
    found = [("zarr", group) for group in groups]
    found += [(_worldcereal.kind(product), place) for product in _worldcereal.products(place)]
    if not found:
        message = (
            f"{place} is no collection: expected is a Zarr group with the attribute '{_zarr.ATTRIBUTE}', a folder of "
            "such groups, or a folder of WorldCereal NetCDF files (S2_L2A_10m.nc, S1_GRD_ascending_20m.nc, …)."
        )
        raise OpenEOError("FileContentInvalid", message)
    alone = len(found) == 1
    opened = [(kind, where, KINDS[kind].open(where, id if alone else None)) for kind, where in found]
    if id is not None and not alone:
        opened = [(kind, where, replace(source, id=f"{id}_{source.short_name}")) for kind, where, source in opened]
    return [(CatalogEntry(str(where), kind, source.id), source) for kind, where, source in opened]


def _location(path: str | Path) -> str:
    if "://" in str(path):
        message = f"'{path}' is a URL; for now only folders on this machine can be added. Download it first."
        raise OpenEOError("FeatureUnsupported", message)
    return os.path.abspath(Path(path).expanduser())


def _refuse_taken(entry: CatalogEntry, present: CatalogEntry | None) -> None:
    if present is not None and present != entry:
        message = f"The id '{entry.id}' is taken by {present.path}; pass another id, or remove that collection first."
        raise OpenEOError("FilePathInvalid", message)
