"""Stored processes that every user finds ready: process graphs as JSON, one file each, evaluated like a user's own."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

# The category that tells them from the other processes in a flat list.
CATEGORY = "ready made"


def read_ready_made() -> list[dict[str, Any]]:
    """Return the specifications, each with its ``process_graph``, sorted by id."""
    found = sorted((file for file in files(__name__).iterdir() if file.name.endswith(".json")), key=lambda f: f.name)
    return [json.loads(file.read_text(encoding="utf-8")) for file in found]
