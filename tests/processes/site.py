"""A real web server on loopback for tests: pages from a table, range requests, and servers that misbehave."""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from processes.fetch import FetchRules

Page = bytes | Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """What a server has at which path; `seen` are the requests it got, as (method, path, Range)."""

    port: int = 0
    pages: dict[str, Page] = field(default_factory=dict)
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    ranges: bool = True

    def url(self, path: str = "/") -> str:
        return f"http://localhost:{self.port}{path}"

    def add(self, path: str, page: Page | dict[str, Any]) -> str:
        """Put a page (bytes, JSON, or a handler) at a path; return its URL."""
        self.pages[path] = json.dumps(page).encode() if isinstance(page, dict) else page
        return self.url(path)

    def rules(self, **more: Any) -> FetchRules:
        """Return rules under which this server may be asked."""
        return FetchRules(hosts=(f"localhost:{self.port}",), **more)


def answer(
    handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", length: int | None = None, **headers: str
) -> None:
    """Send an answer; underscores in the names of headers stand for dashes."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def redirect(to: str, status: int = 302) -> Page:
    """Return a page that redirects."""
    return lambda handler: answer(handler, status, Location=to)


@contextmanager
def serve(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Run a server for as long as the context lasts."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.seen.append((self.command, self.path, self.headers.get("Range")))
            page = site.pages.get(self.path) or site.pages.get(self.path.partition("?")[0])
            if page is None:
                answer(self, 404)
            elif callable(page):
                page(self)
            else:
                _send(self, page, site.ranges)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError, TimeoutError, ssl.SSLError):  # the client had enough
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _send(handler: BaseHTTPRequestHandler, body: bytes, ranges: bool) -> None:
    asked = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range") or "")
    if not asked or not ranges:
        answer(handler, 200, body)
        return
    start, end = int(asked[1]), min(int(asked[2]), len(body) - 1)
    answer(handler, 206, body[start : end + 1], Content_Range=f"bytes {start}-{end}/{len(body)}")
