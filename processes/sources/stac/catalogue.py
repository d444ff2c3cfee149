"""Items of a STAC catalogue: a static one is walked, an API is searched page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import numpy as np

from processes.fetch import FetchError
from processes.fetch.gate import Gate
from processes.fetch.urls import join, shown
from processes.sources._items import text_of
from processes.sources.extents import Interval, parse_instant
from processes.sources.stac.item import Bounds, Json, item_bounds

MOST_ITEMS = 10_000
_MOST_DOCUMENTS = 20_000
_PAGE = 100
_THREADS = 8
_SEARCH = "/item-search"
_WORLD: Bounds = (-180.0, -90.0, 180.0, 90.0)


class CatalogueError(Exception):
    """A catalogue that cannot be read as STAC; the message continues a sentence."""


@dataclass(frozen=True)
class Found:
    """Item documents with the places they were found at, and the collection that they belong to, if it is known."""

    items: Sequence[tuple[str, Json]]
    collection: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Which items are wanted: those that touch `bbox` (longitude and latitude) within `interval`."""

    bbox: Bounds | None = None
    interval: Interval | None = None

    def touches(self, bounds: Bounds | None) -> bool:
        """Whether an item of these bounds may be wanted; one that does not tell, or crosses the date line, may be."""
        if self.bbox is None or bounds is None or bounds[0] > bounds[2] or self.bbox[0] > self.bbox[2]:
            return True
        west, south, east, north = self.bbox
        return bounds[0] <= east and bounds[2] >= west and bounds[1] <= north and bounds[3] >= south

    def overlaps(self, start: np.datetime64 | None, end: np.datetime64 | None) -> bool:
        """Whether a period, open where None, may hold wanted items."""
        since, until = self.interval or (None, None)
        return not (
            (until is not None and start is not None and start >= until)
            or (since is not None and end is not None and end < since)
        )


def find_items(gate: Gate, url: str, wanted: Wanted) -> Found:
    """Return the items of the item, collection, catalogue or item list at a URL.

    Raises
    ------
    FetchError
        Documents that cannot be fetched.
    CatalogueError
        Documents that are no STAC, or more items than `MOST_ITEMS`.
    """
    try:
        return _found(gate, url, wanted)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        told = f"{type(error).__name__}: {str(error)[:200]}"
        raise CatalogueError(f"{shown(url)} lists something that is no STAC ({told})") from error


def _found(gate: Gate, url: str, wanted: Wanted) -> Found:
    place, document = gate.fetch_json(url)
    kind = document.get("type") if isinstance(document, Mapping) else None
    if kind == "Feature":
        return Found(_some([(place, document)], wanted))
    if kind == "FeatureCollection":
        return Found(_some(_pages(gate, place, document, None), wanted))
    if kind not in ("Collection", "Catalog"):
        raise CatalogueError(f"{shown(place)} is no STAC Item, Collection or Catalog")
    if kind == "Catalog" and document.get("conformsTo"):
        raise CatalogueError(f"{shown(place)} is the landing page of a STAC API; name one of its collections instead")
    first = _search(gate, place, document, wanted)
    pages = first if first is not None else _Walk(gate, wanted).items(place, document)
    return Found(_some(pages, wanted) or _own_assets(place, document), document)


def _some(items: Iterable[tuple[str, Json]], wanted: Wanted) -> list[tuple[str, Json]]:
    """Return the items that may be wanted; too many are an error, for each costs a request or more."""
    found = []
    for place, item in items:
        if not isinstance(item, Mapping):
            raise CatalogueError(f"{shown(place)} lists an item that is no object")
        if wanted.touches(item_bounds(item)):
            found.append((place, item))
        if len(found) > MOST_ITEMS:
            raise CatalogueError(f"there are more than {MOST_ITEMS} items; narrow the spatial or the temporal extent")
    return found


def _self(item: Json, place: str) -> str:
    """Return where an item of a list lies itself: relative links are relative to that."""
    named = (join(place, link["href"]) for link in _links(item, "self")) if isinstance(item, Mapping) else iter(())
    return next((url for url in named if url.startswith(("https://", "http://"))), place)


def _links(document: Json, rel: str) -> Iterator[Json]:
    for link in document.get("links") or ():
        if isinstance(link, Mapping) and link.get("rel") == rel and isinstance(link.get("href"), str):
            yield link


def _search(gate: Gate, place: str, collection: Json, wanted: Wanted) -> Iterator[tuple[str, Json]] | None:
    """Return the items of an API's collection; None where no API offers them.

    Item search where the API conforms to it, else the collection's own list of items.
    """
    listing = next(_links(collection, "items"), None)
    root = next(_links(collection, "root"), None)
    if listing is None and root is None:
        return None
    landing = _landing(gate, join(place, root["href"])) if root is not None and root.get("href") else None
    if landing is not None:
        home, page = landing
        links = list(_links(page, "search"))
        if links and any(_SEARCH in str(one) for one in page.get("conformsTo") or ()):
            return _first_search(gate, home, links, {"collections": [collection.get("id")], **_extents(wanted)})
    if listing is None:
        return None
    asked = _with_query(join(place, listing["href"]), _extents(wanted))
    found, document = gate.fetch_json(asked)
    return _pages(gate, found, document, None)


def _landing(gate: Gate, url: str) -> tuple[str, Json] | None:
    """Return the landing page of an API; None where the root is that of a static catalogue, or not to be had."""
    try:
        place, document = gate.fetch_json(url)
    except FetchError:
        return None
    return (place, document) if isinstance(document, Mapping) and document.get("conformsTo") else None


