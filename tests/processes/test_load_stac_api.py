"""`load_stac` of STAC APIs, and of results of batch jobs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyproj
import pytest

from processes.errors import OpenEOError
from tests.processes.rasters import UTM, ramp
from tests.processes.site import Site, answer
from tests.processes.stac import collection, constant, item, raster
from tests.processes.stac_loading import NORTH, WEST, box, load, values


class TestApi:
    """A STAC API: a landing page that says what it conforms to, item search, and pages."""

    def serve(self, site: Site, search: bool, post: bool = True, days: int = 5) -> str:
        items = [
            item(
                f"i{d}",
                f"2024-05-0{d}T10:00:00Z",
                {"r": raster(site, f"/data/{d}.tif", constant(d), "r", href=f"../data/{d}.tif")},
            )
            for d in range(1, days + 1)
        ]
        for each in items:
            each["links"] = [{"rel": "self", "href": site.url(f"/items/{each['id']}")}]
        classes = [
            "https://api.stacspec.org/v1.0.0/core",
            *(["https://api.stacspec.org/v1.0.0/item-search"] if search else []),
        ]
        links = [
            {"rel": "search", "href": "/search"},
            *([{"rel": "search", "href": "/search", "method": "POST"}] if post else []),
        ]
        site.add("/", {"type": "Catalog", "id": "api", "conformsTo": classes, "links": links if search else []})
        self.bodies: list[Any] = []

        def page(handler: Any) -> None:
            length = int(handler.headers.get("Content-Length") or 0)
            body = json.loads(handler.rfile.read(length)) if length else None
            self.bodies.append(body if body is not None else handler.path)
            token = (body or {}).get("token", 0) if body is not None else int(handler.path.partition("token=")[2] or 0)
            part = items[token : token + 2]
            following: dict[str, Any] = {"rel": "next", "href": f"{handler.path.partition('?')[0]}?token={token + 2}"}
            if body is not None:
                following = {
                    "rel": "next",
                    "href": "/search",
                    "method": "POST",
                    "merge": True,
                    "body": {"token": token + 2},
                }
            more = [following] if token + 2 < len(items) else []
            answer(handler, 200, json.dumps({"type": "FeatureCollection", "features": part, "links": more}).encode())

        site.add("/search", page)
        site.add("/collections/c/items", page)
        return site.add("/collections/c", collection("c", ("root", "/"), ("items", "/collections/c/items")))

    @pytest.mark.parametrize(("search", "post"), [(True, True), (True, False), (False, False)])
    def test_pages_are_followed(self, site: Site, search: bool, post: bool) -> None:
        cube = load(site, self.serve(site, search, post), temporal_extent=["2024-05-01", "2024-05-05"])
        assert cube["t"].dt.day.values.tolist() == [1, 2, 3, 4]
        assert values(cube)[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
        assert len(self.bodies) == 3

    def test_extents_are_sent(self, site: Site) -> None:
        url = self.serve(site, search=True)
        load(site, url, temporal_extent=["2024-05-01", None], spatial_extent=box(0, 100, 100, 0))
        first, second, _ = self.bodies
        assert first["collections"] == ["c"]
        assert first["datetime"] == "2024-05-01T00:00:00Z/.."
        to_degrees = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
        corners = to_degrees.transform_bounds(WEST, NORTH - 100, WEST + 100, NORTH)
        assert first["bbox"] == pytest.approx(corners, abs=1e-6)
        assert second == {**first, "token": 2}

    def test_the_list_of_items_is_asked_where_there_is_no_search(self, site: Site) -> None:
        load(site, self.serve(site, search=False), temporal_extent=["2024-05-01", "2024-05-05"])
        assert "/collections/c/items" in self.bodies[0]
        assert "datetime=2024-05-01T00%3A00%3A00Z%2F2024-05-05T00%3A00%3A00Z" in self.bodies[0]

    def test_a_page_of_items_itself(self, site: Site) -> None:
        self.serve(site, search=False)
        assert load(site, site.url("/collections/c/items")).sizes["t"] == 5

    def test_a_landing_page_is_no_collection(self, site: Site) -> None:
        self.serve(site, search=True)
        with pytest.raises(OpenEOError, match="one of its collections"):
            load(site, site.url("/"))

    def test_pages_in_a_circle(self, site: Site) -> None:
        self.serve(site, search=False)
        page = {
            "type": "FeatureCollection",
            "features": [item("a", "2024-05-01T10:00:00Z", {})],
            "links": [{"rel": "next", "href": "/circle"}],
        }
        with pytest.raises(OpenEOError, match="next page"):
            load(site, site.add("/circle", page))


def test_results_of_a_job_that_are_assets_of_the_collection(site: Site) -> None:
    extent = {
        "spatial": {"bbox": [[4, 51, 5, 52]]},
        "temporal": {"interval": [["2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z"]]},
    }
    assets = {"result.tif": raster(site, "/jobs/1/result.tif", ramp(4, 4), "mean", href="result.tif?sig=1")}
    url = site.add("/jobs/1/results", collection("job", extent=extent, assets=assets))
    cube = load(site, url)
    assert cube["bands"].values.tolist() == ["mean"]
    np.testing.assert_array_equal(values(cube)[0, 0], ramp(4, 4))
    assert ("GET", "/jobs/1/result.tif?sig=1", "bytes=0-65535") in site.seen
