"""A user's room: files, results of batch jobs and trained models share one quota."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from processes.errors import OpenEOError

if TYPE_CHECKING:
    from backend.context import Services
    from processes.machine_learning.store import ModelStore, StoredModel


def used_besides_files(services: Services, user: str) -> int:
    """Return how many bytes the results and the models of a user take."""
    models = 0 if services.ml_models is None else services.ml_models(user).used()
    return services.jobs.result_bytes(user) + models


def used_bytes(services: Services, user: str) -> int:
    """Return how many bytes all that is a user's takes."""
    return services.files.used(user) + used_besides_files(services, user)


def room_left(services: Services, user: str) -> int:
    """Return how many bytes a user may still have, at least one.

    Raises
    ------
    OpenEOError
        StorageQuotaExceeded: there is no room at all.
    """
    quota, used = services.files.quota, used_bytes(services, user)
    if used >= quota:
        raise _exceeded("The results would find no room:", quota, used)
    return quota - used


def require_room(services: Services, user: str, size: int, what: str) -> None:
    """Refuse what is too large for the room that a user has left; `what` begins the message."""
    quota, used = services.files.quota, used_bytes(services, user)
    if used + size > quota:
        raise _exceeded(f"{what} {size} bytes, but", quota, used)


def _exceeded(what: str, quota: int, used: int) -> OpenEOError:
    message = (
        f"{what} of your {quota} bytes {used} are taken. Delete batch jobs, files or models that you need no more."
    )
    return OpenEOError("StorageQuotaExceeded", message)


@dataclass(frozen=True)
class ModelsWithin:
    """The trained models of a user, of whom none is saved beyond the quota; see `ModelStore`."""

    store: ModelStore
    services: Services
    user: str

    def ids(self) -> list[str]:
        """Return the ids of the models that there are."""
        return self.store.ids()

    def find(self, id: str) -> StoredModel | None:
        """Return a model, None where there is none of that id."""
        return self.store.find(id)

    def save(self, id: str, content: bytes, item: Mapping[str, Any]) -> None:
        """Keep a model; StorageQuotaExceeded where there is no room for it."""
        require_room(self.services, self.user, len(content), "The model takes")
        self.store.save(id, content, item)

    def used(self) -> int:
        """Return how many bytes all models take."""
        return self.store.used()

    def delete(self, id: str) -> bool:
        """Delete a model; whether there was one."""
        return self.store.delete(id)
