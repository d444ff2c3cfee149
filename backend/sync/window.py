"""A large graph sent to the scheduler part by part: workers are never asked for more blocks than a few per thread.

What several blocks are made of is computed once: its task is sent with the first of them, and its value is held until
the last was asked for. Slices are cut along with what they are cut from, so that they are held and not the whole of it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

from dask._task_spec import Task, convert_legacy_graph
from dask.array.chunk import getitem
from dask.base import collections_to_expr

from backend.sync.turns import in_turn

# Blocks that a thread has been asked for and that were not fetched yet: one at work, one waiting its turn, one done.
BLOCKS_OF_THREAD = 3
# Of small blocks there may be as many as take this much room.
LEAST_BYTES = 128 * 2**20
SLICING = (getitem, operator.getitem)

Tasks = dict[Any, Any]


class Plan:
    """In which order blocks are asked for, and which tasks are sent along with each.

    Parameters
    ----------
    tasks : dict of key to task
        A graph; it is taken over.
    wanted : keys of blocks

    Attributes
    ----------
    blocks : list of keys
    new : list of lists of keys
        For each block, the tasks that it needs beyond those of the blocks before it.
    last : dict of key to int
        For each task that others depend on, the number of the last block that these are sent with.
    """

    def __init__(self, tasks: Tasks, wanted: Iterable[Any]) -> None:
        self.tasks = tasks
        self.blocks = in_turn(tasks, list(dict.fromkeys(wanted)))
        self.new: list[list[Any]] = [[] for _ in self.blocks]
        self.last: dict[Any, int] = {}
        self._first: dict[Any, int] = {}
        whole = set(self.blocks)
        for number, block in enumerate(self.blocks):
            self._send_with(number, block, whole)
            if self._first[block] < number:  # sent as a part of others, and asked for later
                self.last[block] = max(self.last.get(block, 0), number)

    def keys(self) -> list[Any]:
        """Return the keys of all tasks."""
        return list(self._first)

    def _send_with(self, number: int, block: Any, whole: set[Any]) -> None:
        waiting = [block]
        while waiting:
            key = waiting[-1]
            below = self.tasks[key].dependencies if key not in self._first else ()
            missing = [dependency for dependency in below if dependency not in self._first]
            waiting.extend(missing)
            if missing:
                continue
            waiting.pop()
            if key not in self._first:
                with_it = self._first[next(iter(below))] if key not in whole and _is_slice(self.tasks[key]) else number
                self._first[key] = with_it
                self.new[with_it].append(key)
                for dependency in below:
                    self.last[dependency] = max(self.last.get(dependency, 0), with_it)


class Window:
    """The blocks that were asked for and have not been received.

    Parameters
    ----------
    client : distributed.Client
    lazies : Dask collections
    wanted : keys of their blocks
    block_bytes : int
        About how large a block is.
    threads : callable
        Returns how many tasks the cluster runs at once.
    announce : callable
        Called once, with the keys of all tasks, before any is sent.
    """

    def __init__(
        self,
        client: Any,
        lazies: Iterable[Any],
        wanted: Iterable[Any],
        block_bytes: int,
        threads: Callable[[], int],
        announce: Callable[[list[Any]], None],
    ) -> None:
        self._client, self._block_bytes, self._threads = client, max(block_bytes, 1), threads
        self._plan = Plan(_written_out(lazies), wanted)
        self._announce: Callable[[list[Any]], None] | None = announce
        self._sent = 0
        self._room = 1
        # Values that blocks yet to be asked for are made of, by the number of the last of these.
        self._held: dict[int, list[Any]] = {}
        self.futures: dict[Any, Any] = {}

    def send(self) -> dict[Any, Any]:
        """Ask for more blocks where there is room for them; returns their futures by key."""
        if self._announce is not None:
            self._announce(self._plan.keys())
            self._announce = None
        if len(self.futures) > self._room // 2 or self._sent == len(self._plan.blocks):
            return {}
        self._room = max(self._threads() * BLOCKS_OF_THREAD, LEAST_BYTES // self._block_bytes, 1)
        stop = min(self._sent + self._room - len(self.futures), len(self._plan.blocks))
        # The cluster may have become smaller since more was asked for, or not have answered.
        return self._ask(self._sent, stop) if stop > self._sent else {}

    def let_go(self, key: Any) -> None:
        """Forget a block that was received."""
        self.futures.pop(key).release()

    def close(self) -> None:
        """Let go of everything; tasks that nobody else waits for are dropped."""
        for future in [*self.futures.values(), *(future for held in self._held.values() for future in held)]:
            future.release()
        self.futures, self._held = {}, {}

    def _ask(self, start: int, stop: int) -> dict[Any, Any]:
        plan = self._plan
        keys = [key for number in range(start, stop) for key in plan.new[number]]
        blocks = plan.blocks[start:stop]
        held = [key for key in keys if plan.last.get(key, -1) >= stop]
        tasks = {key: plan.tasks.pop(key) for key in keys}
        # Not before the tasks of others who came in the meantime.
        futures = self._client.get(tasks, [*blocks, *held], sync=False, fifo_timeout="0s")
        asked = dict(zip(blocks, futures, strict=False))
        for key, future in zip(held, futures[len(blocks) :], strict=True):
            # Of a block that others are made of there are two: it is received at one time and needed until another.
            own = type(future)(key, self._client) if key in asked else future
            self._held.setdefault(plan.last[key], []).append(own)
        for number in [number for number in self._held if number < stop]:
            for future in self._held.pop(number):
                future.release()
        self._sent = stop
        self.futures.update(asked)
        return asked


def _written_out(lazies: Iterable[Any]) -> Tasks:
    """Return all tasks of collections as Dask would compute them together, optimised."""
    graph = collections_to_expr(list(lazies)).optimize().__dask_graph__()
    tasks: Tasks = convert_legacy_graph(dict(graph))
    return tasks


def _is_slice(task: Any) -> bool:
    return isinstance(task, Task) and task.func in SLICING and len(task.dependencies) == 1
