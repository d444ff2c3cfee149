"""Attacks by URL: each must fail, and the server's own network must not have been asked."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import ssl
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from processes.fetch import FetchFailed, FetchRules, TooLarge, UrlRefused
from processes.fetch._address import is_public
from processes.fetch._connect import _Socket, pool
from processes.fetch.gate import Gate
from tests.processes.site import Site, answer, redirect, serve

STRICT = Gate()
LITERALS = [
    "127.0.0.1", "127.1", "2130706433", "0177.0.0.1", "0x7f.0.0.1", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fd00:ec2::254]", "[fe80::1]", "10.0.0.1",
    "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1",
    "255.255.255.255", "localhost", "localhost.",
]  # fmt: skip


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Record where connections go, and refuse them all."""
    places: list[Any] = []

    def refuse(self: Any, place: Any) -> None:
        places.append(place)
        raise ConnectionRefusedError

    monkeypatch.setattr(_Socket, "connect", refuse)
    return places


@pytest.mark.parametrize("host", LITERALS)
def test_addresses_that_are_not_public_are_never_connected_to(connected: list[Any], host: str) -> None:
    with pytest.raises(UrlRefused):
        STRICT.fetch(f"https://{host}/latest/meta-data")
    assert not connected


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "/etc/passwd",
        "/vsicurl/https://example.com/a.tif",
        "/vsizip/a.zip",
        "vsicurl/https://example.com",
        "ftp://example.com/a",
        "gopher://example.com",
        "s3://bucket/key",
        "data:text/plain,a",
        "javascript:1",
        "",
        "https://",
        "https:///path",
        "//example.com/a",
    ],
)
def test_only_https_is_spoken(connected: list[Any], url: str) -> None:
    with pytest.raises(UrlRefused):
        STRICT.fetch(url)
    assert not connected


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://example.com/", "operator"),
        ("https://example.com:22/", "port 22"),
        ("https://example.com:0/", "port 0"),
        ("https://user:secret@example.com/", "user name or password"),
        ("https://user@example.com/", "user name or password"),
        ("https://example.com\\@localhost/", "backslashes"),
        ("https://example.com/\r\nHost: localhost", "control characters"),
        ("https://example.com/a b", "spaces"),
        ("https://[fe80::1%25eth0]/", "host"),
        ("https://example.com:99999/", "URL"),
    ],
)
def test_odd_urls_are_refused_with_a_reason(connected: list[Any], url: str, told: str) -> None:
    with pytest.raises(UrlRefused, match=told) as refused:
        STRICT.fetch(url)
    assert "secret" not in str(refused.value)
    assert not connected


def test_a_redirect_to_loopback_is_refused(site: Site) -> None:
    with serve() as inner:
        secret = inner.add("/secret", b"inner")
        url = site.add("/go", redirect(secret))
        with pytest.raises(UrlRefused, match="redirects"):
            Gate(site.rules()).fetch(url)
        assert not inner.seen


@pytest.mark.parametrize("target", ["file:///etc/passwd", "https://169.254.169.254/", "https://a:b@example.com/"])
def test_each_redirect_is_checked(site: Site, target: str) -> None:
    url = site.add("/go", redirect(target))
    with pytest.raises(UrlRefused):
        Gate(site.rules()).fetch(url)
    assert len(site.seen) == 1


def test_redirects_end(site: Site) -> None:
    url = site.add("/circle", redirect("/circle"))
    with pytest.raises(UrlRefused, match="more than 3"):
        Gate(site.rules(redirects=3)).fetch(url)
    assert len(site.seen) == 4


