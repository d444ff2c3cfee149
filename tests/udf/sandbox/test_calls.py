"""One call beside and after another; messages; what the guest can still do; how families end."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.udf.sandbox.conftest import GUESTS, LIMITS
from udf.sandbox import GuestError, Limits, Sandbox, SandboxError, pool, sandbox_on_this_worker
from udf.sandbox.frames import LARGEST_LOG, MOST_LOGS

ALIVE = "import os\nanswer = {'alive': True}"


def test_messages_come_while_the_call_runs(box):
    class Enough(Exception):
        pass

    def stop(entry):
        raise Enough(entry["message"])

    with pytest.raises(Enough, match="now"):
        box.call({"code": "import time\nlog({'message': 'now'})\ntime.sleep(50)"}, [], stop)
    assert box.call({"code": ALIVE}, [])[0] == {"alive": True}


def test_messages_are_bounded_in_number_and_size(box):
    logs = []
    box.call({"code": "for n in range(5000): log({'level': 'info', 'message': 'x' * 100})"}, [], logs.append)
    assert len(logs) == MOST_LOGS
    assert logs[-1]["level"] == "warning"
    logs.clear()
    box.call({"code": "log({'level': 'error', 'message': 'x' * 10_000_000})"}, [], logs.append)
    assert logs[0]["level"] == "error"
    assert 100 < len(logs[0]["message"]) < LARGEST_LOG


def test_what_one_call_leaves_the_next_does_not_find(box):
    leave = (
        "import builtins, numpy, os\nbuiltins.left = numpy.left = 1\nos.environ['LEFT'] = '1'\n"
        "for n in range(3): os.write(n, b'left')\n"
        "try: open('/tmp/left', 'w').write('x'); os.chdir('/')\n"
        "except OSError: pass"
    )
    look = (
        "import builtins, numpy, os\nanswer = {'found': [hasattr(builtins, 'left'), hasattr(numpy, 'left'), "
        "'LEFT' in os.environ, os.path.exists('/tmp/left'), "
        "any(os.pread(n, 9, 0) for n in range(3))]}"
    )
    box.call({"code": leave}, [])
    assert box.call({"code": look}, [])[0] == {"found": [False] * 5}


def test_calls_of_several_threads_do_not_mix(box):
    def work(n):
        logs = []
        code = "import time\nlog({'message': str(arrays[0][0])})\ntime.sleep(0.02)\nmade = [arrays[0] + 1]"
        _, (made,) = box.call({"code": code}, [np.full(1000, n)], logs.append)
        return (made == n + 1).all() and logs == [{"message": str(n)}]

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, range(12)))


def test_guests_can_compute(box):
    code = """
import concurrent.futures, numpy as np, pandas as pd, xarray as xr
a = np.random.default_rng(0).random((300, 300))
with concurrent.futures.ThreadPoolExecutor(4) as threads:
    sums = list(threads.map(lambda n: float((a @ a).sum()), range(4)))
cube = xr.DataArray(a, dims=("y", "x")).rolling(x=3).mean()
answer = {
    "same": len(set(sums)) == 1,
    "month": pd.Timestamp("2020-05-17", tz="Europe/Berlin").month,
    "inverse": bool(np.allclose(np.linalg.inv(a) @ a, np.eye(300), atol=1e-6)),
    "mean": bool(np.isfinite(cube[:, 2:]).all()),
}
"""
    assert box.call({"code": code}, [])[0] == {"same": True, "month": 5, "inverse": True, "mean": True}


def test_temporary_files_are_there_where_the_level_has_them(opened):
    code = "import tempfile\nwith tempfile.TemporaryFile() as file: file.write(b'x' * 1000)\nanswer = {'written': True}"
    with opened() as box:
        if box.level == "namespaces":
            assert box.call({"code": code}, [])[0] == {"written": True}
        else:
            with pytest.raises(GuestError):
                box.call({"code": code}, [])


def test_folders_below_tmp_stay_visible_and_read_only(box, tmp_path_factory):
    shown, other = tmp_path_factory.mktemp("shown"), tmp_path_factory.mktemp("other")
    assert shown.is_relative_to(tempfile.gettempdir())
    for folder in (shown, other):
        (folder / "note.txt").write_text("seen")
        for above in (folder, *folder.parents):
            if above.is_relative_to(tempfile.gettempdir()) and above != Path(tempfile.gettempdir()):
                above.chmod(0o755)
    code = """
import os, pathlib
shown, other = map(pathlib.Path, request["folders"])
answer = {"text": (shown / "note.txt").read_text(), "done": []}
forbidden = {
    "remove": (shown / "note.txt").unlink, "new file": (shown / "new").touch, "new folder": (shown / "x").mkdir,
    "read": (other / "note.txt").read_text, "aside": lambda: os.listdir("/.aside")[0],
}
for name, do in forbidden.items():
    try: do(); answer["done"].append(name)
    except (OSError, IndexError): pass
