"""Hostile user code, each with what must become of it.

`code` finds `arrays`, `log` and `request` (`secret`: a file of the server; `port`: where it listens; `server`: its
process; `calls`: numbers of system calls) and sets `answer` only where it got through: any answer is a breach.
Outcomes are kinds of `SandboxError`, or "error" for an ordinary error of the code's own with one of `says` in it.
"""

from __future__ import annotations

from tests.attacks.attack import DENIED, LIBC, MIB, Attack, all_denied, system_call
from tests.attacks.hostile_loads import AMOUNTS, LIES

READING = [
    all_denied(
        "reads the system's files", "open('/etc/passwd').read()", "open('/etc/shadow').read()", "os.listdir('/home')"
    ),
    all_denied(
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
    all_denied(
        "reads the server's process",
        "open(f\"/proc/{request['server']}/mem\", 'rb').read(1)",
        "open(f\"/proc/{request['server']}/maps\").read()",
        "os.listdir(f\"/proc/{request['server']}/fd\")",
        "open(f\"/proc/{request['server']}/root/etc/passwd\").read()",
        "open('/proc/1/root/etc/passwd').read()",
        "open(f\"/proc/{request['server']}/cwd/pyproject.toml\").read()",
    ),
    all_denied(
        "goes by links",
        "os.symlink(request['secret'], '/tmp/link'); open('/tmp/link').read()",
        "os.link(request['secret'], '/tmp/link'); open('/tmp/link').read()",
        "os.symlink('/', 'up'); open('up' + request['secret']).read()",
        "os.symlink('/proc/self/root', 'root'); open('root' + request['secret']).read()",
    ),
    all_denied(
        "reads devices", "open('/dev/mem', 'rb')", "open('/dev/vda', 'rb')", "os.mknod('/tmp/x', 0o60600, 0x0801)"
    ),
]

WRITING = [
    all_denied(
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
    all_denied(
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
    all_denied(
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
    all_denied(
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
    all_denied("becomes root", "os.setuid(0)", "os.setgid(0)", "os.setgroups([0])", "os.chroot('/tmp')", "os.nice(-5)"),
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
    system_call("ptrace", "16", "request['server']", "0", "0"),
    system_call("process_vm_readv", "request['server']", "0", "0", "0", "0", "0"),
    system_call("unshare", "0x10000000"),
    system_call("setns", "0", "0"),
    system_call("mount", "0", "b'/'", "0", "4096", "0"),
    system_call("umount2", "b'/tmp'", "2"),
    system_call("pivot_root", "b'.'", "b'.'"),
    system_call("clone3", "0", "0"),
    system_call("memfd_create", "b'x'", "0"),
    system_call("shmget", "0", "1 << 20", "0o1600"),
    system_call("keyctl", "0", "-3", "1"),
    system_call("add_key", "b'user'", "b'x'", "b'y'", "1", "-3"),
    system_call("bpf", "0", "0", "0"),
    system_call("perf_event_open", "0", "0", "-1", "-1", "0"),
    system_call("io_uring_setup", "8", "0"),
    system_call("userfaultfd", "0"),
    system_call("open_by_handle_at", "0", "0", "0"),
    system_call("init_module", "0", "0", "b''"),
    system_call("kexec_load", "0", "0", "0", "0"),
    system_call("reboot", "0", "0", "0", "0"),
    system_call("sethostname", "b'x'", "1"),
    system_call("seccomp", "0", "0", "0"),
    system_call("inotify_init1", "0"),
    system_call("personality", "0x0040000"),
    system_call("prctl", "4", "1", "0", "0", "0"),
    system_call("prlimit64", "request['server']", "7", "0", "ctypes.create_string_buffer(16)"),
    system_call("sched_setaffinity", "request['server']", "8", "b'\\1' + bytes(7)"),
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
        LIBC + "if libc.syscall(0x40000000 | 41, 2, 1, 0) < 0: raise PermissionError('denied')\nanswer = {'got': 1}",
    ),
]

ATTACKS = [*READING, *WRITING, *NETWORK, *PROCESSES, *RIGHTS, *AMOUNTS, *LIES]
