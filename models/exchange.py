"""Models to and from other back-ends: a folder or a ZIP file with the card's Item and the weights."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from models.card import CARD_FILE, CardError, ModelCard, read_card
from models.card_item import WEIGHTS_FILE, card_to_text
from models.folders import NAME
from models.store import WeightsError, put_in_place, read_weights

FILES = {CARD_FILE: 4 << 20, WEIGHTS_FILE: 4 << 30}  # and the most bytes that are taken of each
_CHUNK = 1 << 20


class ExchangeError(ValueError):
    """A file or folder that a model cannot be taken from or written to; the message says why."""


def export_model(folder: Path, target: Path) -> None:
    """Write the model in `folder` to `target`: a ZIP file if it is called so, else a folder. At once or not at all.

    Raises
    ------
    ExchangeError
        There is something of that name already.
    CardError, WeightsError
        The model is damaged.
    """
    read_weights(folder, read_card(folder))
    if target.exists():
        raise ExchangeError(f"{target} exists already; choose another name")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        made = Path(temporary) / "made"
        if target.suffix.lower() == ".zip":
            with zipfile.ZipFile(made, "w") as archive:  # stored as they are: weights do not shrink
                for name in FILES:
                    archive.write(folder / name, name)
        else:
            made.mkdir()
            for name in FILES:
                shutil.copyfile(folder / name, made / name)
        made.rename(target)


def import_exported(source: Path, models: Path, name: str | None = None, taken: Collection[str] = ()) -> ModelCard:
    """Take a model from a folder or ZIP file that `export_model` wrote into the folder `models`; return its card.

    The card and the weights are checked before anything is put in place; of a ZIP file only the two files are read,
    and what they are called there decides nothing.

    Parameters
    ----------
    name : str, optional
        What the model is called from now on; by default as its card says.
    taken : collection of str
        What it must not be called. A model of another name in `models` is replaced.

    Raises
    ------
    ExchangeError
        It does not hold a model's two files, holds others, they are too large, or its name cannot be used.
    CardError, WeightsError
        They are not what they should be; nothing is put in place.
    """
    models.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=models, prefix=".import-"))
    try:
        temporary.chmod(0o755)
        for file in FILES:
            with _opened(source, file) as stream, (temporary / file).open("wb") as out:
                _copy(stream, out, file, source)
            (temporary / file).chmod(0o644)
        card = read_card(temporary)
        weights = read_weights(temporary, card)
        card = replace(card, name=_usable(name or card.name, taken))
        size = (temporary / WEIGHTS_FILE).stat().st_size
        text = card_to_text(card, file_size=size, parameters=sum(v.numel() for v in weights.values()))
        (temporary / CARD_FILE).write_text(text, "utf-8")
        put_in_place(temporary, models / card.name)
    except (CardError, WeightsError) as error:  # told of the file that was given, not of our own copy
        raise type(error)(str(error).replace(str(temporary), str(source))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return card


def _usable(name: str, taken: Collection[str]) -> str:
    if not NAME.fullmatch(name):
        raise ExchangeError(f"{name[:80]!r} is no name for a model: letters, digits, . _ - alone; choose another one")
    if name in taken:
        raise ExchangeError(f"There is a model {name} already; choose another name")
    return name


@contextmanager
def _opened(source: Path, file: str) -> Iterator[IO[bytes]]:
    try:
        if source.is_dir():
            with (source / file).open("rb") as stream:
                yield stream
            return
        with zipfile.ZipFile(source) as archive, archive.open(_member(archive, file, source)) as member:
            yield member
    except FileNotFoundError as error:
        raise ExchangeError(f"{source} holds no model: {file} is not there") from error
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise ExchangeError(f"{source} cannot be read as a model: {error}") from error


def _member(archive: zipfile.ZipFile, file: str, source: Path) -> zipfile.ZipInfo:
    """The file's entry, at the top or in one folder."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    found = {entry.filename.rsplit("/", 1)[-1]: entry for entry in entries}
    if set(found) != set(FILES) or len(entries) > len(FILES):
        names = ", ".join(repr(entry.filename[:60]) for entry in entries[:5]) or "nothing"
        raise ExchangeError(f"{source} must hold {' and '.join(FILES)} alone; it holds {names}")
    return found[file]


def _copy(stream: IO[bytes], out: IO[bytes], file: str, source: Path) -> None:
    taken = 0
    while chunk := stream.read(_CHUNK):
        taken += len(chunk)
        if taken > FILES[file]:
            raise ExchangeError(f"{file} of {source} has more than {FILES[file] >> 20} MiB")
        out.write(chunk)
    out.flush()
    os.fsync(out.fileno())
