"""Request bodies as typed models: parsed once, refused with a message that names the property and what it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from processes.errors import OpenEOError

Model = TypeVar("Model", bound=BaseModel)
LONGEST_TITLE, LONGEST_TEXT = 1_000, 100_000
LogLevel = Literal["debug", "info", "warning", "error"]
# What these properties have codes of their own for.
_CODES = {"process": "ProcessGraphMissing", "process_graph": "ProcessGraphMissing"}


class ProcessBody(BaseModel):
    """A process with its graph; whatever else describes it is kept as it is."""

    model_config = ConfigDict(extra="allow", strict=True)

    process_graph: dict[str, Any]
    id: str | None = None
    summary: str | None = Field(default=None, max_length=LONGEST_TITLE)
    description: str | None = Field(default=None, max_length=LONGEST_TEXT)
    parameters: list[dict[str, Any]] | None = None
    returns: dict[str, Any] | None = None

    def given(self) -> dict[str, Any]:
        """Return the process as it was sent."""
        return self.model_dump(exclude_unset=True)


class JobFields(BaseModel):
    """What a user may say of a batch job, and change later."""

    model_config = ConfigDict(extra="allow", strict=True)

    title: str | None = Field(default=None, max_length=LONGEST_TITLE)
    description: str | None = Field(default=None, max_length=LONGEST_TEXT)
    plan: Any = None
    budget: Any = None
    log_level: LogLevel | None = None

    @field_validator("title", "description")
    @classmethod
    def _storable(cls, text: str | None) -> str | None:
        """Refuse what no database keeps."""
        if text is not None and ("\0" in text or any("\ud800" <= character <= "\udfff" for character in text)):
            raise ValueError("must hold no null characters and no halves of surrogate pairs")
        return text

    def unknown(self) -> list[str]:
        """Return the names of properties that mean nothing to this server."""
        return sorted(self.model_extra or {})

    def warning(self) -> str | None:
        """Return what to say of unknown properties in the log: clients send those of other servers."""
        listed = ", ".join(name[:100] for name in self.unknown()[:20])
        return f"This server knows no such properties, and they have no effect: {listed}." if listed else None


class NewJob(JobFields):
    """The body of `POST /jobs`, and of `POST /result`."""

    process: ProcessBody


class JobChanges(JobFields):
    """The body of `PATCH /jobs/{job_id}`."""

    process: ProcessBody | None = None

    def changes(self) -> dict[str, Any]:
        """Return the columns to change; a level or process of null leaves them as they are."""
        names = self.model_fields_set & {"title", "description", "log_level", "process"}
        changes = {name: getattr(self, name) for name in names}
        if changes.get("process") is not None:
            changes["process"] = changes["process"].given()
        return {name: value for name, value in changes.items() if value is not None or name in ("title", "description")}


# Properties of a job that clients see and cannot set.
READ_ONLY = ("id", "status", "progress", "created", "updated", "costs", "usage", "links")


def parse(model: type[Model], body: Mapping[str, Any]) -> Model:
    """Return the model of a request's body.

    Raises
    ------
    OpenEOError
        ProcessGraphMissing for a process without its graph, ProcessInvalid for other properties; BillingPlanInvalid and
        BudgetInvalid.
    """
    try:
        parsed = model.model_validate(dict(body))
    except ValidationError as wrong:
        raise _told(wrong) from None
    if isinstance(parsed, JobFields):
        _check_billing(parsed.plan, parsed.budget)
    return parsed


def check_editable(changes: JobChanges) -> None:
    """Refuse to change what cannot be changed; OpenEOError PropertyNotEditable."""
    for name in changes.unknown():
        if name in READ_ONLY:
            raise OpenEOError("PropertyNotEditable", f"The specified property '{name}' is read-only.")


def _told(wrong: ValidationError) -> OpenEOError:
    fault = wrong.errors(include_url=False, include_context=False)[0]
    place = [str(part) for part in fault["loc"]]
    code = _CODES.get(place[-1] if place else "", "ProcessInvalid")
    if code == "ProcessGraphMissing":
        wanted = "an object `process` with an object `process_graph`" if place[0] == "process" else "a `process_graph`"
        return OpenEOError(code, f"The request body must hold {wanted}: {'.'.join(place)} is wrong or missing.")
    return OpenEOError(code, f"{'.'.join(place)} is invalid: {fault['msg'].removeprefix('Value error, ')}.")


def _check_billing(plan: Any, budget: Any) -> None:
    """Requests cost nothing here: there is no plan to choose, and any budget suffices."""
    if plan is not None:
        raise OpenEOError(
            "BillingPlanInvalid", f"plan is {plan!r:.100}, but this server has no billing plans; leave it out."
        )
    if budget is None:
        return
    if isinstance(budget, bool) or not isinstance(budget, int | float) or budget < 0:
        raise OpenEOError("BudgetInvalid", f"budget is {budget!r:.100}; it must be a number from 0 on, or null.")
