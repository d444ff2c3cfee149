"""The file formats: `/file_formats`, made from the tables of what reads and writes them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from backend.results import FORMATS, options_text

blueprint = Blueprint("file_formats", __name__)


@blueprint.get("/file_formats")
def file_formats() -> dict[str, Any]:
    """List what results can be saved as, and what `load_url` reads."""
    from processes.implementations.input_formats import INPUT_FORMATS

    read = {
        form.name: {
            "title": form.title,
            "description": form.description,
            "gis_data_types": list(form.gis_data_types),
            "parameters": {},
        }
        for form in INPUT_FORMATS
    }
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
    return {"input": read, "output": output}
