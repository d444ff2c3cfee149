"""The sandbox that users' own Python runs in: a process without network, files, secrets or rights, with limits.

A guest family is warm: its first process has imported what user code needs, and forks a child for each call. The
modules `system`, `limits`, `arrays`, `frames`, `seccomp`, `landlock`, `namespaces`, `visible`, `zygote` and `child` are
loaded in the guest; there `udf` and `udf.sandbox` are bare names, so nothing of them may import from this file.
"""

from udf.sandbox.box import Sandbox
from udf.sandbox.errors import GuestError, SandboxError
from udf.sandbox.limits import Limits
from udf.sandbox.offer import Offer, offered
from udf.sandbox.pool import sandbox_on_this_worker

__all__ = ["GuestError", "Limits", "Offer", "Sandbox", "SandboxError", "offered", "sandbox_on_this_worker"]
