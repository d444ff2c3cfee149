"""Packages that users' code asks for: what is read of the script block, and what is installed from which index."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import stat
import tarfile
import threading
import time
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from udf.packages import UNUSED, PackageError, installed, read_script_block
from udf.rules import PackageRules
from udf.sandbox import Offer, offered
from udf.sandbox.offer import LEVELS
from udf.wheels import WheelError, required, unpack

VALUE = "VALUE = 42\n"


def wheel(
    folder: Path,
    name: str = "tinyudf",
    version: str = "1.2",
    body: str = VALUE,
    requires: str = "",
    more: dict[str, str] | None = None,
) -> Path:
    """Build a wheel by hand; `more` are further files."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    contents = {
        f"{name}/__init__.py": body,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(more or {}),
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
        (block('dependencies = ["numpy>=1", "xarray", "scikit_learn", "Scikit.Learn>=1"]'), ()),  # there anyway
        (
            block("dependencies = ['numpy<1; python_version < \"3\"', 'tomli; python_version < \"3\"']"),
            (),
        ),  # not wanted
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
        (block(f'dependencies = ["numpy>={"9" * 5000}"]'), "longer than 500 characters"),
        (block(f'dependencies = ["a; {"(" * 400}"]'), "no requirement"),
        (block("dependencies = ['numpy; os_name ~= \"3\"']"), "cannot be compared"),
        (block(f"requires-python = {'9' * 5000}"), "TOML"),
        (block(f"requires-python = 0x{'9' * 5000}"), "no text"),
        (block(f"requires-python = '>={'9' * 5000}'"), "no text of at most 500"),
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


