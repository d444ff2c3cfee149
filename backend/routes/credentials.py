"""Logging in, `/credentials/basic`, and who is logged in, `/me`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from backend.auth import authenticated, basic_credentials
from backend.context import current
from backend.files.quota import used_bytes

blueprint = Blueprint("credentials", __name__)


@blueprint.get("/credentials/basic")
def basic() -> Response:
    """Give an access token to whoever sends the right name and password."""
    name, password = basic_credentials()
    token = current().services.users.log_in(name, password, request.remote_addr or "")
    return jsonify({"access_token": token})


@blueprint.get("/me")
@authenticated
def me() -> dict[str, Any]:
    """Describe the user who asks, and the room that is left for the user's files, results and models."""
    context = current()
    quota = context.settings.storage_bytes
    used = used_bytes(context.services, g.user)
    return {"user_id": g.user, "name": g.user, "storage": {"free": max(0, quota - used), "quota": quota}}
