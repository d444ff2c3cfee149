"""The seam of result formats, and the checks that all of them share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from processes.errors import OpenEOError

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Option:
    """An option of `save_result`: what it means, and the words that it takes; where there are none, a number."""

    meaning: str
    words: tuple[str, ...] = ()


class ResultFormat(Protocol):
    """One file format: what `/file_formats` tells of it, and how a value becomes a file.

    One that has `copies` writes lazy cubes, too, and reads them part by part: they need not fit into memory. So many
    times their size such cubes take on the disk while they are written, the file that they are read from included.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    media_type: ClassVar[str]
    suffix: ClassVar[str]
    gis_data_types: ClassVar[tuple[str, ...]]
    copies: ClassVar[int]
    options: ClassVar[Mapping[str, Option]]

    def check(self, value: Any, options: Options) -> None:
        """Refuse, before anything is computed, a lazy value that this format cannot hold."""
        ...

    def write(self, value: Any, options: Options, path: Path) -> None:
        """Write the value, computed or readable part by part, to `path`."""
        ...


def check_options(form: ResultFormat, options: Options) -> None:
    """Refuse options that the format does not have, or values that an option does not take."""
    for name, value in options.items():
        if name not in form.options:
            known = ", ".join(form.options) or "none"
            raise invalid_option(name, f"{form.name} has no such option; it has: {known}")
        words = form.options[name].words
        if words and value not in words:
            raise invalid_option(name, f"{value!r} is none of {', '.join(words)}")
        if not words and not _is_finite(value):
            raise invalid_option(name, f"{value!r} is no finite number")


def options_text(form: ResultFormat) -> str:
    """Describe the options of a format, as an addition to its description."""
    return "".join(f"\n\nOption `{name}`: {option.meaning}" for name, option in form.options.items())


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def invalid_option(name: str, reason: str) -> OpenEOError:
    """Return the error for a wrong option of save_result."""
    message = f"The value passed for parameter 'options' in process 'save_result' is invalid: {name}: {reason}."
    return OpenEOError("ProcessParameterInvalid", message)


def unsuitable(form: str, reason: str) -> OpenEOError:
    """Return the error for a value that a format cannot hold."""
    return OpenEOError("FormatUnsuitable", f"The result cannot be saved as {form}: {reason}.")
