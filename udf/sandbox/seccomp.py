"""The system calls that user code may do: a list of what is allowed, as a filter in the kernel (seccomp, BPF).

Everything that is not listed fails with EPERM: sockets, further processes and programs, signals to others, mounts,
namespaces, tracing, keys, io_uring, other processes' memory. What is allowed with some arguments only is in `_checked`.
Numbers beyond those known here get ENOSYS, as on an older kernel, so that the C library does as it did before.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

from udf.sandbox.system import PR_SET_NO_NEW_PRIVS, machine, number, prctl

ALLOWED = [
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "open",
    "openat", "close", "close_range", "lseek", "stat", "fstat", "lstat", "newfstatat", "statx", "statfs", "fstatfs",
    "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "chdir",
    "fchdir", "dup", "dup2", "dup3", "flock", "fsync", "fdatasync", "ftruncate", "fallocate", "fadvise64",
    "sendfile", "copy_file_range", "pipe", "pipe2", "poll", "ppoll", "select", "pselect6", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd", "eventfd2", "timerfd_create",
    "timerfd_settime", "timerfd_gettime", "umask", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename",
    "renameat", "renameat2", "symlink", "symlinkat", "mmap", "munmap", "mremap", "mprotect", "madvise", "brk",
    "mincore", "msync", "membarrier", "futex", "set_robust_list", "get_robust_list", "set_tid_address", "rseq",
    "exit", "exit_group", "sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler",
    "sched_get_priority_max", "sched_get_priority_min", "getcpu", "arch_prctl", "gettid", "getpid", "getppid",
    "getuid", "geteuid", "getgid", "getegid", "getpgrp", "getpgid", "getsid", "getgroups", "getresuid", "getresgid",
    "capget", "getpriority", "getrlimit", "setrlimit", "getrusage", "times", "sysinfo", "uname", "getrandom",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "rt_sigsuspend",
    "sigaltstack", "restart_syscall", "pause", "alarm", "setitimer", "getitimer", "timer_create", "timer_settime",
    "timer_gettime", "timer_getoverrun", "timer_delete", "signalfd4", "wait4", "waitid", "clock_gettime",
    "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "recvfrom", "shutdown",
    "getsockopt", "getsockname", "getpeername",
]  # fmt: skip
OF_ITS_OWN_FILES = [
    "chmod", "fchmod", "fchmodat", "truncate", "utime", "utimes", "utimensat", "futimesat", "link", "linkat",
]  # fmt: skip
FOR_THE_NETWORK = ["connect", "recvmsg", "recvmmsg", "setsockopt"]

_FCNTL = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    36,
    37,
    38,
    1030,
    1032,
)  # duplicate, flags, locks, size of a pipe: no signals to others
_IOCTL = (
    0x5450,
    0x5451,
    0x5421,
    0x541B,
    0x5401,
    0x5413,
)  # close on exec or not, blocking or not, bytes waiting, terminal?
_PRCTL = (15, 16, 0x53564D41)  # name of a thread (set, get), of a memory area
_AF_UNIX = 1
# IPv4 and IPv6; connected or not, whatever of close-on-exec and non-blocking; the usual protocol of these, TCP, UDP.
# Landlock knows the ports of no others (MPTCP, SCTP, SMC).
_SOCKETS = ((0, 0, (2, 10)), (1, 0x80800, (1, 2)), (2, 0, (0, 6, 17)))
_FAST_OPEN = 0x20000000  # connects without `connect`, which is where Landlock looks at the port
_CLONE_THREAD, _CLONE_NAMESPACES = 0x10000, 0x7E020000
_LAST_KNOWN = 450

_LD, _AND, _JMP_EQUAL, _JMP_AND, _JMP_ABOVE, _RETURN = 0x20, 0x54, 0x15, 0x45, 0x25, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x00050001, 0x00050000 | 38
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # offsets in struct seccomp_data

Instruction = tuple[int, int, int, int]  # code, steps if true, steps if false, value


def confine(own_files: bool, network: bool = False) -> None:
    """Hold this process, and all that comes of it, to the list for good.

    Parameters
    ----------
    own_files : bool
        The process sees no files of others, so it may also change modes and times. Landlock cannot forbid that.
    network : bool
        The process may ask servers by IP; it may never be one, and never reach local sockets of others.
    """
    code = b"".join(struct.pack("<HBBI", *step) for step in program(os.getpid(), own_files, network))
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("@HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer)))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(22, 2, ctypes.addressof(header))


def program(own: int, own_files: bool, network: bool = False) -> list[Instruction]:
    """The filter for a process with the number `own`."""
    family = machine()
    if family is None:
        raise OSError(38, "system calls of this machine are unknown")
    steps: list[Instruction] = [
        (_LD, 0, 0, _ARCHITECTURE_AT),
        (_JMP_EQUAL, 1, 0, _ARCHITECTURE[family]),
        (_RETURN, 0, 0, _KILL),
        (_LD, 0, 0, _NUMBER_AT),
    ]
    for name in ALLOWED + (OF_ITS_OWN_FILES if own_files else []) + (FOR_THE_NETWORK if network else []):
        steps += _on(name, [(_RETURN, 0, 0, _ALLOW)])
    for name, argument, values in _checked(own):
        steps += _on(name, _if_among(argument, values))
    for name, argument in [("sendto", 3), *([("sendmsg", 2), ("sendmmsg", 3)] if network else [])]:
        steps += _on(name, _if_without(argument, _FAST_OPEN))
    steps += _on("socket", _if_usual_socket()) if network else []
    steps += _on("clone", _if_thread())
    for name in ("clone3", "openat2"):
        steps += _on(name, [(_RETURN, 0, 0, _ENOSYS)])
    # x86_64's second numbering begins at 2**30; nothing of it is allowed.
    return [
        *steps,
        (_JMP_ABOVE, 0, 1, _LAST_KNOWN),
        (_RETURN, 0, 0, _ENOSYS),
        (_RETURN, 0, 0, _EPERM),
    ]


def _checked(own: int) -> list[tuple[str, int, Iterable[int]]]:
    """Call, argument and the argument's allowed values."""
    return [
        ("fcntl", 1, _FCNTL),
        ("ioctl", 1, _IOCTL),
        ("prctl", 0, _PRCTL),
        ("kill", 0, (own,)),
        ("tgkill", 0, (own,)),
        ("prlimit64", 0, (0, own)),
        ("socketpair", 0, (_AF_UNIX,)),
    ]


