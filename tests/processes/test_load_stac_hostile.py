"""`load_stac` of catalogues and files that are broken, or mean harm."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest

from processes.errors import OpenEOError
from tests.processes.rasters import ramp, tiff
from tests.processes.site import Site, answer, redirect, serve
from tests.processes.stac import collection, constant, item, raster, static
from tests.processes.stac_loading import load, values


class TestHostile:
    def test_files_are_fetched_through_the_gate(self, site: Site) -> None:
        with serve() as inner:
            secret = inner.add("/secret.tif", tiff(ramp(4, 4)))
            for href in (secret, site.add("/go.tif", redirect(secret))):
                one = item(
                    "a", "2024-05-01T10:00:00Z", {"r": {**raster(site, "/x.tif", ramp(4, 4), "r"), "href": href}}
                )
                cube = load(site, static(site, one))
                with pytest.raises(OpenEOError) as error:
                    values(cube)
                assert error.value.code == "ProcessParameterInvalid"
                assert "'url'" in error.value.message
            assert not inner.seen

    @pytest.mark.parametrize(
        "href", ["file:///etc/passwd", "/vsicurl/http://x/a.tif", "s3://bucket/a.tif", "/etc/passwd"]
    )
    def test_files_of_the_server_are_not_read(self, site: Site, href: str) -> None:
        one = item("a", "2024-05-01T10:00:00Z", {"r": {**raster(site, "/x.tif", ramp(4, 4), "r"), "href": href}})
        with pytest.raises(OpenEOError) as error:
            values(load(site, static(site, one)))
        assert error.value.code in ("NoDataAvailable", "ProcessParameterInvalid")

    def test_links_are_fetched_through_the_gate(self, site: Site) -> None:
        with serve() as inner:
            for rel in ("item", "child", "items", "root"):
                inner.add(f"/{rel}", collection("inner"))
                with pytest.raises(OpenEOError):
                    load(site, site.add("/c.json", collection("c", (rel, inner.url(f"/{rel}")))))
            assert not inner.seen

    def test_pixels_much_finer_than_the_metadata_say(self, site: Site) -> None:
        bomb = tiff(np.zeros((9000, 9000), np.uint8), step=0.01, compress="deflate", tiled=True)
        coarse = raster(site, "/x.tif", constant(1, 8, "uint8"), "r")
        site.add("/x.tif", bomb)
        with pytest.raises(OpenEOError, match="finer"):
            values(load(site, static(site, item("a", "2024-05-01T10:00:00Z", {"r": coarse}))))

    def test_a_grid_without_end(self, site: Site) -> None:
        red = raster(site, "/a.tif", ramp(4, 4), "r")
        red["proj:shape"] = [10**7, 10**7]
        with pytest.raises(OpenEOError, match="smaller extent"):
            load(site, static(site, item("a", "2024-05-01T10:00:00Z", {"r": red})))

    @pytest.mark.parametrize(
        "page",
        [
            b"no json",
            b"[]",
            b"{}",
            b'{"type": "Collection", "links": "x"}',
            b'{"type": "FeatureCollection", "features": 3}',
            b'{"type": "FeatureCollection", "features": [3]}',
            b'{"type": "Feature", "id": "a", "properties": {}}',
            b'{"type": "Feature", "id": "a", "properties": {"datetime": "yesterday"}}',
            b'{"type": "Feature", "id": "a", "properties": {"datetime": "2024-01-01"}, "assets": [1]}',
            b'{"type": "Feature", "id": "a", "bbox": ["a", 1, 2, 3], "properties": {"datetime": "2024-01-01"}}',
        ],
    )
    def test_what_is_no_stac(self, site: Site, page: bytes) -> None:
        with pytest.raises(OpenEOError) as error:
            load(site, site.add("/x", page))
        assert error.value.code in ("ProcessParameterInvalid", "NoDataAvailable")

    def test_a_catalogue_that_takes_for_ever(self, site: Site) -> None:
        """Each document is quick enough, there are just too many of them."""

        def page(handler: Any) -> None:
            time.sleep(0.1)
            number = int(handler.path.removeprefix("/c").removesuffix(".json") or 0)
            links = [{"rel": "child", "href": f"/c{10 * number + i + 1}.json"} for i in range(8)]
            answer(handler, 200, json.dumps({"type": "Catalog", "id": "c", "links": links}).encode())

        for number in range(20_000):
            site.pages[f"/c{number}.json"] = page
        with pytest.raises(OpenEOError, match="more than 1 seconds"):
            load(site, site.url("/c0.json"), rules={"graph_seconds": 1.0})
        assert len(site.seen) < 400
