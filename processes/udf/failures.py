"""Failures of users' code while a graph is built, as openEO errors; those of tasks become the same in the back-end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from processes.environment import Environment
from processes.errors import OpenEOError, invalid
from processes.udf.source import PROCESS
from udf.packages import PackageError
from udf.user_code import UserCodeError, UserCodeLimit


def code_failure(error: Exception) -> OpenEOError | None:
    """Return the failure of a user's code as its user is told; None for any other.

    The specification of `run_udf` has no code for it; that the value of its parameter `udf` is invalid comes closest.
    """
    if isinstance(error, UserCodeError):
        return invalid("udf", PROCESS, error.message)
    if isinstance(error, PackageError):
        return invalid("udf", PROCESS, str(error))
    if isinstance(error, UserCodeLimit) and error.kind == "unavailable":
        return OpenEOError("FeatureUnsupported", f"`run_udf` cannot run here: {error.message}")
    if isinstance(error, UserCodeLimit):
        message = f"The code of 'run_udf' was stopped: {error.message.rstrip('.')}. Let it do less at once."
        return OpenEOError("ProcessGraphComplexity", message)
    return None


@contextmanager
def told(env: Environment) -> Iterator[None]:
    """Turn failures of users' code into openEO errors, the traceback into a message of the log."""
    try:
        yield
    except UserCodeError as error:
        if error.trace:
            env.ledger.say(
                {"level": "error", "code": "UDF", "message": error.message, "data": {"traceback": error.trace}}
            )
        raise _told_of(error) from error
    except (PackageError, UserCodeLimit) as error:
        raise _told_of(error) from error


def _told_of(error: Exception) -> Exception:
    return code_failure(error) or error
