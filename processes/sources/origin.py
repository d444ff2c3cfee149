"""Where the files that a process names come from, and how errors of theirs are told."""

from __future__ import annotations

from dataclasses import dataclass

from processes.errors import OpenEOError, invalid
from processes.fetch.files import Files
from processes.fetch.rules import FetchRules


@dataclass(frozen=True)
class Origin:
    """Files under rules, for the `parameter` of a `process` in which they are named."""

    files: Files
    rules: FetchRules
    parameter: str
    process: str

    def invalid(self, reason: str) -> OpenEOError:
        """Return the error for a file that cannot be read."""
        return invalid(self.parameter, self.process, reason)
