"""What the supervisor tells a child: written as one line of JSON to its standard input, which then stays open."""

from __future__ import annotations

import json
from dataclasses import dataclass

from backend.settings import Settings


@dataclass(frozen=True)
class Orders:
    """The settings, the scheduler's address, and the file descriptor of the listening web socket (-1: none)."""

    settings: Settings
    scheduler: str
    listener: int = -1

    def to_json(self) -> str:
        """Write the orders as one line; `from_json` reads them."""
        return json.dumps({"settings": self.settings.to_json(), "scheduler": self.scheduler, "listener": self.listener})

    @classmethod
    def from_json(cls, text: str) -> Orders:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(Settings.from_json(values["settings"]), values["scheduler"], values["listener"])
