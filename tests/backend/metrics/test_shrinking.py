"""Files in which web processes count: those of processes that are gone keep their counts, and not their room."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

from backend.metrics.requests import RESERVED, reserve


def counted(path: Path) -> list[tuple[str, float]]:
    """Return what a file holds, as the library adds it up."""
    return [(key, value) for key, value, *_ in MmapedDict.read_all_values_from_file(str(path))]


def test_dead_processes_keep_their_counts_alone(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive = (tmp_path / f"counter_{pid}.db" for pid in (ended.pid, os.getppid()))
    for path in (dead, alive):
        path.write_bytes(bytes(RESERVED))
        values = MmapedDict(str(path))
        values.write_value("requests", 7.0, 0.0)
        values.close()
    (tmp_path / f"histogram_{ended.pid}.db").touch()  # no room for more
    assert reserve(tmp_path)
    assert dead.stat().st_size < 1000
    assert alive.stat().st_size == RESERVED
    assert counted(dead) == counted(alive) == [("requests", 7.0)]
    own = tmp_path / f"counter_{os.getpid()}.db"
    assert own.stat().st_size == RESERVED
