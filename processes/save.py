"""`save_result`: what shall be delivered, and in which format. Writing it is the back-end's task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from processes.errors import invalid


@dataclass(frozen=True)
class Attachment:
    """A further file of a result: its content, and what is known of it as a STAC asset, without its link."""

    content: bytes
    about: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class SaveRequest:
    """The value of a graph that ends in `save_result`: `data`, still lazy, to be written in `format`."""

    data: Any
    format: str
    options: dict[str, Any] = field(default_factory=dict)

    def finish(self, computed: Any) -> Any:
        """Return what is to be written, given what `data` was computed to; where something is kept, keep it now."""
        return computed

    def about(self) -> Mapping[str, Any]:
        """Return what the result's file is beside its format, as fields of its STAC asset."""
        return {}

    def attachments(self, computed: Any, written: Any) -> Mapping[str, Attachment]:
        """Return further files, by name; `written` is what `finish` made of `computed`."""
        return {}


def save_result(data: Any, format: str, options: Mapping[str, Any] | None = None) -> SaveRequest:
    """Make the processed data available in the given file format.

    Nothing is computed or written here, and the back-end that knows its formats decides whether `format` is one.

    Parameters
    ----------
    data : Any
        The data to deliver.
    format : str
        The file format; case insensitive.
    options : mapping, optional
        The file format's parameters.

    Raises
    ------
    OpenEOError
        ProcessParameterInvalid when `format` is no text or `options` no object.
    """
    if not isinstance(format, str) or not format.strip():
        raise invalid("format", "save_result", f"{format!r} is not the name of a file format; see GET /file_formats.")
    if options is not None and not isinstance(options, Mapping):
        raise invalid(
            "options",
            "save_result",
            f"{options!r} is not an object of format parameters; leave it out for the defaults.",
        )
    return SaveRequest(data, format.strip(), dict(options or {}))
