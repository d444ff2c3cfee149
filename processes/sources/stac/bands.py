"""Which layers of items stand for which bands of a cube.

A layer is called by its band's name, or by its asset's key where the band has no name. Where several assets hold a band
of one name, the one with the smallest pixels is it; the others are still found by their assets' keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from processes.sources.extents import invalid
from processes.sources.stac.item import Json, Layer, StacItem

Rows = Sequence[StacItem]


def choose_labels(items: Rows, names: Sequence[str] | None, collection: Json) -> list[str]:
    """Return the bands of the cube in order.

    Parameters
    ----------
    items : sequence of StacItem
    names : list of str, optional
        Names, keys of assets, or common names; by default all bands that hold data, in the order of the collection's
        ``cube:dimensions``, else of the items' assets.
    collection : mapping
        The collection's document.

    Raises
    ------
    OpenEOError
        ProcessParameterInvalid for a name that no item has.
    """
    known = _known(items)
    if names is None:
        order = _described_order(collection)
        rank = {name: position for position, name in enumerate(order)}
        return sorted((k for k, layer in known.items() if not layer.shown), key=lambda k: rank.get(k, len(rank)))
    chosen: dict[str, None] = {}
    for name in names:
        matches = _matches(items, known, name)
        if not matches:
            there = ", ".join(known) or "none"
            raise invalid("bands", f"there is no band '{name}'; the items have {there}.", "load_stac")
        chosen.update(dict.fromkeys(matches))
    return list(chosen)


def layer_of(item: StacItem, label: str) -> Layer | None:
    """Return the layer of an item that a band stands for; None where it has none."""
    by_label = [layer for layer in item.layers if layer.label == label]
    by_key = [layer for layer in item.layers if layer.key == label]
    candidates = [layer for layer in by_label if not layer.shown] or by_key or by_label
    return min(candidates, key=lambda layer: layer.resolution, default=None)


def _known(items: Rows) -> dict[str, Layer]:
    """Return all labels with a layer of each, in order of appearance."""
    known: dict[str, Layer] = {}
    for item in items:
        for layer in item.layers:
            if layer.label not in known or (known[layer.label].shown and not layer.shown):
                known[layer.label] = layer
    return known


def _matches(items: Rows, known: dict[str, Layer], name: str) -> list[str]:
    """Return the labels that a name stands for: its own before an asset's key before a common name."""
    if name in known and not known[name].shown:
        return [name]
    of_key = list(dict.fromkeys(layer.label for layer in _layers(items) if layer.key == name))
    if of_key:
        # One band is called as it was asked for: another asset may hold a finer band of its name.
        return [name] if len(of_key) == 1 else of_key
    if name in known:
        return [name]
    common = (layer for layer in _layers(items) if layer.common_name == name and not layer.shown)
    return list(dict.fromkeys(layer.label for layer in common))


def _layers(items: Rows) -> Iterable[Layer]:
    return (layer for item in items for layer in item.layers)


def _described_order(collection: Json) -> list[str]:
    dimensions = (collection.get("cube:dimensions") or {}).values()
    return next((list(d.get("values") or ()) for d in dimensions if d.get("type") == "bands"), [])
