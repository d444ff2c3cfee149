"""Remote files read piece by piece, and rasters in them."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from processes.fetch import FetchFailed, TooLarge, UrlRefused
from processes.fetch.gate import Gate
from processes.fetch.rasters import open_raster, opened
from processes.fetch.remote import BLOCK, RemoteFile
from tests.processes.rasters import ramp, tiff
from tests.processes.site import Site, answer, redirect

CONTENT = np.random.default_rng(3).bytes(5 * BLOCK + 77)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_remote_file_reads_like_a_local_one(site: Site, ranges: bool) -> None:
    site.ranges = ranges
    url = site.add("/data", CONTENT)
    local = io.BytesIO(CONTENT)
    moves = np.random.default_rng(4).integers(0, len(CONTENT) + 100, (40, 2))
    with RemoteFile(Gate(site.rules()), url) as remote:
        for start, length in moves.tolist():
            assert remote.seek(start) == local.seek(start)
            assert remote.read(length) == local.read(length)
            assert remote.tell() == local.tell()
        assert remote.seek(-5, io.SEEK_END) == local.seek(-5, io.SEEK_END)
        assert remote.readall() == local.read()
        buffer = bytearray(10)
        remote.seek(3)
        assert remote.readinto(buffer) == 10
        assert bytes(buffer) == CONTENT[3:13]


def test_no_byte_is_asked_for_twice(site: Site) -> None:
    url = site.add("/data", CONTENT)
    with RemoteFile(Gate(site.rules()), url) as remote:
        remote.seek(2 * BLOCK)
        remote.read(10)
        remote.seek(0)
        assert remote.read(len(CONTENT)) == CONTENT
    asked = [part for _, _, part in site.seen]
    assert asked == [
        f"bytes=0-{BLOCK - 1}",
        f"bytes={2 * BLOCK}-{3 * BLOCK - 1}",
        f"bytes={BLOCK}-{2 * BLOCK - 1}",
        f"bytes={3 * BLOCK}-{len(CONTENT) - 1}",
    ]


def test_a_file_that_changes_while_it_is_read(site: Site) -> None:
    url = site.add("/data", CONTENT)
    with RemoteFile(Gate(site.rules()), url) as remote:
        site.pages["/data"] = CONTENT[:-10]
        remote.seek(2 * BLOCK)
        with pytest.raises(FetchFailed, match="changed"):
            remote.read(10)


def test_redirects_are_followed_once_and_again_when_the_place_expires(site: Site) -> None:
    site.add("/signed-1", CONTENT)
    url = site.add("/data", redirect("/signed-1"))
    with RemoteFile(Gate(site.rules()), url) as remote:
        remote.seek(BLOCK)
        remote.read(1)
        assert [path for _, path, _ in site.seen] == ["/data", "/signed-1", "/signed-1"]
        del site.pages["/signed-1"]
        site.add("/signed-2", CONTENT)
        site.add("/data", redirect("/signed-2"))
        remote.seek(2 * BLOCK)
        assert remote.read(5) == CONTENT[2 * BLOCK : 2 * BLOCK + 5]


def test_a_server_without_ranges_may_not_send_more_than_the_rules_allow(site: Site) -> None:
    site.ranges = False
    url = site.add("/data", CONTENT)
    with pytest.raises(TooLarge):
        RemoteFile(Gate(site.rules(file_bytes=BLOCK)), url)


def test_connections_are_used_again(site: Site) -> None:
    site.add("/", b"x")
    ports: set[int] = set()

    def page(handler: Any) -> None:
        ports.add(handler.client_address[1])
        answer(handler, 200, b"x")

    site.add("/", page)
    gate = Gate(site.rules())
    for _ in range(5):
        gate.fetch(site.url("/"))
    assert len(ports) == 1


def test_a_gate_can_be_sent_to_a_worker(site: Site) -> None:
    site.add("/", b"x")
    assert pickle.loads(pickle.dumps(Gate(site.rules()))).fetch(site.url("/")).content == b"x"  # noqa: S301


def test_part_of_a_cog_is_read_by_few_ranges(site: Site) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (2048, 2048), dtype=np.uint16)
    content = tiff(values, driver="COG", blocksize=256, overviews="none")
    url = site.add("/a.tif", content)
    with open_raster(Gate(site.rules()), url) as dataset:
        part = dataset.read(1, window=((1000, 1100), (1500, 1600)))
    np.testing.assert_array_equal(part, values[1000:1100, 1500:1600])
    read = sum(int(p.split("-")[1]) - int(p.split("=")[1].split("-")[0]) + 1 for _, _, p in site.seen if p)
    assert read < len(content) / 8
    assert len(site.seen) <= 6


def test_many_threads_read_many_files(site: Site) -> None:
    urls = [site.add(f"/{i}.tif", tiff(ramp(64, 64, start=i), compress="deflate")) for i in range(12)]

    def corner(url: str) -> int:
        with open_raster(Gate(site.rules()), url) as dataset:
            return int(dataset.read(1)[0, 0])

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(corner, urls * 3)) == list(range(12)) * 3


def test_jpeg_2000_is_read(site: Site) -> None:
    values = ramp(64, 64)
    content = tiff(values, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    with open_raster(Gate(site.rules()), site.add("/a.jp2", content)) as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)


def _vrt(source: str) -> bytes:
    return (
        f'<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        f"</VRTRasterBand></VRTDataset>"
    ).encode()


def test_a_vrt_named_tif_reads_nothing_else(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret.tif"
    secret.write_bytes(tiff(ramp(4, 4)))
    inner = site.add("/inner.tif", tiff(ramp(4, 4)))
    for source in (str(secret), f"/vsicurl/{inner}", inner):
        url = site.add("/a.tif", _vrt(source))
        with pytest.raises(FetchFailed, match="neither a GeoTIFF"), open_raster(Gate(site.rules()), url):
            pass
    assert not [path for _, path, _ in site.seen if path == "/inner.tif"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"CDF\x01",
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"<GDAL_WMS><Service/></GDAL_WMS>",
        b"SIMPLE  =",
        b"%PDF-1.5",
        b'{"type": "FeatureCollection"}',
    ],
)
def test_other_formats_are_not_tried(site: Site, content: bytes) -> None:
    url = site.add("/a.tif", content)
    with pytest.raises(FetchFailed, match="neither"), open_raster(Gate(site.rules()), url):
        pass


def test_damaged_files_are_told(site: Site) -> None:
    url = site.add("/a.tif", tiff(ramp(64, 64))[:100])
    with pytest.raises(FetchFailed, match="damaged"), open_raster(Gate(site.rules()), url):
        pass


def test_no_side_file_is_asked_for(site: Site) -> None:
    content = tiff(ramp(64, 64))
    for side in ("a.tif.aux.xml", "a.tif.ovr", "a.tif.msk", "a.tfw", "a.aux", "a.IMD"):
        site.add(f"/{side}", b"side")
    with open_raster(Gate(site.rules()), site.add("/a.tif", content)) as dataset:
        dataset.read(1)
        dataset.overviews(1)
        dataset.dataset_mask()
        assert dataset.files in ([], [dataset.name])
    assert {path for _, path, _ in site.seen} == {"/a.tif"}


def test_a_failure_in_the_middle_is_the_gates(site: Site) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (512, 512), dtype=np.uint16)
    url = site.add("/a.tif", tiff(values, tiled=True, blockxsize=128, blockysize=128))
    with pytest.raises(FetchFailed, match="status 404"):
        _read_after(site, url, lambda: site.pages.pop("/a.tif"))


def test_a_redirect_in_the_middle_is_checked(site: Site) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (512, 512), dtype=np.uint16)
    url = site.add("/a.tif", tiff(values))
    with pytest.raises(UrlRefused):
        _read_after(site, url, lambda: site.add("/a.tif", redirect("https://127.0.0.1/a.tif")))


def _read_after(site: Site, url: str, change: Callable[[], Any]) -> None:
    """Open a raster, let something change, and read it."""
    with open_raster(Gate(site.rules()), url) as dataset:
        change()
        dataset.read(1)


def test_reads_beyond_reason_are_refused(site: Site) -> None:
    """A server says that its file is of a terabyte, and the file that it is to be read at once."""

    def page(handler: Any) -> None:
        answer(handler, 206, bytes(BLOCK), Content_Range=f"bytes 0-{BLOCK - 1}/{2**40}")

    with RemoteFile(Gate(site.rules()), site.add("/a", page)) as remote, pytest.raises(TooLarge, match="one piece"):
        remote.read(2**30)


def test_blocks_beyond_reason_are_refused() -> None:
    """A few kilobytes of file, hundreds of megabytes of block."""
    bomb = tiff(
        np.zeros((16, 16), np.uint8), tiled=True, blockxsize=32768, blockysize=16384, compress="zstd", sparse_ok=True
    )
    assert len(bomb) < 100_000
    with pytest.raises(FetchFailed, match="blocks"), opened(io.BytesIO(bomb), "bomb"):
        pass


def test_busy_servers_are_asked_again(site: Site) -> None:
    answers = [503, 200]

    def page(handler: Any) -> None:
        answer(handler, answers.pop(0), b"here")

    assert Gate(site.rules()).fetch(site.add("/", page)).content == b"here"
    assert len(site.seen) == 2


def test_what_is_not_there_is_not_asked_for_again(site: Site) -> None:
    with pytest.raises(FetchFailed) as failed:
        Gate(site.rules()).fetch(site.url("/nowhere"))
    assert failed.value.status == 404
    assert len(site.seen) == 1


def test_posts_are_repeated_at_the_new_place_where_the_server_says_so(site: Site) -> None:
    bodies: list[Any] = []

    def page(handler: Any) -> None:
        bodies.append(handler.rfile.read(int(handler.headers.get("Content-Length") or 0)))
        answer(handler, 200, b"{}")

    site.add("/there", page)
    gate = Gate(site.rules())
    for status in (307, 303):
        assert gate.fetch_json(site.add("/go", redirect("/there", status)), post={"a": 1}) == (site.url("/there"), {})
    assert bodies == [b'{"a": 1}', b""]
