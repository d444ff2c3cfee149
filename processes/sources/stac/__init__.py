"""STAC of strangers: catalogues walked or searched, assets read, all through the fetch gate.

`catalogue` finds items, `item` reads them, `bands` names their layers, `target` makes the grid that they are
brought to, `reader` reads blocks of it. Values are those that are stored: scale and offset are not applied.
"""

from __future__ import annotations
