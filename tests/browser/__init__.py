"""A web page in Chromium, on another origin than the server, with what the openEO Web Editor is made of."""

from __future__ import annotations

import contextlib
import functools
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException

FOLDER = Path(__file__).parent
SECONDS = 120
# As root Chromium runs without its sandbox only; it shall look for no host but this one.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
CALL = """
const [source, given, done] = arguments;
const Code = (async () => {}).constructor;
new Code("given", source)(given).then(
    value => done({value: value === undefined ? null : value}),
    error => done({error: {message: error.message, code: error.code, id: error.id, stack: error.stack}}),
);
"""


class PageError(Exception):
    """What JavaScript threw; `told` has its message, and an openEO error's code and id."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told["message"])
        self.told = told


@dataclass
class Page:
    """The page of page.html, open in a browser."""

    driver: webdriver.Chrome

    def run(self, source: str, given: Any = None) -> Any:
        """Run the body of an asynchronous function of `given`, and return what it returns."""
        told = self.driver.execute_async_script(CALL, source, given)
        if "error" in told:
            raise PageError(told["error"])
        return told["value"]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""


def require_browser() -> tuple[str, str]:
    """Return the paths of Chromium and of its driver; tests skip where they, or the page's packages, are missing."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(found):
        pytest.skip("no chromium and chromedriver on the PATH (Debian's packages chromium and chromium-driver)")
    if not (FOLDER / "packages").is_dir():
        pytest.skip("the page's packages are missing; tests/browser/fetch.sh gets them with npm")
    return str(found[0]), str(found[1])


@contextlib.contextmanager
def open_page(profile: Path) -> Iterator[Page]:
    """Open the page, served from a port of its own, in a browser with an empty profile."""
    program, driver_program = require_browser()
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    handler = functools.partial(_Quiet, directory=str(FOLDER))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        try:
            driver = webdriver.Chrome(options, webdriver.ChromeService(driver_program))
        except WebDriverException as error:
            files.shutdown()
            pytest.skip(f"Chromium does not start here: {error.msg}")
        try:
            driver.set_script_timeout(SECONDS)
            driver.get(f"http://127.0.0.1:{files.server_port}/page.html")
            yield Page(driver)
        finally:
            driver.quit()
            files.shutdown()
