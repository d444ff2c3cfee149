"""What goes wrong on the cluster, told as what users can do about it."""

from __future__ import annotations

from collections.abc import Sequence

from backend.sync.estimate import REMEDY
from processes.errors import OpenEOError


def of_task(error: Exception, limits: Sequence[int] = ()) -> Exception:
    """Return a task's failure as what the client can do about it; a defect as it is."""
    from distributed.scheduler import KilledWorker

    from processes.udf.failures import code_failure
    from udf import InputError
    from udf.embedding import DeviceMemoryError

    told = code_failure(error)
    if told is not None:
        return told
    if isinstance(error, DeviceMemoryError):
        message = f"The GPU's memory does not do, not even for the smallest tiles: {error}. {REMEDY}"
        return OpenEOError("ProcessGraphComplexity", message)
    if isinstance(error, KilledWorker | MemoryError):
        # Of a worker that was killed just now, no other word is to be had.
        limits = sorted([*limits, int(getattr(getattr(error, "last_worker", None), "memory_limit", 0) or 0)])
        most = f" ({limits[-1] / 2**20:.0f} MiB, OPENEO_EMBED_WORKER_MEMORY)" if limits and limits[-1] else ""
        message = f"The computation needs more memory than a worker has{most}. {REMEDY}"
        return OpenEOError("ProcessGraphComplexity", message)
    if isinstance(error, InputError):
        message = f"The value passed for parameter 'data' in process 'multimodal_embed' is invalid: {error}"
        return OpenEOError("ProcessParameterInvalid", message)
    return error


def busy() -> OpenEOError:
    """Return what users are told of a cluster that is away."""
    return OpenEOError(
        "InfrastructureBusy", "The compute cluster does not answer at the moment; try again in a minute."
    )