def _on(name: str, then: list[Instruction]) -> list[Instruction]:
    """Steps for one call; they end in a return. The number is still loaded after them."""
    which = number(name)
    return [] if which is None else [(_JMP_EQUAL, 0, len(then), which), *then]


def _if_among(argument: int, values: Iterable[int]) -> list[Instruction]:
    """Allow if the lower half of an argument is one of the values: the kernel looks at no more of these arguments."""
    tests: list[Instruction] = []
    for value in values:
        tests += [(_JMP_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [(_LD, 0, 0, _ARGUMENTS_AT + 8 * argument), *tests, (_RETURN, 0, 0, _EPERM)]


def _if_without(argument: int, bits: int) -> list[Instruction]:
    """Allow if an argument has none of the bits."""
    tests: list[Instruction] = [(_JMP_AND, 0, 1, bits), (_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]
    return [(_LD, 0, 0, _ARGUMENTS_AT + 8 * argument), *tests]


def _if_usual_socket() -> list[Instruction]:
    """Allow if each argument, without the bits that do not matter, is one of its values."""
    steps: list[Instruction] = []
    for argument, ignored, values in _SOCKETS:
        steps += [(_LD, 0, 0, _ARGUMENTS_AT + 8 * argument), (_AND, 0, 0, 0xFFFFFFFF & ~ignored)]
        steps += [(_JMP_EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
        steps += [(_RETURN, 0, 0, _EPERM)]
    return [*steps, (_RETURN, 0, 0, _ALLOW)]


def _if_thread() -> list[Instruction]:
    """Allow a thread in the namespaces that there are."""
    return [
        (_LD, 0, 0, _ARGUMENTS_AT),
        (_JMP_AND, 2, 0, _CLONE_NAMESPACES),
        (_JMP_AND, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EPERM),
    ]