"""
    with Sandbox(LIMITS, handler="running_guest:run", read_only=[GUESTS, shown], level=box.level) as own:
        answer = own.call({"code": code, "folders": [str(shown), str(other)]}, [])[0]
    assert answer == {"text": "seen", "done": []}
    assert [path.name for path in shown.iterdir()] == ["note.txt"]


def test_a_shown_file_of_proc_is_all_that_is_there(box):
    code = """
import os
found = {}
for path in ("/proc/cpuinfo", "/proc/meminfo", "/proc/1/environ", "/proc/mounts", "/proc/sys/kernel/hostname"):
    try: found[path] = bool(open(path).read(1))
    except OSError: found[path] = False
try: os.listdir("/proc"); found["/proc"] = True
except OSError: found["/proc"] = False
answer = found
"""
    shown = [GUESTS, Path("/proc/cpuinfo")]
    with Sandbox(LIMITS, handler="running_guest:run", read_only=shown, level=box.level) as own:
        answer = own.call({"code": code}, [])[0]
    assert [path for path, is_read in answer.items() if is_read] == ["/proc/cpuinfo"]


def test_modules_are_imported_once_for_all_calls(opened):
    code = "import sys\nanswer = {'there': 'colorsys' in sys.modules}"
    for preload in ((), ("colorsys", "no_such_module")):
        with opened(preload=preload) as box:
            assert box.call({"code": code}, [])[0] == {"there": bool(preload)}


def test_a_family_that_died_is_replaced(opened):
    with opened() as box:
        box.call({"code": ALIVE}, [])
        os.kill(box._family._process.pid, signal.SIGKILL)
        box._family._process.wait()
        assert box.call({"code": ALIVE}, [])[0] == {"alive": True}


def test_closing_ends_running_calls_and_later_ones(opened):
    box = opened()
    box.call({"code": ALIVE}, [])
    with ThreadPoolExecutor(1) as threads:
        started = []
        call = threads.submit(box.call, {"code": "log({})\nimport time\ntime.sleep(50)"}, [], started.append)
        while not started:
            time.sleep(0.01)
        box.close()
        with pytest.raises(SandboxError):
            call.result(20)
    with pytest.raises(SandboxError, match="closed") as caught:
        box.call({"code": ALIVE}, [])
    assert caught.value.kind == "unavailable"


def _gone(number: int, within: float = 20.0) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            with open(f"/proc/{number}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_guests_end_with_a_server_that_is_killed(opened):
    opened().close()
    program = f"""
import time
from pathlib import Path
from udf.sandbox import Limits, Sandbox
box = Sandbox(Limits(), handler="running_guest:run", read_only=[Path({str(GUESTS)!r})])
box.call({{"code": ""}}, [])
started = lambda entry: print(box._family._process.pid, flush=True)
box.call({{"code": "log({{}})\\nimport time\\ntime.sleep(500)"}}, [], started)
"""
    server = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with server:
        guests = int(server.stdout.readline())
        server.kill()
        assert _gone(guests)


def _in_a_daemon(answers) -> None:
    with Sandbox(LIMITS, handler="running_guest:run", read_only=[GUESTS]) as box:
        answers.put(box.call({"code": ALIVE}, [])[0])


def test_works_in_a_daemonic_process_as_workers_are(opened):
    opened().close()
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_in_a_daemon, args=(answers,), daemon=True)
    process.start()
    assert answers.get(timeout=60) == {"alive": True}
    process.join(30)
    answers.close()
    answers.join_thread()


def test_the_workers_sandbox_is_kept_and_rests(opened):
    opened().close()
    limits = replace(LIMITS, wall_seconds=59.0)
    box = sandbox_on_this_worker(limits, [GUESTS])
    assert sandbox_on_this_worker(limits, [GUESTS]) is box
    assert sandbox_on_this_worker(LIMITS, [GUESTS]) is not box
    family = box._living()
    pool.rest_all()
    assert not family.alive
    assert sandbox_on_this_worker(limits, [GUESTS]) is not box
    pool.rest_all()


def test_errors_pass_between_workers():
    for error in (SandboxError("memory", "too much", [{"a": 1}]), GuestError("text", "trace", [{"a": 1}])):
        same = pickle.loads(pickle.dumps(copy.copy(error)))  # noqa: S301
        assert vars(same) == vars(error)
        assert str(same) == str(error)


@pytest.mark.parametrize("name", ["memory", "cpu_seconds", "wall_seconds", "processes", "open_files", "scratch_bytes"])
def test_limits_say_which_is_wrong(name):
    with pytest.raises(ValueError, match=rf"Limits\.{name} is -1"):
        Limits(**{name: -1})
