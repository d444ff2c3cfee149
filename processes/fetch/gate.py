"""The one place through which URLs of clients are fetched."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.response import BaseHTTPResponse

from processes.fetch import urls
from processes.fetch._connect import pool
from processes.fetch.errors import FetchFailed, TooLarge, UrlRefused
from processes.fetch.remote import RemoteFile
from processes.fetch.rules import FetchRules
from processes.fetch.urls import Url

_CHUNK = 64 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
# Answers of servers that ask for patience, and how long they get it (seconds).
_BUSY, _PAUSES = (429, 500, 502, 503, 504), (0.5, 2.0)
_AGENT = "openeo-embed"


@dataclass(frozen=True)
class Document:
    """What a URL gave: where it was found in the end, and its decoded bytes."""

    url: str
    content: bytes

    def json(self) -> Any:
        """Return the content as JSON; `FetchFailed` where it is none."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError) as error:
            raise FetchFailed(f"{urls.shown(self.url)} holds no JSON") from error


@dataclass(frozen=True)
class Part:
    """Bytes `start` to `start + len(content)` of a file of `size` bytes; `whole` when the server sent all of it."""

    url: str
    content: bytes
    start: int
    size: int
    whole: bool


@dataclass(frozen=True)
class Gate:
    """Fetches URLs under rules; picklable, cheap to make. All methods raise `FetchError`.

    Parameters
    ----------
    rules : FetchRules
    end : float, optional
        When no further request is begun (`time.monotonic`); see `hurried`.
    """

    rules: FetchRules = field(default_factory=FetchRules)
    end: float | None = None

    def hurried(self) -> Gate:
        """Return a gate for what is fetched while a graph is built: it closes when the rules' time for that is over."""
        return replace(self, end=time.monotonic() + self.rules.graph_seconds)

    def open(self, url: str) -> RemoteFile:
        """Open a file of which only what is read is fetched."""
        return RemoteFile(self, url)

    def content(self, url: str, limit: int) -> bytes:
        """Return a whole file of at most `limit` bytes."""
        return self.fetch(url, limit).content

    def token(self, url: str) -> Hashable:
        """Return what names a file: its URL."""
        return url

    def fetch(self, url: str, limit: int | None = None, post: Any = None, headers: Any = None) -> Document:
        """Return a whole document.

        Parameters
        ----------
        url : str
        limit : int, optional
            Most bytes, received and decoded; by default the rules' limit of documents.
        post : JSON data, optional
            What to send with POST; by default the request is a GET.
        headers : mapping of str to str, optional
        """
        most = self.rules.document_bytes if limit is None else limit
        told = {"Accept-Encoding": "gzip", **(headers or {})}
        with self._answer(url, told, post) as (place, response):
            _require_ok(place, response)
            return Document(str(place), b"".join(_decoded(response, most)))

    def fetch_json(self, url: str, post: Any = None, headers: Any = None) -> tuple[str, Any]:
        """Return where a JSON document was found in the end, and what it holds."""
        accept = {"Accept": "application/json, application/geo+json;q=0.9, */*;q=0.1"}
        document = self.fetch(url, post=post, headers={**accept, **(headers or {})})
        return document.url, document.json()

    def fetch_part(self, url: str, start: int, length: int) -> Part:
        """Return some bytes of a file by a range request; all of it where the server does not know ranges."""
        told = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{start + length - 1}"}
        with self._answer(url, told, None) as (place, response):
            if response.status == 206:
                first, size = _content_range(place, response)
                if first != start:
                    raise FetchFailed(f"{urls.shown(str(place))} answered with another part than asked for")
                content = b"".join(_decoded(response, length))
                return Part(str(place), content, start, size, whole=False)
            _require_ok(place, response)
            content = b"".join(_decoded(response, self.rules.file_bytes))
            return Part(str(place), content, 0, len(content), whole=True)

    @contextmanager
    def _answer(self, url: str, headers: Mapping[str, str], post: Any) -> Iterator[tuple[Url, BaseHTTPResponse]]:
        """Yield the answer after redirects; the connection is given back, or closed where bytes are left over."""
        place, response = self._follow(url, headers, post)
        try:
            yield place, response
        except (HTTPError, OSError) as error:
            raise FetchFailed(f"{urls.shown(url)} did not send everything: {_reason(error)}") from error
        finally:
            response.close()
            response.release_conn()

    def _follow(self, url: str, headers: Mapping[str, str], post: Any) -> tuple[Url, BaseHTTPResponse]:
        place = urls.parse(url, self.rules)
        for _ in range(self.rules.redirects + 1):
            response = self._patiently(place, headers, post)
            if response.status not in _REDIRECTS:
                return place, response
            target = response.headers.get("Location")
            response.close()
            if not target:
                raise FetchFailed(f"{urls.shown(str(place))} redirects to nowhere")
            place = self._redirected(place, target)
            post = post if response.status in (307, 308) else None
        raise UrlRefused(f"{urls.shown(url)} redirects more than {self.rules.redirects} times")

    def _redirected(self, place: Url, target: str) -> Url:
        try:
            return urls.parse(urls.join(str(place), target), self.rules)
        except UrlRefused as error:
            raise UrlRefused(f"it redirects to {urls.shown(target)}: {error}") from error

    def _patiently(self, place: Url, headers: Mapping[str, str], post: Any) -> BaseHTTPResponse:
        """Return an answer; a server that is busy, or a connection that broke, is asked again."""
        for pause in (*_PAUSES, None):
            try:
                response = self._ask(place, headers, post)
            except _Broken:
                if pause is None:
                    raise
            else:
                if pause is None or response.status not in _BUSY:
                    return response
                response.close()
            time.sleep(pause)
        raise AssertionError("the last round returns or raises")

    def _ask(self, place: Url, headers: Mapping[str, str], post: Any) -> BaseHTTPResponse:
        if self.end is not None and time.monotonic() > self.end:
            raise FetchFailed(f"reading all that it names takes more than {self.rules.graph_seconds:.0f} seconds")
        body = None if post is None else json.dumps(post).encode()
        told = {"User-Agent": _AGENT, **headers, **({} if post is None else {"Content-Type": "application/json"})}
        connections = pool(self.rules).connection_from_host(place.host, place.port, place.scheme)
        try:
            return connections.urlopen(
                "GET" if post is None else "POST",
                place.target,
                body=body,
                headers=told,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError) as error:
            kind = _Broken if isinstance(error, ProtocolError) else FetchFailed
            raise kind(f"{urls.shown(str(place))} cannot be reached: {_reason(error)}") from error


