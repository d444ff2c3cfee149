"""Hostile user code, each with what must become of it.

`code` finds `arrays`, `log` and `request` (`secret`: a file of the server; `port`: where it listens; `server`: its
process; `calls`: numbers of system calls) and sets `answer` only where it got through: any answer is a breach.
Outcomes are kinds of `SandboxError`, or "error" for an ordinary error of the code's own with one of `says` in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DENIED = ("PermissionError", "FileNotFoundError", "Errno 1]", "Errno 38]", "denied")


@dataclass(frozen=True)
class Attack:
    """A piece of code and its end; `limits` are tighter ones for it alone."""

    name: str
    code: str
    outcome: tuple[str, ...] = ("error",)
    says: tuple[str, ...] = DENIED
    limits: dict = field(default_factory=dict)


MIB = 1 << 20
_LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"


def _call(name: str, *arguments: str) -> Attack:
    """A system call that must fail; it may not even exist."""
    code = _LIBC + (
        f"if libc.syscall(request['calls'][{name!r}], {', '.join(arguments)}) < 0:\n"
        "    raise OSError(ctypes.get_errno(), 'denied')\n"
        "answer = {'got': 'through'}"
    )
    return Attack(f"system call {name}", code)


def _all_denied(name: str, *tries: str) -> Attack:
    """Several statements that must each fail."""
    code = _LIBC + "import socket, subprocess, multiprocessing, shutil, signal\n"
    for statement in tries:
        code += f"try:\n    {statement}\n    answer = {{'got': {statement!r}}}\nexcept OSError: pass\n"
    return Attack(name, code + "if not answer: raise PermissionError('all denied')")


READING = [
    _all_denied(
        "reads the system's files", "open('/etc/passwd').read()", "open('/etc/shadow').read()", "os.listdir('/home')"
    ),
    _all_denied(
        "reads the database",
        "open(request['secret']).read()",
        "os.listdir(os.path.dirname(request['secret']))",
        "open('/..' + request['secret']).read()",
        "os.open(request['secret'], os.O_RDONLY | os.O_NOFOLLOW)",
    ),
    Attack(
        "reads the server's environment",
        "import os\n"
        "if 'SERVER_SECRET' in os.environ or b'SERVER_SECRET' in os.environb: answer = {'got': 'environment'}\n"
        "for who in ('self', request['server'], os.getppid(), 1):\n"
        "    try:\n"
        "        if 'SERVER_SECRET' in open(f'/proc/{who}/environ').read(): answer = {'got': who}\n"
        "    except OSError: pass\n"
        "if not answer: raise PermissionError('nothing there')",
    ),
    _all_denied(
        "reads the server's process",
        "open(f\"/proc/{request['server']}/mem\", 'rb').read(1)",
        "open(f\"/proc/{request['server']}/maps\").read()",
        "os.listdir(f\"/proc/{request['server']}/fd\")",
        "open(f\"/proc/{request['server']}/root/etc/passwd\").read()",
        "open('/proc/1/root/etc/passwd').read()",
        "open(f\"/proc/{request['server']}/cwd/pyproject.toml\").read()",
    ),
    _all_denied(
        "goes by links",
        "os.symlink(request['secret'], '/tmp/link'); open('/tmp/link').read()",
        "os.link(request['secret'], '/tmp/link'); open('/tmp/link').read()",
        "os.symlink('/', 'up'); open('up' + request['secret']).read()",
        "os.symlink('/proc/self/root', 'root'); open('root' + request['secret']).read()",
    ),
    _all_denied(
        "reads devices", "open('/dev/mem', 'rb')", "open('/dev/vda', 'rb')", "os.mknod('/tmp/x', 0o60600, 0x0801)"
    ),
]

WRITING = [
    _all_denied(
        "writes outside",
        "open(request['secret'], 'w').write('gone')",
        "open(request['secret'], 'a').write('more')",
        "os.remove(request['secret'])",
        "os.rename(request['secret'], request['secret'] + '.old')",
        "os.truncate(request['secret'], 0)",
        "os.chmod(request['secret'], 0o777)",
        "os.utime(request['secret'])",
        "os.mkdir(os.path.dirname(request['secret']) + '/new')",
        "open(os.path.dirname(os.__file__) + '/planted.py', 'w')",
        "import numpy; open(numpy.__file__, 'a')",
        "open('/planted', 'w')",
        "open('/dev/shm/../../planted', 'w')",
    ),
    Attack(
        "fills the disk",
        "import itertools\n"
        "for n in itertools.count():\n"
        "    with open(f'/tmp/{n}', 'wb') as file: file.write(bytes(1 << 22))\n"
        "    if n > 100: answer = {'got': n}; break",
        says=("No space left", "File too large", *DENIED),
    ),
    Attack(
        "makes files without end",
        "for n in range(100_000): open(f'/tmp/{n}', 'w').close()\nanswer = {'got': n}",
        says=("No space left", *DENIED),
    ),
]

NETWORK = [
    _all_denied(
        "opens sockets",
        "socket.create_connection(('127.0.0.1', request['port']), 1)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_INET6)",
        "socket.socket(socket.AF_UNIX).connect('/run/docker.sock')",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "socket.socket(38, socket.SOCK_SEQPACKET)",
        "socket.socketpair(socket.AF_INET)",
    ),
    Attack(
        "looks for other people's sockets",
        "import os, socket\n"
        "for number in range(3, 200):\n"
        "    try: peer = socket.socket(fileno=os.dup(number))\n"
        "    except OSError: continue\n"
        "    if peer.family != socket.AF_UNIX: answer = {'got': number}\n"
        "if not answer: raise PermissionError('none')",
    ),
]

PROCESSES = [
    _all_denied(
        "starts processes",
        "os.fork() or os._exit(0)",
        "subprocess.run(['/bin/sh', '-c', 'true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "os.execv('/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2', ['ld'])",
        "multiprocessing.get_context('fork').Process(target=print).start()",
        "assert os.system('true') == 0 or (_ for _ in ()).throw(OSError())",
    ),
    Attack(
        "starts threads without end",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        outcome=("processes", "error", "memory"),
        says=("can't start new thread",),
    ),
    _all_denied(
        "kills others",
        "os.kill(request['server'], signal.SIGKILL)",
        "os.kill(request['server'], signal.SIGSTOP)",
        "os.kill(os.getppid() or -1, signal.SIGKILL)",
        "os.kill(-1, signal.SIGKILL)",
        "os.killpg(0, signal.SIGKILL)",
        "os.kill(0, signal.SIGTERM)",
        "signal.pidfd_send_signal(os.pidfd_open(request['server']), signal.SIGKILL)",
        "import fcntl; r, w = os.pipe(); fcntl.fcntl(r, 8, request['server'])",
    ),
    Attack(
        "gives itself a signal", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", ("crashed", "harmless")
    ),
    Attack("aborts", "import os\nos.abort()", ("crashed",)),
    Attack("leaves", "import os\nos._exit(0)", ("crashed",)),
    Attack("leaves politely", "raise SystemExit(0)", says=("SystemExit",)),
    Attack("writes over its memory", "import ctypes\nctypes.memset(1, 0, 1 << 20)", ("crashed",)),
    Attack(
        "recurses without end",
        "import sys\nsys.setrecursionlimit(1 << 30)\ndef f(n): return f([n].__len__() and [n])\nf(0)",
        ("crashed", "memory", "cpu", "error"),
        says=("RecursionError", "MemoryError", "SystemError"),
        limits={"memory": 256 * MIB, "cpu_seconds": 5.0},
    ),
]

RIGHTS = [
    _all_denied(
        "becomes root", "os.setuid(0)", "os.setgid(0)", "os.setgroups([0])", "os.chroot('/tmp')", "os.nice(-5)"
    ),
    Attack(
        "raises its limits",
        "import resource\n"
        "for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE):\n"
        "    try:\n"
        "        resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "        answer = {'got': which}\n"
        "    except (OSError, ValueError): pass\n"
        "if not answer: raise PermissionError('none')",
    ),
    _call("ptrace", "16", "request['server']", "0", "0"),
    _call("process_vm_readv", "request['server']", "0", "0", "0", "0", "0"),
    _call("unshare", "0x10000000"),
    _call("setns", "0", "0"),
    _call("mount", "0", "b'/'", "0", "4096", "0"),
    _call("umount2", "b'/tmp'", "2"),
    _call("pivot_root", "b'.'", "b'.'"),
    _call("clone3", "0", "0"),
    _call("memfd_create", "b'x'", "0"),
    _call("shmget", "0", "1 << 20", "0o1600"),
    _call("keyctl", "0", "-3", "1"),
    _call("add_key", "b'user'", "b'x'", "b'y'", "1", "-3"),
    _call("bpf", "0", "0", "0"),
    _call("perf_event_open", "0", "0", "-1", "-1", "0"),
    _call("io_uring_setup", "8", "0"),
    _call("userfaultfd", "0"),
    _call("open_by_handle_at", "0", "0", "0"),
    _call("init_module", "0", "0", "b''"),
    _call("kexec_load", "0", "0", "0", "0"),
    _call("reboot", "0", "0", "0", "0"),
    _call("sethostname", "b'x'", "1"),
    _call("seccomp", "0", "0", "0"),
    _call("inotify_init1", "0"),
    _call("personality", "0x0040000"),
    _call("prctl", "4", "1", "0", "0", "0"),
    _call("prlimit64", "request['server']", "7", "0", "ctypes.create_string_buffer(16)"),
    _call("sched_setaffinity", "request['server']", "8", "b'\\1' + bytes(7)"),
    Attack(
        "calls as an older machine",
        "import ctypes, mmap, platform\n"
        "if platform.machine() != 'x86_64': ctypes.string_at(0)\n"
        "page = mmap.mmap(-1, 4096, prot=7)\n"
        "page.write(bytes.fromhex('b814000000cd80c3'))\n"
        "answer = {'got': ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()}",
        ("crashed",),
    ),
    Attack(
        "calls by the second numbering",
        _LIBC + "if libc.syscall(0x40000000 | 41, 2, 1, 0) < 0: raise PermissionError('denied')\nanswer = {'got': 1}",
    ),
]

AMOUNTS = [
    Attack(
        "fills the memory with arrays",
        "import numpy as np\nkept = []\nwhile True: kept.append(np.ones(1 << 20))",
        ("memory",),
        limits={"memory": 256 * MIB},
    ),
    Attack(
        "fills the memory with objects",
        "kept = []\nwhile True: kept.append([0] * 1000)",
        ("memory",),
        limits={"memory": 256 * MIB},
    ),
    Attack(
        "fills shared memory",
        "import mmap\nkept = []\n"
        "while True:\n    kept.append(mmap.mmap(-1, 1 << 24))\n    kept[-1].write(b'x' * (1 << 24))",
        ("memory", "error"),
        says=("Cannot allocate memory",),
        limits={"memory": 256 * MIB},
    ),
    Attack(
        "hides that the memory is full",
        "import numpy as np, time\nkept = []\n"
        "while True:\n"
        "    try: kept.append(np.ones(1 << 18))\n"
        "    except MemoryError: time.sleep(0.01)",
        ("memory", "cpu", "time"),
        limits={"memory": 256 * MIB, "wall_seconds": 4.0},
    ),
    Attack("loops", "while True: pass", ("cpu",), limits={"cpu_seconds": 0.5}),
    Attack(
        "loops and ignores signals",
        "import signal\n"
        "for n in (signal.SIGXCPU, signal.SIGTERM, signal.SIGALRM, signal.SIGINT): signal.signal(n, signal.SIG_IGN)\n"
        "while True: pass",
        ("cpu",),
        limits={"cpu_seconds": 0.5},
    ),
    Attack(
        "loops in threads",
        "import threading, hashlib\ndata = bytes(1 << 20)\n"
        "def work():\n    while True: hashlib.sha256(data)\n"
        "for _ in range(4): threading.Thread(target=work).start()\nwork()",
        ("cpu",),
        limits={"cpu_seconds": 0.5},
    ),
    Attack("sleeps", "import time\ntime.sleep(1000)", ("time",), limits={"wall_seconds": 0.5}),
    Attack(
        "answers and goes on",
        "import json, os, struct, time\n"
        'body = b\'{"answer": {}, "arrays": []}\'\n'
        "for n in range(3, 64):\n"
        "    try: os.write(n, struct.pack('<cI', b'A', len(body)) + body)\n"
        "    except OSError: pass\n"
        "time.sleep(1000)",
        ("harmless",),
    ),
    Attack(
        "opens files without end",
        "import os\nkept = [os.open('/dev/null', 0) for _ in range(10_000)]\nanswer = {'got': len(kept)}",
        says=("Too many open files",),
    ),
    Attack(
        "opens pipes without end", "import os\nkept = [os.pipe() for _ in range(10_000)]", says=("Too many open files",)
    ),
    Attack(
        "returns too much",
        "import numpy as np\nmade = [np.zeros(1 << 20), np.zeros(8 << 20)]",
        ("output",),
        limits={"output_bytes": 32 * MIB},
    ),
    Attack(
        "floods the log past its sender",
        "import os, struct\n"
        "body = b'{\"message\": \"x\"}'\nframe = struct.pack('<cI', b'L', len(body)) + body\n"
        "fds = []\n"
        "for n in range(3, 64):\n"
        "    try: os.write(n, frame); fds.append(n)\n"
        "    except OSError: pass\n"
        "while True:\n"
        "    for n in fds: os.write(n, frame)",
        ("output",),
    ),
]

_FORGED = (
    "import json, os, struct\n"
    "def forge(letter, body):\n"
    "    for n in range(3, 64):\n"
    "        try: os.write(n, struct.pack('<cI', letter, len(body)) + body)\n"
    "        except OSError: pass\n"
    "def listed(**place): forge(b'A', json.dumps({'answer': {}, 'arrays': [place]}).encode())\n"
)

LIES = [
    Attack(
        "returns objects",
        "import numpy as np\nclass Bad:\n    def __reduce__(self): return (print, ('unpickled',))\n"
        "made = [np.array([Bad()], object)]",
        ("refused",),
    ),
    Attack("answers with what is no JSON", "answer = {'got': open}", says=("not JSON serializable",)),
    Attack(
        "sends rubbish",
        "import os, time\n"
        "for n in range(3, 64):\n"
        "    try: os.write(n, b'\\x80\\x04pickle' * 100)\n"
        "    except OSError: pass\n"
        "time.sleep(9)",
        ("output",),
    ),
    Attack(
        "sends a message that is too long",
        _FORGED + "import time\nforge(b'L', b'x' * (1 << 20))\ntime.sleep(9)",
        ("output",),
    ),
    Attack("sends deep JSON", _FORGED + "forge(b'A', b'[' * 1_000_000)\nimport time; time.sleep(9)", ("output",)),
    Attack("points outside its memory", _FORGED + "listed(dtype='<f8', shape=[1 << 30], offset=1 << 40)", ("refused",)),
    Attack("points before its memory", _FORGED + "listed(dtype='<f8', shape=[4], offset=-64)", ("refused",)),
    Attack(
        "describes more than there is",
        _FORGED + "listed(dtype='<f8', shape=[1 << 39, 1 << 39], offset=0)",
        ("refused",),
    ),
    Attack("describes objects", _FORGED + "listed(dtype='|O8', shape=[4], offset=0)", ("refused",)),
    Attack("describes nonsense", _FORGED + "listed(dtype=7, shape='x', offset=None)", ("refused",)),
    Attack(
        "returns truth values that are neither",
        "import numpy as np\nmade = [np.array([7, 8], np.uint8).view(bool)]",
        ("refused",),
    ),
    Attack(
        "returns text that is no text",
        "import numpy as np\nmade = [np.array([0xFFFFFFFF], np.uint32).view('<U1')]",
        ("refused",),
    ),
    Attack(
        "shrinks the shared memory",
        "import os\nfailed = 0\n"
        "for n in range(3, 64):\n"
        "    for size in (0, 1 << 40):\n"
        "        try: os.ftruncate(n, size); answer = {'got': n}\n"
        "        except OSError: failed += 1\n"
        "if not answer: raise PermissionError('none')",
    ),
    Attack(
        "reads the shared output",
        "import fcntl, mmap, os\n"
        "for n in range(3, 64):\n"
        "    try: size, mode = os.fstat(n).st_size, fcntl.fcntl(n, fcntl.F_GETFL) & 3\n"
        "    except OSError: continue\n"
        "    if mode == 0: continue  # its own input\n"
        "    for attempt in (lambda: os.pread(n, 1, 0), lambda: mmap.mmap(n, size or 1)):\n"
        "        try: attempt(); answer = {'got': n}\n"
        "        except (OSError, ValueError): pass\n"
        "if not answer: raise PermissionError('none')",
    ),
]

ATTACKS = [*READING, *WRITING, *NETWORK, *PROCESSES, *RIGHTS, *AMOUNTS, *LIES]
