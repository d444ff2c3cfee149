"""The file formats of results: `/file_formats`, made from the table that writes them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from backend.results import FORMATS, options_text

blueprint = Blueprint("file_formats", __name__)


@blueprint.get("/file_formats")
def file_formats() -> dict[str, Any]:
    """List what results can be saved as; there is no format to read from yet."""
    output = {
        form.name: {
            "title": form.title,
            "description": form.description + options_text(form),
            "gis_data_types": list(form.gis_data_types),
            # Strict validators refuse options with a type in here: the description tells them instead.
            "parameters": {},
        }
        for form in FORMATS
    }
    return {"input": {}, "output": output}