def _extents(wanted: Wanted) -> dict[str, Any]:
    """Return the parameters of a search; intervals are closed there, so it may find a little more."""
    parameters: dict[str, Any] = {"limit": _PAGE}
    if wanted.bbox is not None:
        low, high = _WORLD[:2], _WORLD[2:]
        corners = (np.clip(wanted.bbox[:2], low, high), np.clip(wanted.bbox[2:], low, high))
        parameters["bbox"] = [float(edge) for corner in corners for edge in corner]
    if wanted.interval is not None:
        parameters["datetime"] = "/".join(".." if end is None else text_of(end) for end in wanted.interval)
    return parameters


def _first_search(
    gate: Gate, home: str, links: Sequence[Json], parameters: dict[str, Any]
) -> Iterator[tuple[str, Json]]:
    """Search with POST where it is offered, for URLs have a longest length."""
    by_post = next((link for link in links if str(link.get("method")).upper() == "POST"), None)
    if by_post is not None:
        place, document = gate.fetch_json(join(home, by_post["href"]), post=parameters)
        return _pages(gate, place, document, parameters)
    place, document = gate.fetch_json(_with_query(join(home, links[0]["href"]), parameters))
    return _pages(gate, place, document, None)


def _with_query(url: str, parameters: Mapping[str, Any]) -> str:
    texts = {k: ",".join(map(str, v)) if isinstance(v, list) else v for k, v in parameters.items()}
    return f"{url}{'&' if '?' in url else '?'}{urlencode(texts)}"


def _pages(gate: Gate, place: str, page: Any, body: dict[str, Any] | None) -> Iterator[tuple[str, Json]]:
    """Yield the items of a list and of those that it says come next."""
    seen: set[str] = set()
    while True:
        if not isinstance(page, Mapping) or not isinstance(page.get("features"), list):
            raise CatalogueError(f"{shown(place)} is no list of STAC items")
        yield from ((_self(item, place), item) for item in page["features"])
        following = next(_links(page, "next"), None)
        if following is None or not page["features"]:
            return
        url = join(place, following["href"])
        if str(following.get("method")).upper() == "POST":
            given = following.get("body") or {}
            body = {**(body or {}), **given} if following.get("merge") else given
            place, page = _next(gate, url, body, seen)
        else:
            place, page = _next(gate, url, None, seen)


def _next(gate: Gate, url: str, post: dict[str, Any] | None, seen: set[str]) -> tuple[str, Any]:
    key = json.dumps([url, post], sort_keys=True)
    if key in seen:
        raise CatalogueError(f"{shown(url)} names itself as the next page")
    seen.add(key)
    return gate.fetch_json(url, post=post)


@dataclass
class _Walk:
    """A walk through a static catalogue, some documents at a time."""

    gate: Gate
    wanted: Wanted
    seen: set[str] = field(default_factory=set)

    def items(self, place: str, document: Json) -> Iterator[tuple[str, Json]]:
        """Yield the items below a catalogue or collection, in the order of its links."""
        waiting: list[tuple[str, Json]] = [(place, document)]
        with ThreadPoolExecutor(_THREADS) as threads:
            while waiting:
                yield from self._items_of(waiting, threads.map)
                waiting = [
                    (found, child)
                    for found, child in threads.map(self._read, self._fresh(waiting, "child"))
                    if self._may_hold(child)
                ]

    def _items_of(
        self, catalogues: list[tuple[str, Json]], run: Callable[..., Iterable[Any]]
    ) -> Iterator[tuple[str, Json]]:
        for place, item in run(self._read, self._fresh(catalogues, "item")):
            if item.get("type") != "Feature":
                raise CatalogueError(f"{shown(place)} is no STAC Item")
            yield place, item

    def _fresh(self, catalogues: Iterable[tuple[str, Json]], rel: str) -> list[str]:
        """Return the places that links name, those not seen before."""
        found = []
        for place, document in catalogues:
            for link in _links(document, rel):
                target = join(place, link["href"])
                if target not in self.seen:
                    self.seen.add(target)
                    found.append(target)
        if len(self.seen) > _MOST_DOCUMENTS:
            raise CatalogueError(f"the catalogue has more than {_MOST_DOCUMENTS} documents; name a part of it instead")
        return found

    def _read(self, url: str) -> tuple[str, Json]:
        place, document = self.gate.fetch_json(url)
        if not isinstance(document, Mapping):
            raise CatalogueError(f"{shown(place)} is no STAC document")
        return place, document

    def _may_hold(self, child: Json) -> bool:
        """Whether a child's extents, if it tells them, meet what is wanted."""
        extent = child.get("extent") or {}
        boxes = (extent.get("spatial") or {}).get("bbox") or [None]
        overall = item_bounds({"bbox": boxes[0]})
        start, end = (((extent.get("temporal") or {}).get("interval") or [[None, None]])[0] or [None, None])[:2]
        period = (None if edge is None else parse_instant(edge, "url", "load_stac") for edge in (start, end))
        return self.wanted.touches(overall) and self.wanted.overlaps(*period)


def _own_assets(place: str, collection: Json) -> list[tuple[str, Json]]:
    """Return a collection without items that has assets itself, as results of jobs do, as one item."""
    if not collection.get("assets"):
        return []
    extent = collection.get("extent") or {}
    start = (((extent.get("temporal") or {}).get("interval") or [[None]])[0] or [None])[0]
    box = ((extent.get("spatial") or {}).get("bbox") or [None])[0]
    properties = {**{k: v for k, v in collection.items() if k.startswith("proj:")}, "datetime": start}
    item = {"id": collection.get("id"), "bbox": box, "properties": properties, "assets": collection["assets"]}
    return [(place, item)]
