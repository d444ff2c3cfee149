"""A synchronous request, parsed once at the edge."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from processes.errors import OpenEOError

LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class SyncRequest:
    """Who asks for which process; `id` names the request in headers, logs and progress."""

    id: str
    user: str
    process: Mapping[str, Any]
    log_level: str = "info"
    started: float = field(default_factory=time.time)


def read_request(body: Mapping[str, Any], identifier: str, user: str) -> SyncRequest:
    """Parse the body of `POST /result`.

    Raises
    ------
    OpenEOError
        ProcessGraphMissing, ProcessInvalid, BillingPlanInvalid or BudgetInvalid: names the property and what it may be.
    """
    process = body.get("process")
    if not isinstance(process, Mapping) or not isinstance(process.get("process_graph"), Mapping):
        message = "The request body must hold an object `process` with an object `process_graph`."
        raise OpenEOError("ProcessGraphMissing", message)
    _check_billing(body.get("plan"), body.get("budget"))
    level = body.get("log_level") or "info"
    if level not in LOG_LEVELS:
        raise OpenEOError("ProcessInvalid", f"log_level is {level!r}; it must be one of {', '.join(LOG_LEVELS)}.")
    title = body.get("title")
    if title is not None and not isinstance(title, str):
        raise OpenEOError("ProcessInvalid", f"title is {title!r}; it must be a text.")
    return SyncRequest(identifier, user, process, level)


def _check_billing(plan: Any, budget: Any) -> None:
    """Requests cost nothing here: there is no plan to choose, and any budget suffices."""
    if plan is not None:
        raise OpenEOError(
            "BillingPlanInvalid", f"plan is {plan!r}, but this server has no billing plans; leave it out."
        )
    if budget is None:
        return
    if isinstance(budget, bool) or not isinstance(budget, int | float) or budget < 0:
        raise OpenEOError("BudgetInvalid", f"budget is {budget!r}; it must be a number from 0 on, or null.")
