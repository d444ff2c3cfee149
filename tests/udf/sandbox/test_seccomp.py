"""The filter, run by an interpreter of its few instructions, for both kinds of machine."""

from __future__ import annotations

import pytest

from udf.sandbox import seccomp, system
from udf.sandbox.numbers import NUMBERS

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
OWN = 77


@pytest.fixture(params=["x86_64", "aarch64"])
def family(request, monkeypatch):
    monkeypatch.setattr(system, "machine", lambda: request.param)
    monkeypatch.setattr(seccomp, "machine", lambda: request.param)
    return request.param


def judged(family, name, *arguments, own_files=True, architecture=None, network=False):
    """What the filter says to a call, by name or number."""
    number = NUMBERS[name][0 if family == "x86_64" else 1] if isinstance(name, str) else name
    data = {0: number, 4: architecture or {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[family]}
    data |= {16 + 8 * i: value & 0xFFFFFFFF for i, value in enumerate([*arguments, 0, 0, 0, 0, 0, 0][:6])}
    steps, at, held = seccomp.program(OWN, own_files, network), 0, 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            held = data[value]
        elif code == 0x54:
            held &= value
        else:
            true = {0x15: held == value, 0x45: bool(held & value), 0x25: held > value}[code]
            at += yes if true else no


def test_what_numpy_needs_is_allowed(family):
    for name in ("read", "write", "mmap", "munmap", "futex", "openat", "clock_gettime", "exit_group", "getrandom"):
        assert judged(family, name) == ALLOW, name
    assert judged(family, "clone", 0x3D0F00) == ALLOW  # what pthread_create asks for
    assert judged(family, "clone3") == ENOSYS  # so that it asks that way


def test_the_rest_is_not(family):
    for name in ("seccomp", "landlock_create_ruleset", "capset", "pivot_root", "unshare", "setns", "mount_setattr"):
        assert judged(family, name) == EPERM, name
    socket, execve, ptrace, kexec = {"x86_64": (41, 59, 101, 246), "aarch64": (198, 221, 117, 104)}[family]
    for number in (socket, execve, ptrace, kexec):
        assert judged(family, number) == EPERM, number
    assert judged(family, 9999) == ENOSYS
    assert judged(family, 0x40000000 + 1) == ENOSYS


def test_arguments_decide(family):
    assert judged(family, "clone", 17) == EPERM  # a process
    assert judged(family, "clone", 0x10000 | 0x10000000) == EPERM  # a thread in a new user namespace
    assert judged(family, "kill", OWN) == ALLOW
    assert judged(family, "kill", -1) == judged(family, "kill", 0) == judged(family, "kill", OWN + 1) == EPERM
    assert judged(family, "tgkill", OWN, 5) == ALLOW
    assert judged(family, "fcntl", 5, 3) == ALLOW
    assert judged(family, "fcntl", 5, 8) == EPERM  # who is to get signals
    assert judged(family, "ioctl", 0, 0x5412) == EPERM  # typing into a terminal
    assert judged(family, "prctl", 15) == ALLOW
    assert judged(family, "prctl", 4) == EPERM
    assert judged(family, "prlimit64", OWN + 1) == EPERM
    assert judged(family, "socketpair", 1) == ALLOW
    assert judged(family, "socketpair", 2) == EPERM


@pytest.mark.parametrize(
    ("arguments", "is_allowed"),
    [
        ((2, 1, 0), True),
        ((10, 1 | 0x80000, 6), True),
        ((2, 2 | 0x80800, 17), True),
        ((1, 1, 0), False),  # local
        ((16, 3, 0), False),  # the kernel's own
        ((2, 3, 6), False),  # raw
        ((2, 1, 262), False),  # MPTCP
        ((2, 5, 132), False),  # SCTP
        ((2, 1, 256), False),  # SMC
        ((2, 2, 1), False),  # ICMP
    ],
)
def test_sockets_are_of_tcp_and_udp(family, arguments, is_allowed):
    assert judged(family, "socket", *arguments, network=True) == (ALLOW if is_allowed else EPERM)
    assert judged(family, "socket", *arguments) == EPERM


def test_what_is_sent_does_not_connect(family):
    for name, at in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
        assert judged(family, name, *[9] * at, 0x4000, network=True) == ALLOW
        assert judged(family, name, *[9] * at, 0x20004000, network=True) == EPERM
    assert judged(family, "sendto", 9, 9, 9, 0x4000) == ALLOW
    assert judged(family, "sendmsg", 9) == EPERM


def test_modes_and_times_only_of_its_own_files(family):
    for name in ("fchmodat", "truncate", "utimensat", "linkat"):
        assert judged(family, name) == ALLOW
        assert judged(family, name, own_files=False) == EPERM


def test_another_machines_calls_kill(family):
    assert judged(family, "read", architecture=0x40000003) == KILL


def test_unknown_machines_are_refused(monkeypatch):
    monkeypatch.setattr(seccomp, "machine", lambda: None)
    with pytest.raises(OSError, match="unknown"):
        seccomp.program(OWN, True)
