"""Packages that users' code asks for: what is read of the script block, and what is installed from which index."""

from __future__ import annotations

import base64
import hashlib
import platform
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from udf.packages import PackageError, installed, read_script_block
from udf.rules import PackageRules

VALUE = "VALUE = 42\n"


def wheel(folder: Path, name: str = "tinyudf", version: str = "1.2", body: str = VALUE, requires: str = "") -> Path:
    """Build a wheel by hand."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    contents = {
        f"{name}/__init__.py": body,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        for inner, text in contents.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{inner},sha256={digest},{len(text)}\n"
            file.writestr(inner, text)
        file.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return path


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


@pytest.fixture
def rules(tmp_path: Path, wheels: Path) -> PackageRules:
    return PackageRules(str(wheels), tmp_path / "kept")


def block(*lines: str) -> str:
    comments = [f"# {line}" if line else "#" for line in lines]
    return "\n".join(["import os", "# /// script", *comments, "# ///", "a = 1\n"])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os\n", ()),
        (block(), ()),
        (block("dependencies = ["), None),
        (block("dependencies = [", '  "tinyudf>=1",', "", '  "Other [fast]",', "]"), ("Other[fast]", "tinyudf>=1")),
        (block('dependencies = ["numpy>=1", "xarray"]'), ()),  # there anyway
        (block('requires-python = ">=3.8"'), ()),
        ("# /// other\n# dependencies = ['a']\n# ///\n", ()),
        ("# /// script\n# dependencies = ['a']\n# ///\n# more\n# ///\n", None),  # it ends with the last such line
    ],
)
def test_reading_the_block(source: str, expected: tuple[str, ...] | None) -> None:
    if expected is None:
        with pytest.raises(PackageError, match="TOML"):
            read_script_block(source, True)
    else:
        assert read_script_block(source, True) == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (block('requires-python = ">=9"'), f"requires Python >=9; there is {platform.python_version()}"),
        (block('requires-python = "new"'), "no version specifier"),
        (block('dependencies = ["tinyudf @ https://example.org/a.whl"]'), "names a place"),
        (block('dependencies = ["--index-url https://example.org"]'), "no requirement"),
        (block('dependencies = ["numpy<1"]'), "cannot be replaced"),
        (block("dependencies = 3"), "array of texts"),
        (block(f"dependencies = {['a'] * 21}"), "20 are possible"),
        ("# /// script\n# dependencies = []\n", "has no end"),
        (block() + block(), "several blocks"),
    ],
)
def test_blocks_that_are_refused(source: str, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        read_script_block(source, True)


def test_where_no_packages_are_installed() -> None:
    with pytest.raises(PackageError, match="lets no packages be installed"):
        read_script_block(block('dependencies = ["tinyudf"]'), False)


def test_installed_once_for_each_user(rules: PackageRules, wheels: Path) -> None:
    wheel(wheels, requires="helper_udf")
    wheel(wheels, "helper_udf")
    folder = installed(["tinyudf>=1"], rules, "anna")
    assert (folder / "tinyudf" / "__init__.py").read_text() == "VALUE = 42\n"
    assert (folder / "helper_udf").is_dir()
    wheel(wheels, version="1.3", body="VALUE = 43\n")
    assert installed(["tinyudf>=1"], rules, "anna") == folder
    assert "42" in (folder / "tinyudf" / "__init__.py").read_text()
    other = installed(["tinyudf>=1"], rules, "../../ben")
    assert other.is_relative_to(rules.folder)
    assert "43" in (other / "tinyudf" / "__init__.py").read_text()
    assert [path.name for path in other.parent.iterdir() if not path.name.startswith(".")] == [other.name]


def test_from_an_index(tmp_path: Path, wheels: Path) -> None:
    pages = tmp_path / "site" / "simple" / "tinyudf"
    pages.mkdir(parents=True)
    made = wheel(pages)
    (pages / "index.html").write_text(f'<!DOCTYPE html><html><body><a href="{made.name}">{made.name}</a></body></html>')
    handler = partial(_Quiet, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            rules = PackageRules(f"http://127.0.0.1:{server.server_port}/simple", tmp_path / "kept")
            folder = installed(["tinyudf"], rules, "anna")
        finally:
            server.shutdown()
            thread.join()
    assert (folder / "tinyudf" / "__init__.py").exists()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def source_only(wheels: Path) -> Path:
    """A package whose installation would run code."""
    proof = wheels / "ran"
    folder = wheels / "badudf-1.0"
    folder.mkdir()
    (folder / "setup.py").write_text(f"open({str(proof)!r}, 'w').close()\n")
    with tarfile.open(wheels / "badudf-1.0.tar.gz", "w:gz") as archive:
        archive.add(folder, "badudf-1.0")
    return proof


def test_sources_are_not_built(rules: PackageRules, source_only: Path) -> None:
    with pytest.raises(PackageError, match="installing badudf failed"):
        installed(["badudf"], rules, "anna")
    assert not source_only.exists()
    assert not list(rules.folder.glob("*/[!.]*"))


def test_bounds(rules: PackageRules, wheels: Path, tmp_path: Path) -> None:
    wheel(wheels, body="#" * 5000)
    with pytest.raises(PackageError, match="are possible"):
        installed(["tinyudf"], PackageRules(rules.index, tmp_path / "a", bytes=1000), "anna")
    with pytest.raises(PackageError, match="took more than"):
        installed(["tinyudf"], PackageRules(rules.index, tmp_path / "b", seconds=0.01), "anna")
