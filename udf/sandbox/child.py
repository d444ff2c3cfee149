"""One call: the child shuts itself in further, gives up every right, and only then touches the request."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from udf.sandbox import landlock, limits, namespaces, seccomp, system
from udf.sandbox.frames import ANSWER, ERROR, Sender

if TYPE_CHECKING:
    from udf.sandbox.zygote import Family

LONGEST = 64 << 10  # characters of an error's text


def run(family: Family, order: dict[str, Any], call: int, given: int, taken: int) -> NoReturn:
    """Answer one call and end; the arguments are the open files of the call, its input and its output."""
    code = 1
    try:
        given, taken, call = _keep_only([call, given, taken], family)
        sender = Sender(socket.socket(fileno=call))
        try:
            limit = limits.Limits(**order["limits"])
            _shut_in(family, limit, os.fstat(given).st_size)
        except Exception as error:
            sender.send(ERROR, {"error": "unavailable", "message": str(error)})
            os._exit(code)
        try:
            _answer(family, sender, limit, given, taken)
        except BaseException as error:
            sender.send(ERROR, _told(error))
        code = 0
    finally:
        os._exit(code)


def _keep_only(files: list[int], family: Family) -> tuple[int, int, int]:
    """Close every file but the call's; those that Landlock still needs follow once it is set up."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    kept = sorted({0, 1, 2, *files, *family.readable})
    for before, after in zip(kept, [*kept[1:], 1 << 20], strict=True):
        os.closerange(before + 1, after)
    return files[1], files[2], files[0]


def _shut_in(family: Family, limit: limits.Limits, input_bytes: int) -> None:
    if family.apart:
        namespaces.scratch(limit.scratch_bytes, family.config["trees"])
    else:
        system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir("/")
    if family.config["level"] == "landlock":
        landlock.confine(family.readable)
    for file in family.readable:
        os.close(file)
    system.drop_capabilities(family.kept_rights)
    system.prctl(system.PR_SET_DUMPABLE, 0)
    limits.hold(limit, input_bytes, count_threads=family.apart)
    seccomp.confine(own_files=family.apart)


def _answer(family: Family, sender: Sender, limit: limits.Limits, given: int, taken: int) -> None:
    from udf.sandbox import arrays

    request, values = arrays.read_input(given)
    os.close(given)
    assert family.handler is not None
    answer, made = family.handler(request, values, sender.log)
    try:
        ready = [arrays.plain(array) for array in made]
    except arrays.Unfit as error:
        return sender.send(ERROR, {"error": "refused", "message": str(error)})
    places, total = arrays.lay_out(ready)
    if total > limit.output_bytes:
        return sender.send(ERROR, {"error": "output", "size": total})
    arrays.write(taken, ready, places)
    sender.send(ANSWER, {"answer": answer, "arrays": places})


def _told(error: BaseException) -> dict[str, Any]:
    """An error as the caller gets it; the handler may give `message` and `traceback` (or `trace`) of its own."""
    if any(isinstance(cause, MemoryError) for cause in _causes(error)):
        return {"error": "memory"}
    message = getattr(error, "message", None) or traceback.format_exception_only(error)[-1].strip()
    own = getattr(error, "traceback", None) or getattr(error, "trace", None)
    text = own if isinstance(own, str) else "".join(traceback.format_exception(error))
    return {"error": "user", "message": str(message)[:LONGEST], "traceback": text[-LONGEST:]}


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen and len(seen) < 20:
        seen.append(at)
        yield at
        at = at.__cause__ or at.__context__
