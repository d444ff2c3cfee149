"""The predefined processes: `/processes`; and what runs beside them: `/udf_runtimes`, `/service_types`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from backend.context import current
from backend.user_code import runtimes

blueprint = Blueprint("processes", __name__)


@blueprint.get("/processes")
def processes() -> dict[str, Any]:
    """List the specifications of all processes; a `limit` is ignored, clients read one page."""
    own = {"rel": "self", "href": current().url("/processes"), "type": "application/json"}
    return {"processes": current().services.specs(), "links": [own]}


@blueprint.get("/udf_runtimes")
def udf_runtimes() -> dict[str, Any]:
    """List the languages of user-defined functions, with their libraries; none where no code of users is run."""
    return runtimes(current().services.udf)


@blueprint.get("/service_types")
def service_types() -> dict[str, Any]:
    """List the kinds of secondary web services: none."""
    return {}
