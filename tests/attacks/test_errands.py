"""Boxes that download packages, at every level that this system offers, whoever runs the server."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.errands import REFUSED, _ran, expected, outcome
from tests.attacks.harness import ROOT
from tests.attacks.test_udf_attacks import ORDINARY
from tests.backend.server import until
from udf.fetching import _taken_over
from udf.sandbox import offered
from udf.sandbox.errand import Errand, ErrandError, _told
from udf.sandbox.offer import LEVELS
from udf.wheels import WheelError

# The files in memory that a box is given: its order, errors and answer.
GROW = """
import os, stat
grown = {}
for file in range(20):
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            continue
    except OSError:
        continue
    try:
        grown[str(file) if file < 3 else 'answer'] = os.pwrite(file, b'x', 2**21)
    except PermissionError:
        grown[str(file) if file < 3 else 'answer'] = 'no'
"""


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    if request.param not in offered().levels:
        pytest.skip(f"{request.param} is not offered here: {offered().reasons[request.param]}")
    return str(request.param)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that bwrap reaches, too: started by root, it is nobody from the first."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)
        yield Path(folder)


def test_a_hostile_box_reaches_only_the_index_and_its_folder(level: str, folder: Path) -> None:
    became = outcome(level, folder)
    assert (became["worked"], became["harm"], became["program"]) == (expected(), [], REFUSED)
    assert became["installed"] == ["helper_udf", "tinyudf"]


@pytest.mark.skipif(os.geteuid() != 0, reason="the test above ran as an ordinary user already")
def test_so_it_is_for_an_ordinary_user(level: str) -> None:
    command = [sys.executable, "-m", "tests.attacks.errands", level, str(ORDINARY)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    if "user namespaces" in ended.stderr or "unshare: Operation not permitted" in ended.stderr:
        pytest.skip("an ordinary user is refused namespaces here")
    assert ended.returncode == 0, ended.stderr[-2000:]
    became = json.loads(ended.stdout)
    assert (became["worked"], became["harm"], became["program"]) == (expected(), [], REFUSED)
    assert became["installed"] == ["helper_udf", "tinyudf"]


@pytest.mark.skipif(offered().level == "none", reason="this system offers no isolation")
def test_boxes_that_do_not_end_or_die_are_told(tmp_path: Path) -> None:
    with pytest.raises(ErrandError, match="more than 1 seconds") as late:
        Errand("builtins:eval", tmp_path, seconds=1).run("[0 for _ in iter(int, 1)]")  # type: ignore[arg-type]
    assert late.value.kind == "time"
    with pytest.raises(ErrandError, match="ended with 3") as dead:
        Errand("builtins:eval", tmp_path).run("__import__('os')._exit(3)")  # type: ignore[arg-type]
    assert dead.value.kind == "crashed"
    with pytest.raises(ErrandError) as small:
        Errand("builtins:eval", tmp_path, memory=2**28).run("len(bytearray(2**30))")  # type: ignore[arg-type]
    assert small.value.kind == "MemoryError"


@pytest.mark.skipif(offered().level == "none", reason="this system offers no isolation")
def test_what_a_box_writes_is_bounded(tmp_path: Path) -> None:
    """Neither its answer nor its errors take more of the server's memory than they are given."""
    with pytest.raises(ErrandError, match="larger than 1048576 bytes"):
        Errand("builtins:eval", tmp_path).run("'x' * 2**20")  # type: ignore[arg-type]
    grown = _ran(Errand("builtins:eval", tmp_path), GROW, {}, "grown", offered().level)
    assert grown == {"0": "no", "2": "no", "answer": "no"}


@pytest.mark.parametrize(
    "answer",
    [
        "5",
        "null",
        "{}",
        "[]",
        '{"error": 3}',
        '{"error": ["x"]}',
        "[" * 2000,
        '{"a":' * 2000,
        "9" * 5000,
        '{"answer"',
        "\xff",
    ],
)
def test_what_is_no_answer(answer: str) -> None:
    with pytest.raises(ErrandError, match="is no answer") as odd:
        _told(answer.encode("latin1"), b"", 0)
    assert odd.value.kind == "crashed"


def test_messages_of_errors_are_texts() -> None:
    with pytest.raises(ErrandError) as odd:
        _told(b'{"error": "WheelError", "message": {"a": [1]}}', b"", 0)
    assert (odd.value.kind, odd.value.message) == ("WheelError", "")


def test_nothing_of_a_late_box_is_left(level: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds a lock for as long as it lives; the time is up once it has it."""
    held = folder / "box" / "held"
    held.parent.mkdir()

    def late(process: int, seconds: float) -> bool:
        return not until(lambda: held.exists() and held.read_text() == "held")

    monkeypatch.setattr("udf.sandbox.errand._ended", late)
    code = "file = open('held', 'w'); fcntl.flock(file, 2); file.write('held'); file.flush()\nwhile True: time.sleep(1)"
    with pytest.raises(ErrandError) as ended:
        Errand("builtins:exec", held.parent, seconds=0).run(f"import fcntl, time\n{code}", level)  # type: ignore[arg-type]
    assert ended.value.kind == "time"
    with held.open() as file:
        assert until(lambda: _locked(file.fileno()))


@pytest.mark.skipif(offered().level == "none", reason="this system offers no isolation")
@pytest.mark.parametrize("limits", [{"folder_files": 50}, {"folder_bytes": 2**20}])
def test_a_box_does_not_fill_the_disk(limits: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udf.sandbox.errand._LOOKS_EVERY", 0.1)
    code = "import os, time\nos.mkdir('in')\nfor n in range(60): open(f'in/{n}', 'wb').write(bytes(2**15))\n"
    with pytest.raises(ErrandError, match="it wrote too much") as full:
        Errand("builtins:exec", tmp_path, seconds=60, **limits).run(code + "time.sleep(300)")  # type: ignore[arg-type]
    assert full.value.kind == "room"


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_links_that_a_box_has_left_are_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "a.py").symlink_to(tmp_path / "secret")
    with pytest.raises(WheelError, match="neither a file nor a folder"):
        _taken_over(tmp_path / "packages")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