class _Broken(FetchFailed):
    """The server closed the connection before it answered."""


def _require_ok(place: Url, response: BaseHTTPResponse) -> None:
    if response.status != 200:
        raise FetchFailed(f"{urls.shown(str(place))} answered with the status {response.status}", response.status)


def _content_range(place: Url, response: BaseHTTPResponse) -> tuple[int, int]:
    """Return first byte and size of the file from ``Content-Range: bytes 0-99/1234``."""
    text = response.headers.get("Content-Range", "")
    try:
        unit, _, rest = text.partition(" ")
        span, _, size = rest.partition("/")
        if unit == "bytes":
            return int(span.partition("-")[0]), int(size)
    except ValueError:
        pass
    raise FetchFailed(f"{urls.shown(str(place))} answered a range request with the part {text[:50]!r}")


def _decoded(response: BaseHTTPResponse, most: int) -> Iterator[bytes]:
    """Yield the body, decoded, up to `most` bytes received and decoded; what the headers say is not believed."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise FetchFailed(f"the answer is encoded as {encoding[:20]!r}, which was not asked for")
    received = _limited(_raw(response), most)
    yield from received if encoding in ("identity", "") else _limited(_gunzipped(received, most), most)


def _raw(response: BaseHTTPResponse) -> Iterator[bytes]:
    while chunk := response.read1(_CHUNK):
        yield chunk


def _limited(chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > most:
            raise TooLarge(f"the answer has more than {most} bytes")
        yield chunk


def _gunzipped(chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Yield what gzip holds, in pieces of a bounded size; several members follow each other."""
    decoder = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        while chunk:
            try:
                yield decoder.decompress(chunk, _CHUNK)
            except zlib.error as error:
                raise FetchFailed("the answer is no valid gzip") from error
            chunk = decoder.unconsumed_tail
            if decoder.eof:
                chunk, decoder = decoder.unused_data, zlib.decompressobj(wbits=31)


def _reason(error: BaseException) -> str:
    """Return what went wrong without addresses: a client must not learn them."""
    texts = {TimeoutError: "it took too long", ConnectionRefusedError: "the connection was refused"}
    seen: BaseException | None = error
    while seen is not None:
        for kind, text in texts.items():
            if isinstance(seen, kind):
                return text
        if type(seen).__name__ in ("ReadTimeoutError", "ConnectTimeoutError"):
            return texts[TimeoutError]
        if isinstance(seen, OSError) and type(seen).__module__ == "ssl":
            return "its certificate or its TLS is not valid"
        seen = seen.__cause__ or seen.__context__
    return type(error).__name__
