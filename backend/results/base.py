"""The seam of result formats, and the checks that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from processes.errors import OpenEOError

Options = Mapping[str, Any]


class ResultFormat(Protocol):
    """One file format: what `/file_formats` tells of it, and how a value becomes a file."""

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    media_type: ClassVar[str]
    suffix: ClassVar[str]
    gis_data_types: ClassVar[tuple[str, ...]]
    parameters: ClassVar[dict[str, dict[str, Any]]]

    def check(self, value: Any, options: Options) -> None:
        """Refuse, before anything is computed, a lazy value that this format cannot hold."""
        ...

    def write(self, value: Any, options: Options, path: Path) -> None:
        """Write the computed value to `path`."""
        ...


def check_options(form: ResultFormat, options: Options) -> None:
    """Refuse options that the format does not have, or values that an option does not take."""
    for name, value in options.items():
        if name not in form.parameters:
            known = ", ".join(form.parameters) or "none"
            raise invalid_option(name, f"{form.name} has no such option; it has: {known}")
        schema = form.parameters[name]
        if schema["type"] == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise invalid_option(name, f"{value!r} is no number")
        if "enum" in schema and value not in schema["enum"]:
            raise invalid_option(name, f"{value!r} is none of {', '.join(schema['enum'])}")


def invalid_option(name: str, reason: str) -> OpenEOError:
    """Return the error for a wrong option of save_result."""
    message = f"The value passed for parameter 'options' in process 'save_result' is invalid: {name}: {reason}."
    return OpenEOError("ProcessParameterInvalid", message)


def unsuitable(form: str, reason: str) -> OpenEOError:
    """Return the error for a value that a format cannot hold."""
    return OpenEOError("FormatUnsuitable", f"The result cannot be saved as {form}: {reason}.")
