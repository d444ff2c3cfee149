"""What a box that downloads packages can reach when the code in it has turned hostile, and that it still can download.

Also a program: ``python -m tests.attacks.errands LEVEL UID`` (as root) becomes an ordinary user first.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.attacks.harness import become_ordinary
from udf.packages import installed
from udf.rules import PackageRules
from udf.sandbox import Offer, landlock
from udf.sandbox.errand import Errand, ErrandError

# Each line is tried for itself; what works is told.
PROBES = """
write inside|open(folder + '/made', 'w').write('x')
reach the index|socket.create_connection(('127.0.0.1', index), 5).close()
reach another port|socket.create_connection(('127.0.0.1', other), 5).close()
reach another port by MPTCP|socket.socket(proto=262).connect(('127.0.0.1', other))
reach another port by what is sent|socket.socket().sendto(b'x', socket.MSG_FASTOPEN, ('127.0.0.1', other))
open a raw socket|socket.socket(socket.AF_INET, socket.SOCK_RAW, 6)
serve|socket.create_server(('127.0.0.1', 0))
reach a local socket|socket.socket(socket.AF_UNIX).connect(local)
read a secret|open(secret).read()
change a secret|open(secret, 'a').write('x')
open up a secret|ctypes.CDLL(None, use_errno=True).chmod(secret.encode(), 0o777) and 1 / 0
remove a secret|os.remove(secret)
write beside|open(os.path.dirname(folder) + '/made', 'w')
read the users of the machine|open('/etc/passwd').read()
read the environment|1 / sum('SECRET' in name for name in os.environ)
read the environment of the server|open(f'/proc/{server}/environ', 'rb').read(1)[0]
start a program|subprocess.run(['/bin/true'], check=True)
fork|os.fork() or os._exit(0)
end the server|os.kill(server, 0)
become root|os.setuid(0)
mount|ctypes.CDLL(None, use_errno=True).mount(b'none', folder.encode(), b'tmpfs', 0, None) and 1 / 0
leave namespaces|ctypes.CDLL(None, use_errno=True).unshare(0x10000000) and 1 / 0
fill the disk|open(folder + '/large', 'wb').write(bytes(2**25))
fill memory|bytearray(2**30)
"""
HOSTILE = """
import ctypes, os, socket, subprocess
worked = []
for probe in probes.strip().splitlines():
    name, _, code = probe.partition('|')
    try:
        exec(code)
    except Exception:
        continue
    worked.append(name)
"""
# Where this works, there is no answer. The program is one that boxes see: the loader of others.
PROGRAM = """
import glob, os
for path in [*glob.glob('/lib*/ld-linux*'), '/bin/true']:
    if os.path.exists(path):
        break
try:
    os.execv(path, [path, '--help'])
except OSError as error:
    told = error.strerror
"""
REFUSED = "Operation not permitted"  # as the filter says it: other walls say otherwise
ALLOWED = ["write inside", "reach the index"]


def outcome(level: str, folder: Path) -> dict[str, Any]:
    """Run the hostile errand and an honest installation; what became of them."""
    secret = folder / "state" / "openeo.sqlite"
    secret.parent.mkdir(parents=True)
    secret.write_text("SERVER_SECRET")
    secret.chmod(0o600)
    with ExitStack() as stack:
        index, other = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        local = stack.enter_context(socket.socket(socket.AF_UNIX))
        local.bind(str(folder / "local"))
        local.listen()
        stack.enter_context(patch.dict(os.environ, {"A_SECRET": "x"}))
        ports = {"index": index.getsockname()[1], "other": other.getsockname()[1]}
        paths = {"secret": str(secret), "local": str(folder / "local"), "folder": str(folder / "box")}
        names = {**ports, **paths, "server": os.getpid(), "probes": PROBES}
        (folder / "box").mkdir()
        errand = Errand(
            "builtins:eval", folder / "box", ports=[ports["index"]], file_bytes=2**24, memory=2**29, seconds=60
        )
        worked = _ran(errand, HOSTILE, names, "worked", level)
        program = _ran(errand, PROGRAM, {}, "told", level)
    harm = [] if secret.read_text() == "SERVER_SECRET" and secret.stat().st_mode & 0o777 == 0o600 else ["the secret"]
    return {"worked": worked, "harm": harm, "program": program, "installed": _installed(level, folder)}


def _ran(errand: Errand, code: str, names: dict[str, Any], result: str, level: str) -> Any:
    """What the code leaves under a name; what became of the errand where it does not answer."""
    try:
        return errand.run(f"(lambda names: (exec({code!r}, names), names[{result!r}])[1])({names!r})", level)  # type: ignore[arg-type]
    except ErrandError as error:
        return error.message


def expected() -> list[str]:
    """What may work: before Linux 6.7, ports cannot be told apart."""
    return [*ALLOWED, *(["reach another port"] if landlock.version() < 4 else [])]


def _installed(level: str, folder: Path) -> list[str]:
    from tests.udf.test_packages import wheel

    (folder / "wheels").mkdir()
    wheel(folder / "wheels", requires="helper_udf")
    wheel(folder / "wheels", "helper_udf")
    with patch("udf.sandbox.errand.offered", lambda: Offer(level, (level,), {})):
        made = installed(["tinyudf"], PackageRules(str(folder / "wheels"), folder / "kept"), "anna")
    others = {path.stat().st_uid for path in made.rglob("*")} - {os.geteuid()}
    return sorted(path.parent.name for path in made.glob("*/__init__.py")) + [f"of {user}" for user in others]


def main() -> None:
    """Do it as another user, and print what became of it."""
    level, user = sys.argv[1], int(sys.argv[2])
    become_ordinary(user)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(outcome(level, Path(folder))))  # noqa: T201


if __name__ == "__main__":
    main()
