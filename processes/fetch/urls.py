"""URLs taken apart once: what is checked is what is connected to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from processes.fetch.errors import UrlRefused
from processes.fetch.rules import FetchRules

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LONGEST = 8192
# What browsers and libraries read differently: nothing of it belongs in a URL.
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True)
class Url:
    """A URL that the rules do not forbid as such; what its host resolves to is checked when it is connected to."""

    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        """Return the URL, complete."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


def parse(text: str, rules: FetchRules) -> Url:
    """Return the parts of a URL; `UrlRefused` says which of them the rules forbid."""
    if not isinstance(text, str) or len(text) > _LONGEST or _UNSAFE.search(text):
        raise UrlRefused("it is no URL: spaces, control characters and backslashes must be percent-encoded")
    scheme = text.partition(":")[0].lower()
    if scheme not in _DEFAULT_PORTS:
        raise UrlRefused("only https URLs can be fetched")
    try:
        parts = parse_url(text)
    except LocationParseError as error:
        raise UrlRefused("it is no valid URL") from error
    if parts.auth is not None or "@" in (parts.netloc or ""):
        raise UrlRefused("it holds a user name or password; pass access tokens in the query instead")
    host = (parts.host or "").strip("[]").rstrip(".").lower()
    if not host or "%" in host:
        raise UrlRefused("it names no host")
    # An absent port is the default one, 0 is a port.
    port = _DEFAULT_PORTS[scheme] if parts.port is None else parts.port
    _require_allowed(scheme, host, port, rules)
    return Url(scheme, host, port, parts.request_uri)


def shown(text: str) -> str:
    """Return a URL as messages may show it: without query and fragment, where tokens stand."""
    bare = re.split(r"[?#]", str(text), maxsplit=1)[0]
    return quote(re.sub(r"//[^/@]*@", "//", bare)[:200], safe=":/[]%-._~!$&'()*+,;=@")


def join(base: str, href: str) -> str:
    """Return `href`, relative to the document at `base` unless it is absolute."""
    return urljoin(base, href)


def _require_allowed(scheme: str, host: str, port: int, rules: FetchRules) -> None:
    if rules.permits(host, port):
        return
    if scheme != "https":
        raise UrlRefused("only https URLs can be fetched; http only from hosts that the operator has listed")
    if port not in rules.ports:
        ports = ", ".join(map(str, rules.ports))
        raise UrlRefused(f"port {port} is not one that can be reached ({ports}), and the operator has not listed it")