def _names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Make names resolve to one list of addresses after the other; return the names asked for."""
    waiting, asked = list(answers), []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_a_name_that_changes_its_address_gains_nothing(monkeypatch: pytest.MonkeyPatch, connected: list[Any]) -> None:
    asked = _names(monkeypatch, ["93.184.215.14"], ["127.0.0.1"])
    with pytest.raises(FetchFailed):
        STRICT.fetch("https://rebinding.test/")
    # Looked up once: the connection went to the address that was checked.
    assert asked == ["rebinding.test"]
    assert connected == [("93.184.215.14", 443)]
    with pytest.raises(UrlRefused):
        STRICT.fetch("https://rebinding.test/")
    assert len(connected) == 1


def test_one_address_that_is_not_public_is_enough(monkeypatch: pytest.MonkeyPatch, connected: list[Any]) -> None:
    _names(monkeypatch, ["93.184.215.14", "10.0.0.7"])
    with pytest.raises(UrlRefused) as refused:
        STRICT.fetch("https://mixed.test/")
    assert not connected
    assert "10.0" not in str(refused.value)


def test_a_listed_host_does_not_open_its_address_under_other_names(site: Site) -> None:
    site.add("/", b"here")
    gate = Gate(site.rules())
    assert gate.fetch(site.url("/")).content == b"here"
    for other in (f"http://127.0.0.1:{site.port}/", f"http://localhost:{site.port + 1}/"):
        with pytest.raises(UrlRefused):
            gate.fetch(other)


def test_the_environments_proxy_is_not_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    site.add("/", b"here")
    assert Gate(site.rules()).fetch(site.url("/")).content == b"here"


def test_a_gzip_bomb_is_cut_short(site: Site) -> None:
    bomb = gzip.compress(bytes(64 * 2**20))
    assert len(bomb) < 100_000
    url = site.add("/bomb", lambda handler: answer(handler, 200, bomb, Content_Encoding="gzip"))
    with pytest.raises(TooLarge):
        Gate(site.rules(document_bytes=2**20)).fetch(url)


def test_gzip_within_the_limit_is_decoded(site: Site) -> None:
    text = b"two members " * 20_000
    packed = gzip.compress(text[:7]) + gzip.compress(text[7:])
    url = site.add("/packed", lambda handler: answer(handler, 200, packed, Content_Encoding="gzip"))
    assert Gate(site.rules()).fetch(url).content == text


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
def test_encodings_that_were_not_asked_for_are_refused(site: Site, encoding: str) -> None:
    url = site.add("/", lambda handler: answer(handler, 200, b"x", Content_Encoding=encoding))
    with pytest.raises(FetchFailed, match="encoded"):
        Gate(site.rules()).fetch(url)


def _endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"400\r\n" + bytes(1024) + b"\r\n")


def test_an_endless_body_is_cut_short(site: Site) -> None:
    url = site.add("/endless", _endless)
    with pytest.raises(TooLarge):
        Gate(site.rules(document_bytes=2**18)).fetch(url)


def test_a_length_that_lies_is_not_believed(site: Site) -> None:
    short = site.add("/short", lambda handler: _and_close(handler, b"abc", 10_000))
    long = site.add("/long", lambda handler: answer(handler, 200, bytes(5000), length=10**12))
    gate = Gate(site.rules(document_bytes=4096, total_seconds=2))
    with pytest.raises(FetchFailed):
        gate.fetch(short)
    with pytest.raises(TooLarge):
        gate.fetch(long)


def _and_close(handler: BaseHTTPRequestHandler, body: bytes, length: int) -> None:
    answer(handler, 200, body, length=length)
    handler.close_connection = True


def _drip(before: bytes, drop: bytes) -> Any:
    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(before)
        for _ in range(200):
            handler.wfile.write(drop)
            handler.wfile.flush()
            time.sleep(0.05)

    return page


@pytest.mark.parametrize(
    ("before", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"", b"H"),
    ],
    ids=["body", "chunk", "header", "status"],
)
def test_a_server_that_drips_does_not_hold_us(site: Site, before: bytes, drop: bytes) -> None:
    url = site.add("/slow", _drip(before, drop))
    started = time.monotonic()
    with pytest.raises(FetchFailed, match="too long"):
        Gate(site.rules(total_seconds=0.4)).fetch(url)
    assert time.monotonic() - started < 5  # the dripping would last for ten


def test_a_server_that_is_silent_does_not_hold_us(site: Site) -> None:
    url = site.add("/silent", lambda handler: time.sleep(3))
    with pytest.raises(FetchFailed, match="too long"):
        Gate(site.rules(idle_seconds=0.2)).fetch(url)


def test_a_range_longer_than_asked_for_is_cut_short(site: Site) -> None:
    url = site.add("/part", lambda handler: answer(handler, 206, bytes(10_000), Content_Range="bytes 0-9/10000"))
    with pytest.raises(TooLarge):
        Gate(site.rules()).fetch_part(url, 0, 10)


def test_another_range_than_asked_for_is_refused(site: Site) -> None:
    url = site.add("/part", lambda handler: answer(handler, 206, bytes(10), Content_Range="bytes 90-99/100"))
    with pytest.raises(FetchFailed, match="another part"):
        Gate(site.rules()).fetch_part(url, 0, 10)


def test_tls_verifies_the_name_although_the_address_is_ours(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate is for gate.test: the same server under another name is refused."""
    certificate = Path(__file__).with_name("gate_test.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    pool.cache_clear()
    with serve(tls=context) as safe:
        safe.add("/", b"safe")
        _names(monkeypatch, ["127.0.0.1"])
        gate = Gate(FetchRules(hosts=(f"gate.test:{safe.port}", f"other.test:{safe.port}")))
        assert gate.fetch(f"https://gate.test:{safe.port}/").content == b"safe"
        with pytest.raises(FetchFailed, match="certificate"):
            gate.fetch(f"https://other.test:{safe.port}/")
        assert len(safe.seen) == 1
    pool.cache_clear()


def test_an_unknown_authority_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("gate_test.pem"))
    with serve(tls=context) as safe:
        with pytest.raises(FetchFailed, match="certificate"):
            Gate(safe.rules()).fetch(f"https://localhost:{safe.port}/")
        assert not safe.seen


def test_messages_do_not_repeat_tokens(site: Site) -> None:
    with pytest.raises(FetchFailed) as failed:
        Gate(site.rules()).fetch(site.url("/nowhere?token=geheim"))
    assert "geheim" not in str(failed.value)
    assert failed.value.status == 404