@pytest.mark.parametrize("level", LEVELS)
def test_from_an_index(tmp_path: Path, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is found by its name, as others are."""
    if level not in offered().levels:
        pytest.skip(f"{level} is not offered here")
    monkeypatch.setattr("udf.sandbox.errand.offered", lambda: Offer(level, (level,), {}))
    pages = tmp_path / "site" / "simple" / "tinyudf"
    pages.mkdir(parents=True)
    made = wheel(pages)
    (pages / "index.html").write_text(f'<!DOCTYPE html><html><body><a href="{made.name}">{made.name}</a></body></html>')
    handler = partial(_Quiet, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            rules = PackageRules(f"http://localhost:{server.server_port}/simple", tmp_path / "kept")
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
    with pytest.raises(PackageError, match="000 bytes are possible"):
        installed(["tinyudf"], PackageRules(rules.index, tmp_path / "a", bytes=1000), "anna")
    with pytest.raises(PackageError, match="took more than"):
        installed(["tinyudf"], PackageRules(rules.index, tmp_path / "b", seconds=0.01), "anna")
    assert not list(tmp_path.glob("[ab]/*/.draft*"))


def test_wheels_that_grow_are_stopped_while_they_are_unpacked(tmp_path: Path) -> None:
    small = tmp_path / "tinyudf-1.2-py3-none-any.whl"
    with zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("tinyudf/zeros.bin", bytes(50_000_000))
    assert small.stat().st_size < 100_000
    with pytest.raises(WheelError, match="5000000 bytes that are possible"):
        unpack([small], tmp_path / "packages", 5_000_000)
    assert sum(path.stat().st_size for path in (tmp_path / "packages").rglob("*") if path.is_file()) < 7_000_000


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udf.wheels.MOST_FILES", 3)
    with pytest.raises(WheelError, match="more than 3 files"):
        unpack([wheel(tmp_path)], tmp_path / "packages", 10**6)


def test_only_modules_and_their_data_are_unpacked(rules: PackageRules, wheels: Path) -> None:
    data = "tinyudf-1.2.data"
    elsewhere = [f"{data}/scripts/run", f"{data}/data/etc/x", f"{data}/headers/x.h", "run.pth", "Other.PTH"]
    here = {f"{data}/purelib/tinyudf/pure.py": "", f"{data}/platlib/plat.py": "", "tinyudf/weights.pth": "w"}
    wheel(wheels, more={**dict.fromkeys(elsewhere, "import os; os.abort()\n"), **here})
    folder = installed(["tinyudf"], rules, "anna")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    info = {f"tinyudf-1.2.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")}
    assert found == {"tinyudf/__init__.py", "tinyudf/pure.py", "plat.py", "tinyudf/weights.pth", *info}
    assert not any(path.stat().st_mode & 0o111 for path in folder.rglob("*") if path.is_file())
    assert {path.name for path in folder.parent.iterdir()} == {".lock", folder.name}


@pytest.mark.parametrize(
    "name",
    ["../out.py", "tinyudf/../../out.py", "/tmp/out.py", "a//b.py", "a\\..\\b.py", "c:/out.py", "./a.py", "a\nb.py"],
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    strange = wheel(tmp_path, more={name: "x"})
    with pytest.raises(WheelError, match="leads elsewhere"):
        unpack([strange], tmp_path / "packages", 10**6)
    assert not list(tmp_path.rglob("out.py"))


def test_links_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tinyudf-1.2-py3-none-any.whl"
    link = zipfile.ZipInfo("tinyudf/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(WheelError, match="holds a link"):
        unpack([path], tmp_path / "packages", 10**6)


@pytest.mark.parametrize("damage", ["cut", "no zip", "no metadata"])
def test_what_is_no_wheel(tmp_path: Path, damage: str) -> None:
    path = wheel(tmp_path)
    if damage == "no metadata":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.py", "")
    else:
        path.write_bytes(path.read_bytes()[:200] if damage == "cut" else b"PK")
    with pytest.raises(WheelError, match="tinyudf-1"):
        required(path, {})


@pytest.mark.parametrize(
    ("requires", "message"),
    [(f"numpy>={'9' * 5000}", "longer than 500"), ("numpy; os_name ~= '3'", "marker"), ("a; " + "(" * 2000, "no req")],
)
def test_dependencies_that_cannot_be_looked_at(tmp_path: Path, requires: str, message: str) -> None:
    with pytest.raises(WheelError, match=f"tinyudf-1.2-py3-none-any.whl depends on .*{message}"):
        required(wheel(tmp_path, requires=requires), {})


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (5, "no list 'needed'"),
        ({"wheels": []}, "no list 'needed'"),
        ({"needed": {}, "wheels": []}, "no list 'needed'"),
        ({"needed": ["a"] * 1001, "wheels": []}, "at most 1000"),
        ({"needed": [1], "wheels": []}, "no text"),
        ({"needed": [f"numpy>={'9' * 5000}"], "wheels": []}, "no text of at most 500"),
        ({"needed": ["a; " + "(" * 400], "wheels": []}, "no requirement"),
        ({"needed": ["numpy; os_name ~= '3'"], "wheels": []}, "cannot be compared"),
        ({"needed": []}, "no list 'wheels'"),
        ({"needed": [], "wheels": [None]}, "no text"),
    ],
)
def test_what_a_box_answers_is_held_to_its_shape(
    rules: PackageRules, told: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("udf.fetching.Errand.run", lambda *_: told)
    with pytest.raises(PackageError, match=message):
        installed(["tinyudf"], rules, "anna")


def test_dependencies_that_name_a_place_are_not_followed(rules: PackageRules, wheels: Path, source_only: Path) -> None:
    archive = wheels / "badudf-1.0.tar.gz"
    wheel(wheels, requires=f"badudf @ {archive.as_uri()}")
    with pytest.raises(PackageError, match="the operator's index alone"):
        installed(["tinyudf"], rules, "anna")
    assert not source_only.exists()


def test_dependencies_are_those_of_this_system_and_the_extras(rules: PackageRules, wheels: Path) -> None:
    wheel(wheels, requires="deep_udf[fast]>=1; python_version >= '3'")
    wheel(wheels, "deep_udf", requires="extra_udf; extra == 'fast'")
    wheel(wheels, "extra_udf", requires="none_udf; sys_platform == 'win32'")
    folder = installed(["tinyudf"], rules, "anna")
    assert (folder / "extra_udf" / "__init__.py").exists()
    wheel(wheels, "old_udf", requires="numpy<1")
    with pytest.raises(PackageError, match="cannot be replaced"):
        installed(["old_udf"], rules, "anna")


def test_a_user_has_a_number_of_sets(rules: PackageRules, wheels: Path) -> None:
    few = replace(rules, sets=2)
    for name in ("a_udf", "b_udf", "c_udf"):
        wheel(wheels, name)
    first, second = (installed([name], few, "anna") for name in ("a_udf", "b_udf"))
    with pytest.raises(PackageError, match="2 different lists of dependencies within a day"):
        installed(["c_udf"], few, "anna")
    assert installed(["c_udf"], few, "ben").is_dir()  # each has their own
    for folder, age in ((first, 1.5 * UNUSED), (second, 2 * UNUSED)):
        os.utime(folder, (time.time() - age,) * 2)
    installed(["b_udf"], few, "anna")  # used anew
    third = installed(["c_udf"], few, "anna")
    assert (first.exists(), second.exists(), third.exists()) == (False, True, True)
