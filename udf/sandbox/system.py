"""The few system calls that Python's standard library does not offer, by ctypes.

Errors come as OSError with the call's name.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys

from udf.sandbox.numbers import NUMBERS

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
PR_SET_KEEPCAPS = 8
READ_ANYTHING, ADMINISTER = 1 << 2, 1 << 21  # CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN
CAPABILITY_VERSION_3 = 0x20080522
NOBODY = 65534


def machine() -> str | None:
    """Name of the processor family that call numbers are known for, or None."""
    name = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}.get(platform.machine())
    # A 32-bit interpreter on a 64-bit kernel numbers its calls otherwise.
    return name if sys.platform == "linux" and sys.maxsize > 2**32 else None


def number(name: str) -> int | None:
    """Number of a system call on this machine; None where it has no such call."""
    family = machine()
    return None if family is None else NUMBERS[name][0 if family == "x86_64" else 1]


def syscall(name: str, *arguments: object) -> int:
    """Do a system call by name; integers and ctypes values as arguments. Raises OSError."""
    which = number(name)
    if which is None:
        raise OSError(38, f"{name} is unknown on this machine")
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(name, _libc().syscall(ctypes.c_long(which), *wide))


def prctl(option: int, *values: int) -> int:
    """Set one of the process's own attributes."""
    four = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    return _checked(f"prctl {option}", _libc().prctl(ctypes.c_int(option), *four))


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2)."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    result = _libc().mount(*encoded, ctypes.c_ulong(flags), os.fsencode(options) or None)
    _checked(f"mount {target}", result)


def unmount(target: str) -> None:
    """Take a mount away, at once for new users and later for those who still hold it."""
    _checked(f"umount {target}", _libc().umount2(os.fsencode(target), 2))


def unshare(flags: int) -> None:
    """Leave the named namespaces for new ones."""
    _checked("unshare", _libc().unshare(ctypes.c_int(flags)))


def setns(descriptor: int, flags: int) -> None:
    """Enter an existing namespace."""
    _checked("setns", _libc().setns(ctypes.c_int(descriptor), ctypes.c_int(flags)))


def drop_capabilities(but: int = 0) -> None:
    """Give up capabilities, for good: none is left to be inherited, raised or gained by starting a program.

    Parameters
    ----------
    but : int
        The bits of those to keep.
    """
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # past the kernel's last one, or nothing to drop with
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    syscall("capset", header, (ctypes.c_uint32 * 6)(but, but, 0, 0, 0, 0))


def become_nobody(but: int = 0) -> None:
    """From root to the user and group nobody, without further groups, and without capabilities but those named."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    if but:
        prctl(PR_SET_KEEPCAPS, 1)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    if but:
        drop_capabilities(but)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(name: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result
